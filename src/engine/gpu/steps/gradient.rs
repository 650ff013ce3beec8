//! The calls that leave the gradient of every lane's step in `gradient`, and its loss in `loss_partials`.

use super::buffers::Name;
use super::{Call, WaveLayout};
use crate::engine::Part;
use crate::engine::gpu::layers::Pass;
use crate::kernels::matmul::{self, Dense, Epilogue};
use crate::kernels::perceptron::Perceptron;
use crate::kernels::{Batch, finish, gather, hessian, loss, quadratic};
use crate::layer::device::{BufferRole, Purpose};
use crate::problem::{Network, Problem};

pub fn calls(layout: &WaveLayout) -> Vec<Call> {
    let mut calls = match &*layout.spec.problem {
        Problem::Quadratic(_) => vec![of_quadratic(layout)],
        Problem::Dense(_) => of_hessians(layout),
        Problem::Network(network) => match network.model.perceptron() {
            Some(model) => of_perceptron(layout, network, model),
            None => of_graph(layout, network),
        },
    };
    if layout.spec.needs.finish {
        calls.push(finish(layout));
    }
    calls
}

/// Where a step reads its weights, and how far it is there from one lane's to the next and from one version to the next.
fn weights(layout: &WaveLayout) -> (Name, [u32; 2]) {
    let (name, slots) = layout.weights();
    let batch = Batch { lanes: layout.lanes, rows: 0, parameters: layout.sizes.parameters, slots };
    (name, batch.version_strides())
}

/// Weight decay, compensation, centring and clipping.
fn finish(layout: &WaveLayout) -> Call {
    let [_, state_stride, second_offset] = layout.strides(layout.sizes.parameters);
    let (weights, [history_stride, slot_stride]) = weights(layout);
    let params = finish::Params {
        step: 0,
        lanes: layout.lanes as u32,
        stages: layout.spec.updates() as u32,
        parameters: layout.sizes.parameters as u32,
        history_stride,
        slot_stride,
        state_stride,
        second_offset,
        weight_decay: layout.spec.problem.weight_decay() as f32,
    };
    let buffers = [
        Name::LaneSteps,
        Name::Updates,
        weights,
        Name::Landmarks,
        Name::Server,
        Name::MinimumGradient,
        // Nothing of it is touched where it is but a part: the plan sees to that.
        Name::State(0),
        Name::Gradient,
    ];
    finish::call(&params, buffers)
}

fn of_quadratic(layout: &WaveLayout) -> Call {
    let (weights, [history_stride, slot_stride]) = weights(layout);
    let params = quadratic::Params {
        step: 0,
        lanes: layout.lanes as u32,
        parameters: layout.sizes.parameters as u32,
        history_stride,
        slot_stride,
        partials: layout.sizes.loss_partials as u32,
    };
    let buffers = [Name::LaneSteps, Name::Eigenvalues, weights, Name::Gradient, Name::LossPartials];
    quadratic::call(&params, buffers)
}

/// The gradient of a dense quadratic; before that the same at the minimum, where runs are centred.
fn of_hessians(layout: &WaveLayout) -> Vec<Call> {
    let WaveLayout { spec, sizes, lanes, .. } = *layout;
    let order = if spec.batch.is_some() { Name::Order } else { Name::AllRows };
    let call = |weights: Name, slots: usize, gradient: Name| {
        let batch = Batch { lanes, rows: sizes.rows, parameters: sizes.parameters, slots };
        hessian::call(batch, [Name::LaneSteps, order, Name::Hessians, weights, gradient, Name::LossPartials])
    };
    // All lanes share the minimum, which has no ring.
    let at_minimum = spec.needs.centred.then(|| call(Name::Landmarks, 0, Name::MinimumGradient));
    let (weights, slots) = layout.weights();
    let at_weights = call(weights, slots, Name::Gradient);
    at_minimum.into_iter().chain([at_weights]).collect()
}

/// Copies the rows of every lane's minibatch to where layers read them.
fn gather_batch(layout: &WaveLayout, network: &Network, rows: Name, inputs: Name) -> Call {
    let augmentation = network.augmentation;
    let params = gather::params(layout.lanes, layout.sizes.rows, network.data.shape, augmentation);
    let (data, labels) = (Name::Data(Part::Train), Name::Labels(Part::Train));
    gather::call(augmentation, &params, [Name::LaneSteps, rows, data, labels, inputs, Name::BatchLabels])
}

/// Replaces `outputs` by their delta.
fn loss(layout: &WaveLayout, network: &Network, labels: Name, outputs: Name) -> Call {
    let rows = layout.sizes.rows;
    let params = loss::Params {
        step: 0,
        lanes: layout.lanes as u32,
        rows: rows as u32,
        classes: network.data.classes as u32,
        label_stride: if labels == Name::BatchLabels { rows as u32 } else { 0 },
        partials: layout.sizes.loss_partials as u32,
        scale: 1.0 / rows as f32,
    };
    loss::call(network.loss, &params, [Name::LaneSteps, labels, outputs, Name::LossPartials])
}

/// Forward through a graph of any layers, and back; before that the same at the minimum, where runs are centred.
fn of_graph(layout: &WaveLayout, network: &Network) -> Vec<Call> {
    let pass = layout.training_pass(network);
    let rows = if layout.spec.batch.is_some() { Name::Order } else { Name::AllRows };
    let mut calls = vec![gather_batch(layout, network, rows, Name::Training(pass.inputs()))];
    let mut add = |pass: &Pass, [weights, backward]: [Name; 2], gradient: Name| {
        let name = |weights: Name| {
            move |buffer: BufferRole| match buffer {
                BufferRole::LaneSteps => Name::LaneSteps,
                BufferRole::Versions => weights,
                BufferRole::Statistics => Name::Statistics,
                BufferRole::Gradient => gradient,
                own => Name::Training(own),
            }
        };
        calls.extend(pass.forward().into_iter().map(|call| call.map(name(weights))));
        calls.push(loss(layout, network, Name::BatchLabels, Name::Training(pass.outputs())));
        calls.extend(pass.backward().into_iter().map(|call| call.map(name(backward))));
    };
    if layout.spec.needs.centred {
        // All lanes share the minimum, which has no ring. The run's own pass counts the batch in the running statistics.
        let batch = Batch { slots: 0, ..pass.batch };
        let at_minimum = Pass::new(&network.model, batch, Purpose::Training { updates_statistics: false });
        add(&at_minimum, [Name::Landmarks; 2], Name::MinimumGradient);
    }
    add(&pass, [layout.weights().0, layout.backward_weights()], Name::Gradient);
    calls
}

/// Forward through dense layers, the loss, and back; before that the same at the minimum, where runs are centred.
fn of_perceptron(layout: &WaveLayout, network: &Network, model: &Perceptron) -> Vec<Call> {
    let mut calls = Vec::new();
    let (inputs, labels) = match layout.spec.batch {
        Some(_) => {
            calls.push(gather_batch(layout, network, Name::Order, Name::BatchInputs));
            (Name::BatchInputs, Name::BatchLabels)
        }
        None => (Name::Data(Part::Train), Name::Labels(Part::Train)),
    };
    let last = model.layers.len() - 1;
    let input = |index: usize| if index == 0 { inputs } else { Name::LayerValues(index - 1) };
    let delta = |index: usize| if index == last { Name::LayerValues(last) } else { Name::LayerDeltas(index) };
    let slopes = |index: usize| if index == last { Name::NoSlopes } else { Name::LayerSlopes(index) };
    let mut add = |[weights, backward]: [Name; 2], slots: usize, gradient: Name| {
        let dense = dense_layers(layout, model, slots);
        for (index, layer) in dense.iter().enumerate() {
            let epilogue = Epilogue::Forward(model.activation_after(index));
            let buffers = [Name::LaneSteps, input(index), weights, Name::LayerValues(index), slopes(index)];
            calls.push(matmul::call(epilogue, &layer.forward(), buffers));
        }
        calls.push(loss(layout, network, labels, Name::LayerValues(last)));
        for (index, layer) in dense.iter().enumerate().rev() {
            let buffers = [Name::LaneSteps, delta(index), input(index), gradient, Name::NoSlopes];
            calls.push(matmul::call(Epilogue::Gradient, &layer.gradient(), buffers));
            if index > 0 {
                let buffers = [Name::LaneSteps, delta(index), backward, delta(index - 1), slopes(index - 1)];
                calls.push(matmul::call(Epilogue::Backward, &layer.backward(), buffers));
            }
        }
    };
    if layout.spec.needs.centred {
        // All lanes share the minimum, which has no ring.
        add([Name::Landmarks; 2], 0, Name::MinimumGradient);
    }
    let (weights, slots) = layout.weights();
    add([weights, layout.backward_weights()], slots, Name::Gradient);
    calls
}

/// The layers over weights that lie in rings of so many `slots`.
fn dense_layers(layout: &WaveLayout, model: &Perceptron, slots: usize) -> Vec<Dense> {
    let rows = layout.sizes.rows;
    let dense = model.layers.iter().enumerate().map(|(index, layer)| Dense {
        lanes: layout.lanes as u32,
        rows: rows as u32,
        inputs: layer.inputs as u32,
        outputs: layer.outputs as u32,
        weight: layer.weight as u32,
        bias: layer.bias as u32,
        parameters: layout.sizes.parameters as u32,
        slots: slots as u32,
        // A full batch is the data itself, which all lanes share.
        input_lane_stride: if index == 0 && layout.spec.batch.is_none() { 0 } else { rows * layer.inputs } as u32,
    });
    dense.collect()
}
