//! Where runs start: every distinct start is brought to the device once, and one dispatch puts all lanes that began since the
//! last submit at their starts.

use crate::engine::gpu::device::{Device, Dispatch};
use crate::engine::gpu::steps::buffers::{Buffers, FIRST_STARTS, Name};
use crate::engine::gpu::steps::{Call, WaveLayout};
use crate::kernels::LaneStep;
use crate::kernels::packing::Packing;
use std::sync::Arc;

pub struct Starts {
    device: Device,
    packing: Packing,
    /// The distinct starts, P each; never more than lanes.
    known: Vec<Arc<Vec<f64>>>,
    /// How many of them the device has.
    resident: usize,
    /// How many its buffer holds.
    capacity: usize,
    /// lanes: those that began since the last submit.
    begun: Vec<LaneStep>,
    /// One for each part of the ring.
    calls: Vec<Call>,
    dispatches: Vec<Dispatch>,
}

impl Starts {
    pub fn new(device: &Device, layout: &WaveLayout, buffers: &Buffers) -> Self {
        let calls = layout.start();
        Self {
            device: device.clone(),
            packing: layout.sizes.packing.clone(),
            known: Vec::new(),
            resident: 0,
            capacity: FIRST_STARTS.min(layout.lanes),
            begun: vec![LaneStep::default(); layout.lanes],
            dispatches: bind(device, buffers, &calls),
            calls,
        }
    }

    /// Notes that `lane` begins at `start`.
    pub fn begin(&mut self, lane: usize, start: &Arc<Vec<f64>>, buffers: &mut Buffers) {
        let known = self.known.iter().position(|known| Arc::ptr_eq(known, start) || known == start);
        let number = known.unwrap_or_else(|| {
            if self.known.len() == self.begun.len() {
                self.flush(buffers);
                (self.known, self.resident) = (Vec::new(), 0);
            }
            self.known.push(Arc::clone(start));
            self.known.len() - 1
        });
        self.begun[lane] = LaneStep { busy: 1, read: number as u32, ..LaneStep::default() };
    }

    /// Puts every lane that has begun at its start, before whatever is submitted next.
    pub fn flush(&mut self, buffers: &mut Buffers) {
        if self.begun.iter().all(|place| place.busy == 0) {
            return;
        }
        let parameters = self.packing.length();
        if self.known.len() > self.capacity {
            self.capacity = self.known.len().next_power_of_two().min(self.begun.len());
            buffers.grow(&self.device, Name::Starts, (self.capacity * parameters * size_of::<f32>()) as u64);
            self.resident = 0;
            self.dispatches = bind(&self.device, buffers, &self.calls);
        }
        let new = self.known[self.resident..].iter().flat_map(|start| self.packing.pack(start));
        self.device.write(&buffers[Name::Starts], self.resident * parameters, &new.collect::<Vec<f32>>());
        self.resident = self.known.len();
        self.device.write(&buffers[Name::Starting], 0, &self.begun);
        self.device.run(&self.dispatches, 1);
        self.begun.fill(LaneStep::default());
    }
}

fn bind(device: &Device, buffers: &Buffers, calls: &[Call]) -> Vec<Dispatch> {
    calls.iter().map(|call| buffers.bind(device, call.clone())).collect()
}
