//! `gather`: copies the rows of every lane's minibatch, and their labels, to where the products read them.
//!
//! ```text
//! inputs[lane][row]  = data[order[places[step][lane].rows + row]]
//! labels[lane][row]  = data_labels[order[places[step][lane].rows + row]]
//! ```
//!
//! Lanes that visit the same rows read the same row numbers.
//!
//! Bindings of `gather.wgsl`, one invocation per element:
//! - `places`: steps x lanes
//! - `order`: row numbers of the data, batch after batch, at most steps x lanes x rows
//! - `data`: samples x features
//! - `data_labels`: samples
//! - `inputs`: lanes x rows x features
//! - `labels`: lanes x rows

use super::{Kernel, Place, read, read_write, shared_struct};

pub const WGSL: &str = include_str!("../../shaders/gather.wgsl");

shared_struct! {
    /// Immediates of `gather.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// Rows of a minibatch.
        pub rows: u32,
        pub features: u32,
    }
}

/// Elements per workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "gather",
    source: WGSL,
    bindings: &[
        read("places"),
        read("order"),
        read("data"),
        read("data_labels"),
        read_write("inputs"),
        read_write("labels"),
    ],
    structs: &[Place::LAYOUT, Params::LAYOUT],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// One lane's minibatch: replaces `inputs` (rows x features) and `labels` (rows) by the rows `order` of the data.
pub fn cpu<T: Copy>(order: &[u32], data: &[T], data_labels: &[u32], inputs: &mut Vec<T>, labels: &mut Vec<u32>) {
    let features = data.len() / data_labels.len();
    inputs.clear();
    labels.clear();
    for row in order {
        inputs.extend_from_slice(&data[*row as usize * features..][..features]);
        labels.push(data_labels[*row as usize]);
    }
}
