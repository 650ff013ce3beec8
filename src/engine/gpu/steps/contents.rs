//! What the host writes into a wave's buffers when it opens, once.
//!
//! Not here: the tables of the steps and the starts of runs, which change (`wave`).

use super::WaveLayout;
use super::buffers::{Buffers, Name};
use super::path::{FUSED, Path};
use crate::data::Dataset;
use crate::engine::Part;
use crate::engine::gpu::device::Device;
use crate::kernels::packing::pad_rows;
use crate::problem::{Network, Problem};

impl WaveLayout<'_> {
    /// Fills the buffers that keep their contents for as long as the wave is open.
    pub fn write_contents(&self, device: &Device, buffers: &Buffers) {
        let unknown = vec![0.0; self.spec.problem.dimension()];
        let curvature = self.spec.problem.curvature().unwrap_or(&unknown);
        let landmarks = [&self.spec.minimum, &self.spec.direction, curvature];
        let landmarks = landmarks.map(|landmark| self.sizes.packing.pack(landmark));
        device.write(&buffers[Name::Landmarks], 0, &landmarks.concat());
        match &*self.spec.problem {
            Problem::Quadratic(problem) => {
                let eigenvalues: Vec<f32> = problem.eigenvalues.iter().map(|x| *x as f32).collect();
                device.write(&buffers[Name::Eigenvalues], 0, &eigenvalues);
            }
            Problem::Dense(quadratic) => {
                let full = self.spec.batch.is_none();
                let hessians = if full { quadratic.mean() } else { quadratic.hessians() };
                let hessians: Vec<f32> = hessians.iter().map(|x| *x as f32).collect();
                device.write(&buffers[Name::Hessians], 0, &hessians);
                if full {
                    device.write(&buffers[Name::AllRows], 0, &[0u32]);
                }
            }
            Problem::Network(network) => self.write_network(network, device, buffers),
        }
    }

    fn write_network(&self, network: &Network, device: &Device, buffers: &Buffers) {
        self.write_data(Part::Train, &network.data, device, buffers);
        match (self.sizes.path, network.model.perceptron()) {
            (Path::Fused(shape), model) => {
                device.write(&buffers[Name::Layers], 0, &shape.layers(model.expect(FUSED)));
            }
            (Path::Layered, None) if self.spec.batch.is_none() => {
                let all: Vec<u32> = (0..self.sizes.rows as u32).collect();
                device.write(&buffers[Name::AllRows], 0, &all);
            }
            (Path::Layered, _) => {}
        }
        if !self.spec.needs.evaluation {
            return;
        }
        for (part, data) in self.parts(network) {
            // The last chunk is filled with the last sample, which does not count there.
            let rows = 0..self.chunks(data) * self.sizes.chunk;
            let rows: Vec<u32> = rows.map(|row| row.min(data.samples() - 1) as u32).collect();
            device.write(&buffers[Name::ChunkRows(part)], 0, &rows);
            if part == Part::Test {
                self.write_data(part, data, device, buffers);
            }
        }
    }

    /// Samples one after the other or, for the fused path, each padded to whole vec4s.
    fn write_data(&self, part: Part, data: &Dataset, device: &Device, buffers: &Buffers) {
        let inputs = &buffers[Name::Data(part)];
        if self.is_fused() {
            device.write(inputs, 0, &pad_rows(&data.inputs, data.features()));
        } else {
            device.write(inputs, 0, &data.inputs);
        }
        device.write(&buffers[Name::Labels(part)], 0, &data.labels);
    }
}
