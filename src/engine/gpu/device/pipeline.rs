//! Pipelines and dispatches: how a [`Kernel`] reaches a device.

use super::{Buffer, Checks, Device};
use crate::engine::EngineError;
use crate::kernels::{Access, Call, Constant, Kernel, Source};
use bytemuck::Pod;
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock, PoisonError};

/// One variant of a kernel, compiled.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroupLayout,
}

/// A pipeline with its buffers, its parameters and its grid: all but the step of the block.
#[derive(Clone, Debug)]
pub struct Dispatch {
    pub(in crate::engine::gpu) kernel: &'static str,
    pipeline: wgpu::ComputePipeline,
    buffers: wgpu::BindGroup,
    params: Vec<u8>,
    /// What holds the parameters, but for the step, where there is no room for them among the immediates.
    bound: Option<Buffer>,
    workgroups: [u32; 3],
}

impl Dispatch {
    /// Puts it into a pass, as step `step` of its block.
    pub(in crate::engine::gpu) fn record(&self, pass: &mut wgpu::ComputePass, step: u32) {
        let [x, y, z] = self.workgroups;
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.buffers, &[]);
        if self.bound.is_none() {
            pass.set_immediates(0, &self.params);
        }
        // `step` is the first member of every kernel's parameters.
        pass.set_immediates(0, &step.to_ne_bytes());
        pass.dispatch_workgroups(x, y, z);
    }
}

/// The pipelines that a device has compiled, by kernel and variant: waves come and go, their kernels stay the same.
pub type Pipelines = HashMap<Key, Arc<OnceLock<Pipeline>>>;

/// A kernel's name and the bits of a variant's constants.
type Key = (&'static str, Vec<(&'static str, u64)>);

fn key(kernel: &Kernel, variant: &[Constant]) -> Key {
    (kernel.name, variant.iter().map(|(name, value)| (*name, value.to_bits())).collect())
}

impl Device {
    /// The variant of `kernel` that `variant` describes, compiled at its first use.
    fn pipeline(&self, kernel: &'static Kernel, variant: &[Constant]) -> Pipeline {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let pipeline = Arc::clone(pipelines.entry(key(kernel, variant)).or_default());
        // Others compile theirs meanwhile.
        drop(pipelines);
        pipeline.get_or_init(|| self.compile(kernel, variant)).clone()
    }

    /// Compiles what `calls` need, all at once: a driver takes a tenth of a second for each.
    pub(in crate::engine::gpu) fn prepare<B: Sync>(&self, calls: &[Call<B>]) {
        let distinct: HashMap<Key, &Call<B>> =
            calls.iter().map(|call| (key(call.kernel, &call.variant), call)).collect();
        let distinct: Vec<&Call<B>> = distinct.into_values().collect();
        distinct.par_iter().for_each(|call| drop(self.pipeline(call.kernel, &call.variant)));
    }

    /// Whether a kernel's parameters lie in a buffer behind its others.
    fn binds_params(&self, kernel: &Kernel) -> bool {
        kernel.buffers(self.limits.max_immediate_size) > kernel.bindings.len()
    }

    fn compile(&self, kernel: &'static Kernel, variant: &[Constant]) -> Pipeline {
        let binds_params = self.binds_params(kernel);
        let of_params = binds_params.then_some(Access::Read);
        let entries: Vec<_> = kernel
            .bindings
            .iter()
            .map(|binding| binding.access)
            .chain(of_params)
            .zip(0..)
            .map(|(access, binding)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only: access == Access::Read },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let label = Some(kernel.name);
        let descriptor = wgpu::BindGroupLayoutDescriptor { label, entries: &entries };
        let bindings = self.handle.create_bind_group_layout(&descriptor);
        let layout = self.handle.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: if binds_params { size_of::<u32>() } else { kernel.immediates() } as u32,
        });
        let mut source = kernel.source(variant);
        if binds_params {
            source = source.with_params_bound(kernel.bindings.len());
        }
        let module = self.module(kernel.name, &source);
        let descriptor = wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&layout),
            module: &module,
            entry_point: Some(kernel.name),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[kernel.constants, variant].concat(),
                // Every kernel writes all of its workgroup memory before it reads any of it.
                zero_initialize_workgroup_memory: false,
            },
            cache: self.cache.as_ref().map(|cache| &cache.cache),
        };
        let filters = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory];
        let scopes = filters.map(|filter| self.handle.push_error_scope(filter));
        let was_lost = self.fault.is_lost();
        let pipeline = self.handle.create_compute_pipeline(&descriptor);
        // The innermost scope first. What is lost over a pipeline is lost without a word of which it was.
        let told = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).last();
        let lost = (self.fault.is_lost() && !was_lost).then(|| "the device was lost over it".to_owned());
        if let Some(why) = told.map(|error| error.to_string()).or(lost) {
            let name = kernel.name;
            self.fault.keep(EngineError::Device(format!("the pipeline of the kernel '{name}' cannot be made: {why}")));
        }
        Pipeline { pipeline, bindings }
    }

    /// naga validates a shader however it is checked. Where it is not valid, the failure has its joined text.
    fn module(&self, name: &'static str, source: &Source) -> wgpu::ShaderModule {
        let text = wgpu::ShaderSource::Wgsl(source.text().into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source: text };
        let scope = self.handle.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = self.checked_module(descriptor);
        if let Some(error) = pollster::block_on(scope.pop()) {
            let info = pollster::block_on(module.get_compilation_info());
            let place = info.messages.iter().find_map(|message| message.location);
            let place = place.map_or_else(|| "its text".into(), |place| source.origin(place.line_number as usize));
            let message = format!("the shader '{name}' does not compile: {place}: {error}\n{}", source.listing());
            self.fault.keep(EngineError::Device(message));
        }
        module
    }

    fn checked_module(&self, descriptor: wgpu::ShaderModuleDescriptor) -> wgpu::ShaderModule {
        match self.checks {
            Checks::Bounds => self.handle.create_shader_module(descriptor),
            // SAFETY: the shaders are this program's own. Their loops end at a bound that no round changes, they divide by
            // shapes, which are at least 1, and every index is bounded: by the grid, by `Params`, from which the buffers of
            // a wave are sized too, or by tables that the host fills with slots of the ring and rows of the data. All
            // tests run them with the checks on.
            Checks::Trusted => unsafe {
                self.handle.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
            },
        }
    }

    /// Keeps what was compiled for the next run.
    pub(in crate::engine::gpu) fn save_pipelines(&self) {
        self.cache.iter().for_each(|cache| cache.save());
    }

    /// Makes a call's pipeline and binds its buffers. Failures are reported by the next [`Device::check`].
    pub fn bind(&self, call: Call<&Buffer>) -> Dispatch {
        let Call { kernel, variant, buffers, params, workgroups, .. } = call;
        let Pipeline { pipeline, bindings } = self.pipeline(kernel, &variant);
        assert_eq!(params.len(), kernel.immediates(), "parameters of {}", kernel.name);
        assert_eq!(buffers.len(), kernel.bindings.len(), "buffers of {}", kernel.name);
        let bound = self.binds_params(kernel).then(|| self.buffer_of("params", &params));
        let entries: Vec<_> = buffers
            .into_iter()
            .chain(&bound)
            .zip(0..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.binding() })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: Some(kernel.name), layout: &bindings, entries: &entries };
        let buffers = self.handle.create_bind_group(&descriptor);
        Dispatch { kernel: kernel.name, pipeline, buffers, params, bound, workgroups }
    }

    /// The same dispatch with other parameters, to be submitted before other ones are asked for.
    pub fn with_params<P: Pod>(&self, dispatch: &Dispatch, params: &P) -> Dispatch {
        assert_eq!(size_of::<P>(), dispatch.params.len(), "parameters of {}", dispatch.kernel);
        let params = bytemuck::bytes_of(params).to_vec();
        // What was submitted before still sees the old ones: writes and submits keep their order.
        dispatch.bound.iter().for_each(|buffer| self.write(buffer, 0, &params));
        Dispatch { params, ..dispatch.clone() }
    }

    /// Encodes rounds of `dispatches`, in their order; round i runs with step i.
    pub fn encode(&self, dispatches: &[Dispatch], steps: Range<usize>) -> wgpu::CommandEncoder {
        let mut encoder = self.handle.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for step in steps {
            for dispatch in dispatches {
                dispatch.record(&mut pass, step as u32);
            }
        }
        drop(pass);
        encoder
    }

    /// The same, to be submitted one after the other: a single round in up to `pieces` pieces, several in one.
    pub(in crate::engine::gpu) fn encode_in(
        &self,
        dispatches: &[Dispatch],
        steps: Range<usize>,
        pieces: usize,
    ) -> Vec<wgpu::CommandEncoder> {
        let pieces = if steps.len() == 1 { pieces.min(dispatches.len()) } else { 1 };
        let of_piece = dispatches.chunks(dispatches.len().div_ceil(pieces));
        of_piece.map(|dispatches| self.encode(dispatches, steps.clone())).collect()
    }

    /// Runs `steps` rounds of `dispatches` without waiting for them.
    pub fn run(&self, dispatches: &[Dispatch], steps: usize) {
        let commands = self.encode(dispatches, 0..steps).finish();
        self.push(commands);
    }
}
