// What a lane does at one step (LaneStep in src/kernels/mod.rs).

struct LaneStep {
    busy: u32, read: u32, backward: u32, rows: u32, base: u32, part: u32,
}

// What `part` holds (src/outer.rs): the role of the gradient, two flags, and the slot of the local weights.
fn role_of(lane_step: LaneStep) -> u32 { return lane_step.part & 3u; }
fn joins(lane_step: LaneStep) -> bool { return (lane_step.part & 4u) != 0u; }
fn keeps_local(lane_step: LaneStep) -> bool { return (lane_step.part & 8u) != 0u; }
fn local_slot(lane_step: LaneStep) -> u32 { return lane_step.part >> 4u; }
// Whether the server moves after this gradient.
fn ends_update(lane_step: LaneStep) -> bool { return role_of(lane_step) == 0u || role_of(lane_step) == 3u; }
