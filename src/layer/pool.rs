//! `max(K)`, `avg(K)`: the largest number of every window of K x K pixels, or the mean; without a window that of all pixels of
//! each channel.

use super::device::{BufferRole, DeviceCall, DeviceNode};
use super::tensor::Site;
use super::text::{Call, show};
use super::traits::{Backward, Compute, Forward, Layer};
use super::window;
use crate::kernels::pool::{Pass, Pool, Pooling};
use crate::math::{Number, Shape, Window};
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct PoolLayer {
    pub kind: Pooling,
    /// All pixels where `None`.
    pub window: Option<Window>,
}

impl Layer for PoolLayer {
    type Op = PoolOp;

    fn usage() -> String {
        "max(K), avg(K) (with stride=S, pad=P), max, avg".into()
    }

    fn parse(call: &Call) -> Result<Option<Self>, String> {
        let kind = match call.name() {
            "max" => Pooling::Max,
            "avg" => Pooling::Avg,
            _ => return Ok(None),
        };
        match (call.numbers(&[]), call.numbers(&window::OPTIONS)) {
            (Some([]), _) => Ok(Some(Self { kind, window: None })),
            (_, Some(&[kernel])) => Ok(Some(Self { kind, window: Some(window::read(call, kernel, kernel)?) })),
            _ => Ok(None),
        }
    }

    fn place(&self, site: &mut Site) -> Result<Option<(PoolOp, Shape)>, String> {
        let Shape { height, width, .. } = site.input;
        let window = match self.window {
            Some(window) => window,
            None if height == width => Window { kernel: height, stride: 1, padding: 0 },
            None => return Err(format!("{height} x {width} pixels, which are no square")),
        };
        // PyTorch's rule: every place of the window has a pixel.
        if 2 * window.padding > window.kernel {
            let Window { kernel, padding, .. } = window;
            return Err(format!("a padding of {padding}, more than half of its window of {kernel}"));
        }
        Ok(Some((PoolOp { kind: self.kind, window }, window::slide(site.input, window)?)))
    }
}

impl fmt::Display for PoolLayer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let kernel = self.window.map(|window| window.kernel.to_string());
        let options = self.window.map(|window| window::show(window, window.kernel));
        let parts: Vec<String> = kernel.into_iter().chain(options.into_iter().flatten()).collect();
        f.write_str(&show(&self.kind.to_string(), &parts))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolOp {
    pub kind: Pooling,
    pub window: Window,
}

impl PoolOp {
    fn between(self, input: Shape, output: Shape) -> Pool {
        Pool { kind: self.kind, input, output, window: self.window }
    }

    fn call(self, at: &DeviceNode, pass: Pass, [input, delta, output]: [BufferRole; 3]) -> DeviceCall {
        let pool = self.between(at.input, at.output);
        pool.call(pass, at.batch.lanes, at.batch.rows, [BufferRole::LaneSteps, input, delta, output])
    }
}

impl Compute for PoolOp {
    /// Where each of the largest was.
    fn keeps(&self) -> usize {
        1
    }

    fn forward<T: Number>(&self, at: Forward<T>) {
        at.kept.indices.resize(at.made.len(), 0);
        self.between(at.input, at.output).forward(at.first, at.made, &mut at.kept.indices, at.scratch.pieces);
    }

    fn backward<T: Number>(&self, at: Backward<T>, below: Option<&mut [T]>) {
        if let Some(below) = below {
            self.between(at.input, at.output).backward(at.delta, &at.kept.indices, below, at.scratch.pieces);
        }
    }

    fn device_forward(&self, at: &DeviceNode) -> Vec<DeviceCall> {
        vec![self.call(at, Pass::Forward, [at.first, BufferRole::Unread, at.made])]
    }

    fn device_backward(&self, at: &DeviceNode, delta: BufferRole, below: BufferRole) -> Vec<DeviceCall> {
        vec![self.call(at, Pass::Backward, [at.first, delta, below])]
    }
}
