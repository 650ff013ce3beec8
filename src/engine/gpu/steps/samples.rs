//! Data on a device: its samples and their labels, and the dispatch that gathers some of them.

use crate::batch::Augmentation;
use crate::data::Dataset;
use crate::engine::gpu::device::Dispatch;
use crate::engine::gpu::device::{Buffer, Device};
use crate::kernels::gather;
use crate::kernels::packing::{pad_rows, padded};
use crate::math::Shape;

pub struct Samples {
    pub inputs: Buffer,
    pub labels: Buffer,
    shape: Shape,
    /// Numbers from one sample to the next.
    stride: usize,
}

/// Which of them are gathered, and where to.
pub struct Gathering<'a> {
    pub lane_steps: &'a Buffer,
    /// Row numbers.
    pub order: &'a Buffer,
    pub augmentation: Augmentation,
    pub lanes: usize,
    /// Of a lane.
    pub rows: usize,
    /// lanes x rows x features
    pub inputs: &'a Buffer,
    /// lanes x rows
    pub labels: &'a Buffer,
}

impl Samples {
    /// One after the other or, for the fused path, each padded to whole vec4s.
    pub fn new(device: &Device, data: &Dataset, is_padded: bool) -> Self {
        let features = data.features();
        let (inputs, stride) = match is_padded {
            true => (device.buffer_of("data", &pad_rows(&data.inputs, features)), padded(features)),
            false => (device.buffer_of("data", &data.inputs), features),
        };
        Self { inputs, labels: device.buffer_of("labels", &data.labels), shape: data.shape, stride }
    }

    pub fn gather(&self, device: &Device, to: &Gathering) -> Dispatch {
        let Gathering { lane_steps, order, augmentation, lanes, rows, inputs, labels } = *to;
        let params = gather::params(lanes, rows, self.shape, augmentation);
        let params = gather::Params { stride: self.stride as u32, ..params };
        let workgroups = [(rows * self.shape.elements()).div_ceil(gather::WORKGROUP) as u32, lanes as u32, 1];
        let pipeline = device.pipeline(&gather::KERNEL, &gather::variant(augmentation));
        let buffers = [lane_steps, order, &self.inputs, &self.labels, inputs, labels];
        device.dispatch(&pipeline, &buffers, &params, workgroups)
    }
}
