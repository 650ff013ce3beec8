//! `dense(N)`: W x + b over all numbers of a sample; W is outputs x inputs, as in PyTorch's `nn.Linear`.

use super::device::{BufferRole, DeviceCall, DeviceNode, Purpose};
use super::tensor::Site;
use super::text::{Call, show};
use super::traits::{Backward, Compute, Forward, Layer};
use crate::kernels::Batch;
use crate::kernels::matmul::{self, Dense, Epilogue, Operand};
use crate::kernels::packing::padded;
use crate::math::{Number, Shape, View};
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct DenseLayer {
    /// As many as there are classes where `None`.
    pub outputs: Option<usize>,
    pub bias: bool,
}

impl Layer for DenseLayer {
    type Op = DenseOp;

    fn usage() -> String {
        "dense(N), dense (with nobias)".into()
    }

    fn parse(call: &Call) -> Result<Option<Self>, String> {
        let bias = !call.has("nobias");
        Ok(match (call.name(), call.numbers(&["nobias"])) {
            ("dense", Some([])) => Some(Self { outputs: None, bias }),
            ("dense", Some([outputs])) => Some(Self { outputs: Some(*outputs), bias }),
            _ => None,
        })
    }

    fn place(&self, site: &mut Site) -> Result<Option<(DenseOp, Shape)>, String> {
        let (inputs, outputs) = (site.input.elements(), self.outputs.unwrap_or(site.classes));
        let (weight, bias) = site.weight_and_bias(vec![outputs, inputs], self.bias);
        Ok(Some((DenseOp { weight, bias }, Shape::vector(outputs))))
    }
}

impl fmt::Display for DenseLayer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let outputs = self.outputs.map(|outputs| outputs.to_string());
        let bias = (!self.bias).then(|| "nobias".into());
        f.write_str(&show("dense", &outputs.into_iter().chain(bias).collect::<Vec<_>>()))
    }
}

/// Offsets in the flat parameter vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DenseOp {
    pub weight: usize,
    pub bias: Option<usize>,
}

impl DenseOp {
    fn on_device(self, at: &DeviceNode) -> Dense {
        let Batch { lanes, rows, parameters, slots } = at.batch;
        let inputs = at.input.elements();
        Dense {
            lanes: lanes as u32,
            rows: rows as u32,
            inputs: inputs as u32,
            outputs: at.output.channels as u32,
            weight: self.weight as u32,
            bias: self.bias.unwrap_or(0) as u32,
            parameters: parameters as u32,
            slots: slots as u32,
            input_lane_stride: (rows * inputs) as u32,
        }
    }

    /// The product with the weights where they are, if they are packed.
    fn packed(self, at: &DeviceNode, params: matmul::Params) -> matmul::Params {
        let Purpose::Evaluation(Some((model, packing))) = at.purpose else { return params };
        let mut layers = model.layers.iter().zip(&packing.weights);
        let (layer, weight) = layers.find(|(layer, _)| layer.weight == self.weight).expect("a layer of the perceptron");
        let stride = padded(layer.outputs) as u32;
        let b = Operand { offset: *weight as u32, row_stride: stride, column_stride: 1, ..params.b };
        matmul::Params { b, bias: *weight as u32 + padded(layer.inputs) as u32 * stride, ..params }
    }
}

impl Compute for DenseOp {
    fn has_parameters(&self) -> bool {
        true
    }

    fn products(&self, input: Shape, output: Shape) -> usize {
        output.channels * input.elements()
    }

    fn forward<T: Number>(&self, at: Forward<T>) {
        let (depth, outputs) = (at.input.elements(), at.output.channels);
        let rows = at.first.len() / depth;
        let weight = View::transposed(&at.parameters[self.weight..][..outputs * depth], depth);
        T::product(
            [rows, depth, outputs],
            View::rows(at.first, depth),
            weight,
            false,
            at.made,
            at.scratch.pieces.parallel,
        );
        if let Some(bias) = self.bias {
            let bias = &at.parameters[bias..][..outputs];
            let add = |row: &mut [T]| row.iter_mut().zip(bias).for_each(|(z, b)| *z += *b);
            at.made.chunks_exact_mut(outputs).for_each(add);
        }
    }

    fn backward<T: Number>(&self, at: Backward<T>, below: Option<&mut [T]>) {
        let (depth, outputs) = (at.input.elements(), at.output.channels);
        let rows = at.delta.len() / outputs;
        let (turned, input) = (View::transposed(at.delta, outputs), View::rows(at.first, depth));
        let weight_gradient = &mut at.gradient[self.weight..][..outputs * depth];
        T::product([outputs, rows, depth], turned, input, false, weight_gradient, at.scratch.pieces.parallel);
        if let Some(bias) = self.bias {
            let sums = &mut at.gradient[bias..][..outputs];
            sums.fill(T::zero());
            let add = |row: &[T]| sums.iter_mut().zip(row).for_each(|(sum, d)| *sum += *d);
            at.delta.chunks_exact(outputs).for_each(add);
        }
        if let Some(below) = below {
            let weight = View::rows(&at.parameters[self.weight..][..outputs * depth], depth);
            let deltas = View::rows(at.delta, outputs);
            T::product([rows, outputs, depth], deltas, weight, false, below, at.scratch.pieces.parallel);
        }
    }

    fn device_forward(&self, at: &DeviceNode) -> Vec<DeviceCall> {
        let params = self.packed(at, self.on_device(at).forward());
        let epilogue = if self.bias.is_some() { Epilogue::Forward(None) } else { Epilogue::Plain };
        vec![call(epilogue, &params, [at.first, BufferRole::Versions, at.made])]
    }

    fn device_gradient(&self, at: &DeviceNode, delta: BufferRole) -> Vec<DeviceCall> {
        let params = self.on_device(at).gradient();
        // Without a bias there is no column for it.
        let (epilogue, columns) = match self.bias {
            Some(_) => (Epilogue::Gradient, params.columns),
            None => (Epilogue::Plain, params.columns - 1),
        };
        vec![call(epilogue, &matmul::Params { columns, ..params }, [delta, at.first, BufferRole::Gradient])]
    }

    fn device_backward(&self, at: &DeviceNode, delta: BufferRole, below: BufferRole) -> Vec<DeviceCall> {
        vec![call(Epilogue::PlainBackward, &self.on_device(at).backward(), [delta, BufferRole::Versions, below])]
    }
}

/// A product; `buffers` are the two factors and the result.
fn call(epilogue: Epilogue, params: &matmul::Params, [a, b, c]: [BufferRole; 3]) -> DeviceCall {
    matmul::call(epilogue, params, [BufferRole::LaneSteps, a, b, c, BufferRole::Unwritten])
}
