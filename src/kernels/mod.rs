//! The numerical kernels, one file per stem: formula, bindings, the WGSL source (`shaders/<stem>.wgsl`) and the CPU twin.
//!
//! Not here: which kernels make a step, and in what order (`engine`), or any use of wgpu (`engine::gpu` alone).
//!
//! What all shaders share, so that they need not say it again:
//! - Every lane of a wave runs in the same dispatch; one workgroup never serves two lanes.
//! - `lane_steps`, steps x lanes, is bound first. Its first use retires the workgroups of idle lanes.
//! - Numbers that are no array arrive as immediates, one `Params` per kernel, whose first member is the step of the block.
//! - Workgroup sizes and tile shapes have their one home here, in Rust, and reach WGSL as `override` constants. So do the
//!   numbers of enums, as plain constants (`codes`).
//! - What several shaders use (structs, activations, tiles) stands in one file of `shaders/shared`, joined to theirs.
//! - Every sum runs in an order that depends on the lane's own shape alone; there are no atomics.

mod call;
pub mod conv;
pub mod copy;
pub mod elementwise;
pub mod evaluate;
pub mod fetch;
pub mod finish;
pub mod fused;
pub mod gather;
pub mod hessian;
pub mod local;
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
mod source;
pub mod spectral;
pub mod start;
pub mod step;
pub mod tile;
pub mod update;

use crate::math::Activation;

pub use call::Call;
use source::{ACTIVATION, LANE_STEP, NUMBERS, TILES, UPDATE, shader};
pub use source::{ShaderFile, Source};

/// An override constant with its value.
pub type Constant = (&'static str, f64);

/// Names and numbers of an enum's variants, as shaders know them.
pub type Codes = &'static [(&'static str, u32)];

/// Numbers the variants of an enum for shaders, in the order of the list: `CODES` has the names and numbers, `code` the
/// number of a value. A name more here is a constant more in the text of every kernel that lists the codes.
macro_rules! codes {
    ($type:ty { $($name:ident: $pattern:pat),* $(,)? }) => {
        const _: () = {
            #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "named as the shaders' constants")]
            enum Code { $($name),* }

            impl $type {
                /// As the shaders' constants name and number them.
                pub const CODES: $crate::kernels::Codes = &[$((stringify!($name), Code::$name as u32)),*];

                /// The number by which shaders know it.
                pub const fn code(&self) -> u32 {
                    match self {
                        $($pattern => Code::$name as u32),*
                    }
                }
            }
        };
    };
}
use codes;

codes!(Activation { TANH: Self::Tanh, RELU: Self::Relu, LEAKY_RELU: Self::LeakyRelu, GELU: Self::Gelu });

/// A shader as data: what a device needs to build its pipeline, and what a test can check without one.
#[derive(Debug)]
pub struct Kernel {
    /// The stem: name of the file, the entry point and the pipeline.
    pub name: &'static str,
    /// The files of its text: its own, `shaders/<stem>.wgsl`, then those of `shaders/shared` that it uses.
    pub files: &'static [ShaderFile],
    /// Storage buffers of group 0, binding 0 first.
    pub bindings: &'static [Binding],
    /// The structs that both sides lay out; the last one is `Params`, which arrives as immediates.
    pub structs: &'static [Layout],
    /// The numbers of enums, which the text knows as constants.
    pub codes: &'static [Codes],
    /// Override constants with one value for good, workgroup sizes among them.
    pub constants: &'static [Constant],
    /// Override constants that tell the variants of the kernel apart; each pipeline gives them a value.
    pub variants: &'static [&'static str],
}

impl Kernel {
    /// Storage buffers that it takes on a device with `immediates` bytes of immediates: its parameters lie in one more where they
    /// do not fit there.
    pub fn buffers(&self, immediates: u32) -> usize {
        self.bindings.len() + usize::from(self.immediates() > immediates as usize)
    }

    /// Bytes of its immediates.
    pub fn immediates(&self) -> usize {
        self.structs.last().map_or(0, |params| params.size)
    }

    /// The text of a variant.
    pub fn source(&self, variant: &[Constant]) -> Source {
        Source::new(self, variant)
    }
}

/// Every shader of the program.
pub const ALL: &[&Kernel] = &[
    &conv::KERNEL,
    &copy::KERNEL,
    &elementwise::KERNEL,
    &evaluate::KERNEL,
    &fetch::KERNEL,
    &finish::KERNEL,
    &fused::KERNEL,
    &gather::KERNEL,
    &hessian::KERNEL,
    &local::KERNEL,
    &loss::KERNEL,
    &matmul::KERNEL,
    &norm::KERNEL,
    &observe::KERNEL,
    &peak::KERNEL,
    &pool::KERNEL,
    &quadratic::KERNEL,
    &reduce::KERNEL,
    &renew::KERNEL,
    &spectral::KERNEL,
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
    /// Where one lane stands at one step: whether it moves at all, the slots that it reads, and the rows that it sees.
    pub struct LaneStep {
        /// 0 where the lane is idle: no kernel touches anything of it.
        pub busy: u32,
        pub read: u32,
        /// The slot that backward passes read.
        pub backward: u32,
        /// Index of its minibatch's first row number among those of the portion, where they lie one after the other; 0
        /// where the batch is full.
        pub rows: u32,
        /// The slot that the worker began with: the one that it reads, but in an outer loop.
        pub base: u32,
        /// What the gradient is for in an outer loop ([`crate::outer::PlacedPiece::packed`]); 0 where it is an update by itself.
        pub part: u32,
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
    /// Versions in a lane's ring; 1 where each lane has a single version, whatever slot a step names, 0 where all lanes share one.
    pub slots: usize,
}

impl Batch {
    /// Elements from one lane's versions to the next one's, and from one version to the next.
    pub fn version_strides(&self) -> [u32; 2] {
        let from_slot_to_slot = if self.slots > 1 { self.parameters } else { 0 };
        [self.slots * self.parameters, from_slot_to_slot].map(|stride| stride as u32)
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

/// Loop iterations of a sum over the invocations of a workgroup, which halves their number every time.
fn sum_iterations(workgroup: usize) -> usize {
    workgroup.ilog2() as usize + 1
}

/// Workgroups of a lane at most, where invocations take several elements each.
const MOST_GROUPS: usize = 4096;

/// Workgroups of `workgroup` invocations that share out `elements` of a lane.
fn spread(elements: usize, workgroup: usize) -> usize {
    elements.div_ceil(workgroup).min(MOST_GROUPS)
}

impl LaneStep {
    /// A busy lane that reads one slot.
    pub fn at(slot: usize) -> Self {
        let read = slot as u32;
        Self { busy: 1, read, backward: read, base: read, ..Self::default() }
    }
}
