//! Shaders and waves on a device: a hardware GPU where there is one, else software Vulkan. There is no way to skip.
//!
//! - `bench`: what `tauscope bench` times, and its clock
//! - `devices`: which adapter is taken, and how its failures are reported
//! - `matmul`, `elementwise`, `layers`, `update`: every shader against its CPU twin in f64, at shapes around its workgroup, with several lanes
//!   of which one is idle, and outputs that hold NaN beforehand
//! - `graphs`: networks of any layers, with their statistics and evaluations
//! - `outer`: updates of several gradients
//! - `ring`: rings that lie in parts
//! - `saved`: lanes of both engines that go on in another wave from their saved state
//! - `spectral`: matrices that move as wholes
//! - `wrong_devices`: devices that compute wrong numbers, which are refused
//! - `waves`: the GPU engine against the CPU engine, and what a run's bits may depend on
//!
//! A twin shares its author with the shader. What shows that both are right are finite differences, hand-worked
//! trajectories (tests/trajectory.rs) and closed-form thresholds.

mod bench;
mod devices;
mod elementwise;
mod fused;
mod graphs;
mod lanes;
mod layers;
mod matmul;
mod outer;
mod ring;
mod saved;
mod spectral;
mod stages;
mod update;
mod waves;
mod wrong_devices;
