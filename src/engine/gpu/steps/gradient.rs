//! The dispatches that leave the gradient of every lane's step in `gradient`, and its loss in `loss_partials`.

use super::Workspace;
use super::samples::Gathering;
use crate::engine::gpu::device::Buffer;
use crate::engine::gpu::device::Dispatch;
use crate::engine::gpu::layers::{Pass, dispatch};
use crate::engine::gpu::plan;
use crate::kernels::matmul::{Dense, Epilogue};
use crate::kernels::perceptron::Perceptron;
use crate::kernels::tile::Tile;
use crate::kernels::{Batch, finish, loss, matmul, quadratic};
use crate::layer::device::{BufferRole, DeviceCall, Purpose};
use crate::problem::{Network, Problem, Quadratic};

/// Whoever computes the gradients of a wave, and where they go.
pub struct Gradient<'a> {
    pub wave: &'a Workspace<'a>,
    /// lanes x P
    pub gradient: &'a Buffer,
    /// lanes x partial sums
    pub loss_partials: &'a Buffer,
}

impl Gradient<'_> {
    pub fn dispatches(&self) -> Vec<Dispatch> {
        let anchor =
            self.wave.per_lane("anchor", if self.wave.spec.needs.centred { self.wave.plan.parameters } else { 0 });
        let mut dispatches = match &*self.wave.spec.problem {
            Problem::Quadratic(problem) => vec![self.quadratic(problem)],
            Problem::Network(network) => match network.model.perceptron() {
                Some(model) => self.backpropagation(network, model, &anchor),
                None => self.through(network, &anchor),
            },
        };
        if self.wave.spec.needs.finish {
            dispatches.push(self.finish(&anchor));
        }
        dispatches
    }

    fn finish(&self, anchor: &Buffer) -> Dispatch {
        let Workspace { spec, plan, .. } = self.wave;
        let params = finish::Params {
            step: 0,
            lanes: self.wave.lanes(),
            parameters: plan.parameters as u32,
            history_stride: (spec.needs.slots * plan.parameters) as u32,
            state_stride: (spec.needs.memories() * plan.parameters) as u32,
            second_offset: (spec.needs.velocities() * plan.parameters) as u32,
            weight_decay: spec.problem.weight_decay() as f32,
        };
        let buffers = [
            self.wave.lane_steps,
            self.wave.updates,
            self.wave.history,
            self.wave.landmarks,
            self.wave.server,
            anchor,
            self.wave.state,
            self.gradient,
        ];
        self.wave.device.dispatch(
            &self.wave.device.pipeline(&finish::KERNEL, &[]),
            &buffers,
            &params,
            [self.wave.lanes(), 1, 1],
        )
    }

    fn quadratic(&self, problem: &Quadratic) -> Dispatch {
        let eigenvalues: Vec<f32> = problem.eigenvalues.iter().map(|x| *x as f32).collect();
        let params = quadratic::Params {
            step: 0,
            lanes: self.wave.lanes(),
            parameters: self.wave.plan.parameters as u32,
            history_stride: (self.wave.spec.needs.slots * self.wave.plan.parameters) as u32,
            partials: self.wave.plan.loss_partials as u32,
        };
        let eigenvalues = self.wave.device.buffer_of("eigenvalues", &eigenvalues);
        let buffers = [self.wave.lane_steps, &eigenvalues, self.wave.history, self.gradient, self.loss_partials];
        let workgroups = [params.partials, self.wave.lanes(), 1];
        self.wave.device.dispatch(&self.wave.device.pipeline(&quadratic::KERNEL, &[]), &buffers, &params, workgroups)
    }

    /// Through a graph of any layers, and back; before that the same at the minimum, where runs are centred.
    fn through(&self, network: &Network, anchor: &Buffer) -> Vec<Dispatch> {
        let Workspace { device, spec, plan, .. } = self.wave;
        let rows = plan::rows(network, spec);
        let pass = plan.training(spec, network, spec.lanes);
        let mut buffers = pass.allocate(device);
        let labels = self.wave.per_lane("labels", rows);
        let all: Vec<u32> = (0..rows as u32).collect();
        let order = match spec.batch {
            Some(_) => self.wave.order.clone(),
            None => device.buffer_of("order", &all),
        };
        let inputs = buffers[&pass.inputs()].clone();
        let gathering = Gathering {
            lane_steps: self.wave.lane_steps,
            order: &order,
            augmentation: network.augmentation,
            lanes: spec.lanes,
            rows,
            inputs: &inputs,
            labels: &labels,
        };
        let mut dispatches = vec![self.wave.samples().gather(device, &gathering)];
        let outputs = buffers[&pass.outputs()].clone();
        buffers.insert(BufferRole::LaneSteps, self.wave.lane_steps.clone());
        buffers.insert(BufferRole::Statistics, self.wave.statistics.clone());
        let mut go = |pass: &Pass, versions: &Buffer, gradient: &Buffer| {
            buffers.insert(BufferRole::Versions, versions.clone());
            buffers.insert(BufferRole::Gradient, gradient.clone());
            let bound = |calls: Vec<DeviceCall>| calls.into_iter().map(|call| dispatch(call, device, &buffers));
            dispatches.extend(bound(pass.forward()));
            dispatches.push(self.loss(network, rows, rows, &labels, &outputs));
            dispatches.extend(bound(pass.backward()));
        };
        if spec.needs.centred {
            // All lanes share the minimum, which has no ring; its batches are the run's already.
            let batch = Batch { slots: 0, ..pass.batch };
            let at_minimum = Pass::new(&network.model, batch, Purpose::Training { updates_statistics: false });
            go(&at_minimum, self.wave.landmarks, anchor);
        }
        go(&pass, self.wave.history, self.gradient);
        dispatches
    }

    /// Forward through the layers, the loss, and back; before that the same at the minimum, where runs are centred.
    fn backpropagation(&self, network: &Network, model: &Perceptron, anchor: &Buffer) -> Vec<Dispatch> {
        let layers = &model.layers;
        let rows = plan::rows(network, self.wave.spec);
        let last = layers.len() - 1;
        let mut dispatches = Vec::new();

        let samples = self.wave.samples();
        let (inputs, labels, label_stride) = if self.wave.spec.batch.is_some() {
            let inputs = self.wave.per_lane("inputs", rows * network.data.features());
            let labels = self.wave.per_lane("labels", rows);
            let gathering = Gathering {
                lane_steps: self.wave.lane_steps,
                order: self.wave.order,
                augmentation: network.augmentation,
                lanes: self.wave.spec.lanes,
                rows,
                inputs: &inputs,
                labels: &labels,
            };
            dispatches.push(samples.gather(self.wave.device, &gathering));
            (inputs, labels, rows)
        } else {
            (samples.inputs.clone(), samples.labels.clone(), 0)
        };

        // The last layer's outputs become, in place, its delta.
        let values: Vec<Buffer> =
            layers.iter().map(|layer| self.wave.per_lane("values", rows * layer.outputs)).collect();
        let hidden = &layers[..last];
        let slopes: Vec<Buffer> =
            hidden.iter().map(|layer| self.wave.per_lane("slopes", rows * layer.outputs)).collect();
        let deltas: Vec<Buffer> =
            hidden.iter().map(|layer| self.wave.per_lane("deltas", rows * layer.outputs)).collect();
        let no_slope = self.wave.device.buffer("no slope", 0);
        let input = |index: usize| if index == 0 { &inputs } else { &values[index - 1] };
        let delta = |index: usize| deltas.get(index).unwrap_or(&values[last]);
        let pass = |versions: &Buffer, slots: usize, gradient: &Buffer| {
            let mut dispatches = Vec::new();
            let dense = layers.iter().enumerate().map(|(index, layer)| Dense {
                lanes: self.wave.lanes(),
                rows: rows as u32,
                inputs: layer.inputs as u32,
                outputs: layer.outputs as u32,
                weight: layer.weight as u32,
                bias: layer.bias as u32,
                parameters: self.wave.plan.parameters as u32,
                slots: slots as u32,
                input_lane_stride: if index == 0 && self.wave.spec.batch.is_none() { 0 } else { rows * layer.inputs }
                    as u32,
            });
            let dense: Vec<Dense> = dense.collect();
            for (index, layer) in dense.iter().enumerate() {
                let epilogue = Epilogue::Forward(model.activation_after(index));
                let slope = slopes.get(index).unwrap_or(&no_slope);
                let buffers = [input(index), versions, &values[index], slope];
                dispatches.push(self.product(epilogue, &layer.forward(), buffers));
            }
            dispatches.push(self.loss(network, rows, label_stride, &labels, &values[last]));
            for (index, layer) in dense.iter().enumerate().rev() {
                let buffers = [delta(index), input(index), gradient, &no_slope];
                dispatches.push(self.product(Epilogue::Gradient, &layer.gradient(), buffers));
                if index > 0 {
                    let below = [delta(index), versions, delta(index - 1), &slopes[index - 1]];
                    dispatches.push(self.product(Epilogue::Backward, &layer.backward(), below));
                }
            }
            dispatches
        };
        if self.wave.spec.needs.centred {
            // All lanes share the minimum, which has no ring.
            dispatches.extend(pass(self.wave.landmarks, 0, anchor));
        }
        dispatches.extend(pass(self.wave.history, self.wave.spec.needs.slots, self.gradient));
        dispatches
    }

    /// `buffers`: a, b, c, slope.
    fn product(&self, epilogue: Epilogue, params: &matmul::Params, buffers: [&Buffer; 4]) -> Dispatch {
        let tile = Tile::for_shape(params.rows, params.columns);
        let pipeline = self.wave.device.pipeline(&matmul::KERNEL, &matmul::variant(tile, epilogue));
        let [a, b, c, slope] = buffers;
        let workgroups = tile.workgroups(params.rows, params.columns, params.lanes);
        self.wave.device.dispatch(&pipeline, &[self.wave.lane_steps, a, b, c, slope], params, workgroups)
    }

    fn loss(&self, network: &Network, rows: usize, label_stride: usize, labels: &Buffer, outputs: &Buffer) -> Dispatch {
        let params = loss::Params {
            step: 0,
            lanes: self.wave.lanes(),
            rows: rows as u32,
            classes: network.data.classes as u32,
            label_stride: label_stride as u32,
            partials: self.wave.plan.loss_partials as u32,
            scale: 1.0 / rows as f32,
        };
        let pipeline = self.wave.device.pipeline(&loss::KERNEL, &network.loss.variant());
        let buffers = [self.wave.lane_steps, labels, outputs, self.loss_partials];
        self.wave.device.dispatch(&pipeline, &buffers, &params, [params.partials, self.wave.lanes(), 1])
    }
}
