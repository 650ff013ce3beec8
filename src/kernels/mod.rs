//! The numerical kernels, one file per stem: formula, bindings, the WGSL source (`shaders/<stem>.wgsl`) and the CPU twin.
//!
//! Not here: which kernels make a step, and in what order (`engine`), or any use of wgpu (`engine::gpu` alone).
//!
//! What all shaders share, so that they need not say it again:
//! - Every lane of a wave runs in the same dispatch; one workgroup never serves two lanes.
//! - `lane_steps`, steps x lanes, is bound first. Its first use retires the workgroups of idle lanes.
//! - Numbers that are no array arrive as immediates, one `Params` per kernel, whose first member is the step of the block.
//! - Workgroup sizes and tile shapes have their one home here, in Rust, and reach WGSL as `override` constants.
//! - Every sum runs in an order that depends on the lane's own shape alone; there are no atomics.

pub mod conv;
pub mod copy;
pub mod elementwise;
pub mod evaluate;
pub mod finish;
pub mod fused;
pub mod gather;
pub mod loss;
pub mod matmul;
pub mod norm;
pub mod observe;
pub mod packing;
pub mod peak;
pub mod perceptron;
pub mod pool;
pub mod quadratic;
pub mod reduce;
pub mod renew;
pub mod start;
pub mod step;
pub mod tile;
mod unroll;
pub mod update;

use crate::update::StepSlots;

/// A shader as data: what a device needs to build its pipeline, and what a test can check without one.
#[derive(Debug)]
pub struct Kernel {
    /// The stem: name of the file, the entry point and the pipeline.
    pub name: &'static str,
    /// `shaders/<stem>.wgsl`, with `shaders/tiles.wgsl` behind it where it is a product, and `shaders/activation.wgsl` where it
    /// applies an activation.
    pub source: &'static str,
    /// Storage buffers of group 0, binding 0 first.
    pub bindings: &'static [Binding],
    /// The structs that both sides lay out; the last one is `Params`, which arrives as immediates.
    pub structs: &'static [Layout],
    /// Override constants with one value for good, workgroup sizes among them.
    pub constants: &'static [(&'static str, f64)],
    /// Override constants that tell the variants of the kernel apart; each pipeline gives them a value.
    pub variants: &'static [&'static str],
}

impl Kernel {
    /// Bytes of its immediates.
    pub fn immediates(&self) -> usize {
        self.structs.last().map_or(0, |params| params.size)
    }

    /// The source of a variant: with what `unroll.rs` repeats.
    pub fn unrolled(&self, variant: &[(&'static str, f64)]) -> String {
        unroll::unroll(self.source, variant)
    }
}

/// Every shader of the program.
pub const ALL: &[&Kernel] = &[
    &conv::KERNEL,
    &copy::KERNEL,
    &elementwise::KERNEL,
    &evaluate::KERNEL,
    &finish::KERNEL,
    &fused::KERNEL,
    &gather::KERNEL,
    &loss::KERNEL,
    &matmul::KERNEL,
    &norm::KERNEL,
    &observe::KERNEL,
    &peak::KERNEL,
    &pool::KERNEL,
    &quadratic::KERNEL,
    &reduce::KERNEL,
    &renew::KERNEL,
    &start::KERNEL,
    &step::KERNEL,
];

/// One storage buffer of a shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    pub name: &'static str,
    pub access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    ReadWrite,
}

const fn read(name: &'static str) -> Binding {
    Binding { name, access: Access::Read }
}

const fn read_write(name: &'static str) -> Binding {
    Binding { name, access: Access::ReadWrite }
}

/// The memory layout of a struct that Rust writes and WGSL reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
    pub members: &'static [Member],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: &'static str,
    /// Bytes from the start of the struct.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
}

/// Declares a struct that a shader reads, and its [`Layout`] beside it, from one list of members.
macro_rules! shared_struct {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$member_doc:meta])* pub $member:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$member_doc])* pub $member: $type,)* }

        impl $name {
            /// As the shader must lay it out.
            pub const LAYOUT: $crate::kernels::Layout = $crate::kernels::Layout {
                name: stringify!($name),
                size: size_of::<$name>(),
                members: &[$($crate::kernels::Member {
                    name: stringify!($member),
                    offset: std::mem::offset_of!($name, $member),
                    size: size_of::<$type>(),
                },)*],
            };
        }
    };
}
use shared_struct;

shared_struct! {
    /// Where one lane stands at one step: whether it moves at all, the slots it reads, writes and keeps its velocity in,
    /// and the rows that it sees.
    pub struct LaneStep {
        /// 0 where the lane is idle: no kernel touches anything of it.
        pub busy: u32,
        pub read: u32,
        pub write: u32,
        pub velocity: u32,
        /// Index of its minibatch's first row number among those of the portion, where they lie one after the other; 0
        /// where the batch is full.
        pub rows: u32,
    }
}

/// A batch of every lane, and the weights at which layers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub lanes: usize,
    /// Samples of a lane.
    pub rows: usize,
    /// P, the length of a weight version.
    pub parameters: usize,
    /// Versions in a lane's ring; 0 where all lanes read one version, which has no ring.
    pub slots: usize,
}

impl Batch {
    /// Elements from one lane's versions to the next one's, and from one version to the next.
    pub fn version_strides(&self) -> [u32; 2] {
        [(self.slots * self.parameters) as u32, (self.slots.min(1) * self.parameters) as u32]
    }
}

/// Workgroups in one dimension that every device has.
const DIMENSION: usize = 65_535;

/// The grid of `groups` workgroups for each lane: more than one dimension has go on in layers, and the last of them may have
/// some to spare.
pub fn grid(groups: usize, lanes: usize) -> [u32; 3] {
    let layers = groups.div_ceil(DIMENSION);
    [groups.div_ceil(layers) as u32, lanes as u32, layers as u32]
}

/// Workgroups of a lane at most, where invocations take several elements each.
const MOST_GROUPS: usize = 4096;

/// Workgroups of `workgroup` invocations that share out `elements` of a lane.
fn spread(elements: usize, workgroup: usize) -> usize {
    elements.div_ceil(workgroup).min(MOST_GROUPS)
}

impl From<StepSlots> for LaneStep {
    fn from(slots: StepSlots) -> Self {
        let StepSlots { read, write, velocity } = slots;
        Self { busy: 1, read: read as u32, write: write as u32, velocity: velocity as u32, rows: 0 }
    }
}
