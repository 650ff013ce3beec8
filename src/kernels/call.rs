//! One run of a kernel as data, before there is a device: what [`crate::engine::gpu`] counts, binds and submits.
//!
//! Not here: which calls make a step, and in which order (`engine::gpu::steps`).

use super::{Constant, Kernel};

/// A variant of a kernel with its parameters and its grid, on buffers that the caller names by `B`.
#[derive(Clone, Debug)]
pub struct Call<B> {
    pub kernel: &'static Kernel,
    /// Values of the kernel's variants.
    pub variant: Vec<Constant>,
    /// In the order of the kernel's bindings.
    pub buffers: Vec<B>,
    /// The bytes of the kernel's `Params`.
    pub params: Vec<u8>,
    pub workgroups: [u32; 3],
    /// Loop iterations of one invocation, at most: some software adapters end loops that go on for too long.
    pub iterations: usize,
}

impl<B> Call<B> {
    pub fn new<P: bytemuck::Pod>(
        kernel: &'static Kernel,
        variant: &[Constant],
        buffers: impl Into<Vec<B>>,
        params: &P,
        workgroups: [u32; 3],
        iterations: usize,
    ) -> Self {
        let (variant, buffers, params) = (variant.to_vec(), buffers.into(), bytemuck::bytes_of(params).to_vec());
        Self { kernel, variant, buffers, params, workgroups, iterations }
    }

    /// The same call on buffers that are named otherwise.
    pub fn map<C>(self, rename: impl FnMut(B) -> C) -> Call<C> {
        let Self { kernel, variant, buffers, params, workgroups, iterations } = self;
        Call { kernel, variant, buffers: buffers.into_iter().map(rename).collect(), params, workgroups, iterations }
    }
}
