//! The numerical kernels, one file per stem: formula, bindings, the WGSL source (`shaders/<stem>.wgsl`) and the CPU twin.
//!
//! Not here: which kernels make a step, and in what order (`engine`), or any use of wgpu (`engine::gpu` alone).

pub mod activation;
pub mod loss;
pub mod matmul;
pub mod quadratic;
pub mod real;
pub mod step;
