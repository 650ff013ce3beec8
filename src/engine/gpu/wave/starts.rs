//! Where runs start: every distinct start is brought to the device once, and one dispatch gives theirs to all lanes that
//! began since the last submit.

use crate::engine::WaveSpec;
use crate::engine::gpu::device::Dispatch;
use crate::engine::gpu::device::{Buffer, Device};
use crate::engine::gpu::plan::Plan;
use crate::kernels::packing::Packing;
use crate::kernels::{LaneStep, grid, start};
use std::sync::Arc;

/// Distinct starts that there is room for at first: a sweep has two.
pub const ROOM: usize = 2;

pub struct Starts {
    device: Device,
    packing: Packing,
    params: start::Params,
    /// Server, history and state of the wave.
    targets: [Buffer; 3],
    /// The distinct starts, P each; never more than lanes.
    known: Vec<Arc<Vec<f64>>>,
    /// How many of them the device has.
    resident: usize,
    /// How many it has room for.
    room: usize,
    /// room x P.
    starts: Buffer,
    /// lanes: those that began since the last submit.
    begun: Vec<LaneStep>,
    /// The same on the device.
    lane_steps: Buffer,
    dispatch: Dispatch,
}

impl Starts {
    /// `targets`: server, history and state of a wave.
    pub fn new(device: &Device, spec: &WaveSpec, plan: &Plan, targets: [&Buffer; 3]) -> Self {
        let params = start::Params {
            step: 0,
            parameters: plan.parameters as u32,
            slots: spec.needs.slots as u32,
            memories: spec.needs.memories() as u32,
        };
        let targets = targets.map(Clone::clone);
        let begun = vec![LaneStep::default(); spec.lanes];
        let lane_steps = device.buffer_of("starting", &begun);
        let room = ROOM.min(spec.lanes);
        let starts = device.buffer("starts", (room * plan.parameters * size_of::<f32>()) as u64);
        let dispatch = dispatch(device, &params, &lane_steps, &starts, &targets, spec.lanes);
        let (known, device) = (Vec::new(), device.clone());
        Self {
            device,
            packing: plan.packing.clone(),
            params,
            targets,
            known,
            resident: 0,
            room,
            starts,
            begun,
            lane_steps,
            dispatch,
        }
    }

    /// Notes that `lane` begins at `start`.
    pub fn begin(&mut self, lane: usize, start: &Arc<Vec<f64>>) {
        let known = self.known.iter().position(|known| Arc::ptr_eq(known, start) || known == start);
        let number = known.unwrap_or_else(|| {
            if self.known.len() == self.begun.len() {
                self.flush();
                (self.known, self.resident) = (Vec::new(), 0);
            }
            self.known.push(Arc::clone(start));
            self.known.len() - 1
        });
        self.begun[lane] = LaneStep { busy: 1, read: number as u32, ..LaneStep::default() };
    }

    /// Puts every lane that has begun where it starts, before whatever is submitted next.
    pub fn flush(&mut self) {
        if self.begun.iter().all(|place| place.busy == 0) {
            return;
        }
        let (parameters, lanes) = (self.params.parameters as usize, self.begun.len());
        if self.known.len() > self.room {
            self.room = self.known.len().next_power_of_two().min(lanes);
            self.starts = self.device.buffer("starts", (self.room * parameters * size_of::<f32>()) as u64);
            self.resident = 0;
            self.dispatch = dispatch(&self.device, &self.params, &self.lane_steps, &self.starts, &self.targets, lanes);
        }
        let new = self.known[self.resident..].iter().flat_map(|start| self.packing.pack(start));
        self.device.write(&self.starts, self.resident * parameters, &new.collect::<Vec<f32>>());
        self.resident = self.known.len();
        self.device.write(&self.lane_steps, 0, &self.begun);
        self.device.run(std::slice::from_ref(&self.dispatch), 1);
        self.begun.fill(LaneStep::default());
    }
}

fn dispatch(
    device: &Device,
    params: &start::Params,
    lane_steps: &Buffer,
    starts: &Buffer,
    [server, history, state]: &[Buffer; 3],
    lanes: usize,
) -> Dispatch {
    let workgroups = grid((params.parameters as usize).div_ceil(start::WORKGROUP), lanes);
    let pipeline = device.pipeline(&start::KERNEL, &[]);
    device.dispatch(&pipeline, &[lane_steps, starts, server, history, state], params, workgroups)
}
