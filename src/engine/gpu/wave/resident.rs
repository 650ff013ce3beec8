//! The vectors of every lane that lie on the device, brought to the host and back.
//!
//! Not here: what the host itself knows of a lane ([`super::tables`]).

use crate::engine::gpu::device::{Buffer, Device};
use crate::engine::gpu::steps::WaveLayout;
use crate::engine::gpu::steps::buffers::{Buffers, Name};
use crate::engine::lane_state::{StateReader, StateWriter};
use crate::engine::{EngineError, Needs, StateError, StateShape};
use crate::kernels::packing::Packing;
use std::ops::Range;

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
    /// The parts of the ring and of what rules remember: their numbers of a vector, and their buffers.
    parts: Vec<(Range<usize>, [Buffer; 2])>,
    statistics: Buffer,
    /// Running statistics of a lane.
    statistics_count: usize,
    /// Bytes that were written and wait in host memory for the next submit, about.
    waiting: usize,
}

impl Resident {
    pub fn new(device: &Device, layout: &WaveLayout, buffers: &Buffers) -> Self {
        let [server, statistics] = [Name::Server, Name::Statistics].map(|name| buffers[name].clone());
        let part = |(part, range): (usize, Range<usize>)| {
            (range, [Name::History(part), Name::State(part)].map(|name| buffers[name].clone()))
        };
        let parts = layout.ring_parts().enumerate().map(part).collect();
        let (packing, parameters, needs) = (layout.sizes.packing.clone(), layout.sizes.parameters, layout.spec.needs);
        let statistics_count = layout.spec.problem.fresh_statistics().len();
        let device = device.clone();
        Self { device, packing, parameters, needs, server, parts, statistics, statistics_count, waiting: 0 }
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
        for portion in self.portions(lane, shape) {
            let mut packed = vec![0.0; portion.vectors * self.parameters];
            for (range, buffer) in self.parts_of(portion.plane) {
                let first = portion.first * range.len();
                let part: Vec<f32> = self.device.read(buffer, first, portion.vectors * range.len())?;
                for (vector, part) in packed.chunks_exact_mut(self.parameters).zip(part.chunks_exact(range.len())) {
                    vector[range.clone()].copy_from_slice(part);
                }
            }
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
        for portion in self.portions(lane, shape) {
            let mut packed = Vec::with_capacity(portion.vectors * self.parameters);
            for _ in 0..portion.vectors {
                packed.extend(self.packing.pack(&state.numbers(shape.parameters)?));
            }
            for (range, buffer) in self.parts_of(portion.plane) {
                let vectors = packed.chunks_exact(self.parameters);
                let part: Vec<f32> = vectors.flat_map(|vector| vector[range.clone()].iter().copied()).collect();
                self.device.write(buffer, portion.first * range.len(), &part);
            }
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

    /// Where a lane's vectors lie, in the order of a saved state.
    fn portions(&self, lane: usize, shape: StateShape) -> Vec<Portion> {
        let memories = lane * self.needs.memories();
        let most = (PORTION / (self.parameters * size_of::<f32>()).max(1)).max(1);
        let pieces = [
            (Plane::Server, lane, 1),
            (Plane::History, lane * self.needs.versions(), shape.slots),
            (Plane::State, memories, shape.velocities),
            (Plane::State, memories + self.needs.velocities(), shape.seconds),
        ];
        let cut = pieces.into_iter().flat_map(|(plane, first, vectors)| {
            let portion = move |done| Portion { plane, first: first + done, vectors: most.min(vectors - done) };
            (0..vectors).step_by(most).map(portion)
        });
        cut.collect()
    }

    /// The buffers of a plane, and the numbers of a vector that each of them has.
    fn parts_of(&self, plane: Plane) -> Vec<(Range<usize>, &Buffer)> {
        let place = match plane {
            Plane::Server => return vec![(0..self.parameters, &self.server)],
            Plane::History => 0,
            Plane::State => 1,
        };
        self.parts.iter().map(|(range, buffers)| (range.clone(), &buffers[place])).collect()
    }
}

#[derive(Clone, Copy)]
enum Plane {
    Server,
    History,
    State,
}

/// Vectors that lie one after the other, counted from the first lane's first.
struct Portion {
    plane: Plane,
    first: usize,
    vectors: usize,
}
