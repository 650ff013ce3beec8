//! `bn`, `gn(G)`: batch norm, and group norm with G groups: (x - mean) / sqrt(variance + epsilon) weight + bias, weight and bias
//! one for each channel, as in PyTorch's `nn.BatchNorm2d` and `nn.GroupNorm`.

use super::device::{BufferRole, DeviceCall, DeviceNode, Purpose};
use super::tensor::{Site, Start};
use super::text::Call;
use super::traits::{Backward, Compute, Forward, Kept, Layer, Mode};
use crate::kernels::norm::{self, Norm, Over, Pass};
use crate::math::{Number, Shape};
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub enum NormLayer {
    Batch,
    Groups(usize),
}

impl Layer for NormLayer {
    type Op = NormOp;

    fn usage() -> String {
        "bn, gn(G)".into()
    }

    fn parse(call: &Call) -> Result<Option<Self>, String> {
        Ok(match (call.name(), call.numbers(&[])) {
            ("bn", Some([])) => Some(Self::Batch),
            ("gn", Some([groups])) => Some(Self::Groups(*groups)),
            _ => None,
        })
    }

    fn place(&self, site: &mut Site) -> Result<Option<(NormOp, Shape)>, String> {
        let channels = site.input.channels;
        let over = match *self {
            Self::Batch => {
                let statistics = site.statistic("running_mean", vec![channels], Start::Constant(0.0));
                site.statistic("running_var", vec![channels], Start::Constant(1.0));
                site.counter("num_batches_tracked");
                Over::Batch { statistics }
            }
            Self::Groups(groups) if groups > 0 && channels.is_multiple_of(groups) => Over::Groups(groups),
            Self::Groups(groups) => return Err(format!("{groups} groups of {channels} channels")),
        };
        let weight = site.parameter("weight", vec![channels], Start::Constant(1.0));
        site.parameter("bias", vec![channels], Start::Constant(0.0));
        Ok(Some((NormOp { over, weight }, site.input)))
    }
}

impl fmt::Display for NormLayer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Batch => f.write_str("bn"),
            Self::Groups(groups) => write!(f, "gn({groups})"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormOp {
    pub over: Over,
    /// Offset of the weight in the flat parameter vector; the bias follows.
    pub weight: usize,
}

impl NormOp {
    fn of(self, shape: Shape) -> Norm {
        Norm { over: self.over, shape }
    }

    fn call(self, at: &DeviceNode, pass: Pass, delta: BufferRole, to: BufferRole) -> DeviceCall {
        let updates_statistics = matches!(at.purpose, Purpose::Training { updates_statistics: true });
        let (norm, statistics) = (self.of(at.output), at.statistics);
        let layer = norm::Layer { batch: at.batch, norm, weight: self.weight, statistics, updates_statistics };
        let (steps, weights, statistics) = (BufferRole::LaneSteps, BufferRole::Versions, BufferRole::Statistics);
        layer.call(pass, [steps, weights, at.first, delta, at.kept, statistics, to])
    }
}

impl Compute for NormOp {
    fn has_parameters(&self) -> bool {
        true
    }

    fn folds(&self) -> bool {
        true
    }

    fn folds_back(&self) -> bool {
        true
    }

    fn joins_samples(&self) -> bool {
        matches!(self.over, Over::Batch { .. })
    }

    fn check_rows(&self, rows: usize, output: Shape) -> Result<(), String> {
        if self.joins_samples() && rows * output.pixels() < 2 {
            return Err(
                "a batch norm of one number for each channel has no variance; accepted: batches of at least 2".into()
            );
        }
        Ok(())
    }

    fn forward<T: Number>(&self, at: Forward<T>) {
        let channels = at.output.channels;
        let (weight, bias) = at.parameters[self.weight..][..2 * channels].split_at(channels);
        let (norm, pieces) = (self.of(at.output), at.scratch.pieces);
        match at.mode {
            Mode::Training => norm.forward(at.first, weight, bias, &mut at.kept.moments, at.made, at.then, pieces),
            Mode::Evaluation(statistics) => {
                norm.evaluate(at.first, weight, bias, statistics, at.made, at.then, pieces);
            }
        }
    }

    fn backward<T: Number>(&self, at: Backward<T>, below: Option<&mut [T]>) {
        let channels = at.output.channels;
        let weight = &at.parameters[self.weight..][..channels];
        let (weight_gradient, bias_gradient) = at.gradient[self.weight..][..2 * channels].split_at_mut(channels);
        let gradients = [weight_gradient, bias_gradient];
        let mut unread = Vec::new();
        let below = below.unwrap_or_else(|| {
            unread.resize(at.delta.len(), T::zero());
            &mut unread
        });
        let moments = &at.kept.moments;
        let delta = (at.delta, at.behind);
        self.of(at.output).backward(at.first, weight, delta, moments, gradients, below, at.scratch.pieces);
    }

    fn update_statistics<T: Number>(&self, rows: usize, output: Shape, kept: &Kept<T>, statistics: &mut [T]) {
        self.of(output).freshen(rows, &kept.moments, statistics);
    }

    fn device_keeps(&self, at: &DeviceNode) -> usize {
        2 * self.of(at.output).sets(at.batch.rows)
    }

    fn device_forward(&self, at: &DeviceNode) -> Vec<DeviceCall> {
        let pass = match at.purpose {
            Purpose::Training { .. } => Pass::Forward,
            Purpose::Evaluation(_) => Pass::Evaluate,
        };
        vec![self.call(at, pass, BufferRole::Unread, at.made)]
    }

    fn device_gradient(&self, at: &DeviceNode, delta: BufferRole) -> Vec<DeviceCall> {
        vec![self.call(at, Pass::Gradient, delta, BufferRole::Gradient)]
    }

    fn device_backward(&self, at: &DeviceNode, delta: BufferRole, below: BufferRole) -> Vec<DeviceCall> {
        vec![self.call(at, Pass::Backward, delta, below)]
    }
}
