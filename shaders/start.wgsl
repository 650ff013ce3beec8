// Puts lanes at the beginning of their runs (src/kernels/start.rs). One invocation per parameter.

struct Params { step: u32, parameters: u32, first: u32, length: u32, slots: u32, memories: u32 }

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> starts: array<f32>;
@group(0) @binding(2) var<storage, read_write> server: array<f32>;
@group(0) @binding(3) var<storage, read_write> history: array<f32>;
@group(0) @binding(4) var<storage, read_write> state: array<f32>;
var<immediate> params: Params;

@compute @workgroup_size(WORKGROUP)
fn start(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = group.y;
    let lane_step = lane_steps[lane];
    if lane_step.busy == 0u { return; }
    let inner = (group.z * groups.x + group.x) * WORKGROUP + local;
    if inner >= params.length { return; }
    let i = params.first + inner;

    let x = starts[lane_step.read * params.parameters + i];
    server[lane * params.parameters + i] = x;
    for (var slot = 0u; slot < params.slots; slot++) {
        history[(lane * params.slots + slot) * params.length + inner] = x;
    }
    for (var memory = 0u; memory < params.memories; memory++) {
        state[(lane * params.memories + memory) * params.length + inner] = 0.0;
    }
}
