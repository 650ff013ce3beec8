//! The vectors of every lane that lie on the device, brought to the host and back.
//!
//! Not here: what the host itself knows of a lane ([`super::tables`]).

use crate::engine::gpu::device::{Buffer, Device};
use crate::engine::gpu::steps::WaveLayout;
use crate::engine::gpu::steps::buffers::{Buffers, Name};
use crate::engine::lane_state::{StateReader, StateWriter};
use crate::engine::{EngineError, Needs, StateError, StateShape};
use crate::kernels::packing::Packing;

/// Bytes that are brought to the host or to the device at once, as long as they hold a vector.
const PORTION: usize = 64 << 20;

pub struct Resident {
    device: Device,
    packing: Packing,
    /// Numbers of a stored vector.
    parameters: usize,
    /// What every lane has room for.
    needs: Needs,
    server: Buffer,
    history: Buffer,
    state: Buffer,
    statistics: Buffer,
    /// Running statistics of a lane.
    statistics_count: usize,
    /// Bytes that were written and wait in host memory for the next submit, about.
    waiting: usize,
}

impl Resident {
    pub fn new(device: &Device, layout: &WaveLayout, buffers: &Buffers) -> Self {
        let names = [Name::Server, Name::History, Name::State, Name::Statistics];
        let [server, history, state, statistics] = names.map(|name| buffers[name].clone());
        let (packing, parameters, needs) = (layout.sizes.packing.clone(), layout.sizes.parameters, layout.spec.needs);
        let statistics_count = layout.spec.problem.fresh_statistics().len();
        let device = device.clone();
        Self { device, packing, parameters, needs, server, history, state, statistics, statistics_count, waiting: 0 }
    }

    /// A lane's server weights, P, after all that was submitted.
    ///
    /// # Errors
    /// As [`Device::check`].
    pub fn weights(&self, lane: usize) -> Result<Vec<f64>, EngineError> {
        let server: Vec<f32> = self.device.read(&self.server, lane * self.parameters, self.parameters)?;
        Ok(self.packing.unpack(&server))
    }

    /// A lane's running statistics, after all that was submitted.
    ///
    /// # Errors
    /// As [`Device::check`].
    pub fn statistics(&self, lane: usize) -> Result<Vec<f64>, EngineError> {
        let length = self.statistics_count;
        if length == 0 {
            return Ok(Vec::new());
        }
        let statistics: Vec<f32> = self.device.read(&self.statistics, lane * length, length)?;
        Ok(statistics.into_iter().map(f64::from).collect())
    }

    /// Puts running statistics in a lane's place, after all that was submitted.
    pub fn set_statistics(&self, lane: usize, statistics: &[f64]) {
        let narrow: Vec<f32> = statistics.iter().map(|x| *x as f32).collect();
        self.device.write(&self.statistics, lane * narrow.len(), &narrow);
    }

    /// Writes the vectors of a lane whose run has this shape.
    ///
    /// # Errors
    /// As [`Device::check`], or where `out` cannot be written.
    pub fn save(&self, lane: usize, shape: StateShape, out: &mut StateWriter) -> Result<(), StateError> {
        for (buffer, first, vectors) in self.portions(lane, shape) {
            let packed: Vec<f32> = self.device.read(buffer, first, vectors * self.parameters)?;
            for vector in packed.chunks_exact(self.parameters) {
                out.numbers(&self.packing.unpack(vector))?;
            }
        }
        Ok(out.numbers(&self.statistics(lane)?)?)
    }

    /// Puts back what [`Self::save`] wrote.
    ///
    /// # Errors
    /// As [`Device::check`], or where `state` cannot be read.
    pub fn restore(&mut self, lane: usize, shape: StateShape, state: &mut StateReader) -> Result<(), StateError> {
        let mut waiting = self.waiting;
        for (buffer, first, vectors) in self.portions(lane, shape) {
            let mut packed = Vec::with_capacity(vectors * self.parameters);
            for _ in 0..vectors {
                packed.extend(self.packing.pack(&state.numbers(shape.parameters)?));
            }
            self.device.write(buffer, first, &packed);
            waiting += size_of_val(&packed[..]);
            if waiting > PORTION {
                self.device.run(&[], 1);
                self.device.wait()?;
                waiting = 0;
            }
        }
        self.waiting = waiting;
        self.set_statistics(lane, &state.numbers(shape.statistics)?);
        Ok(self.device.check()?)
    }

    /// Where a lane's vectors lie, in the order of a saved state: buffer, first element and number of vectors.
    fn portions(&self, lane: usize, shape: StateShape) -> Vec<(&Buffer, usize, usize)> {
        let parameters = self.parameters;
        let memories = lane * self.needs.memories() * parameters;
        let second = memories + self.needs.velocities() * parameters;
        let most = (PORTION / (parameters * size_of::<f32>()).max(1)).max(1);
        let pieces = [
            (&self.server, lane * parameters, 1),
            (&self.history, lane * self.needs.versions() * parameters, shape.slots),
            (&self.state, memories, shape.velocities),
            (&self.state, second, shape.seconds),
        ];
        let cut = pieces.into_iter().flat_map(|(buffer, first, vectors)| {
            (0..vectors).step_by(most).map(move |done| (buffer, first + done * parameters, most.min(vectors - done)))
        });
        cut.collect()
    }
}
