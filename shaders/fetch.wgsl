// Copies the weights that every lane's step reads out of a part of its ring (src/kernels/fetch.rs). One invocation per parameter.

struct Params { step: u32, lanes: u32, parameters: u32, first: u32, length: u32, history_stride: u32, backward: u32 }

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> history: array<f32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
var<immediate> params: Params;

@compute @workgroup_size(WORKGROUP)
fn fetch(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = group.y;
    let lane_step = lane_steps[params.step * params.lanes + lane];
    if lane_step.busy == 0u { return; }
    let inner = (group.z * groups.x + group.x) * WORKGROUP + local;
    if inner >= params.length { return; }

    let slot = select(lane_step.read, lane_step.backward, params.backward == 1u);
    let version = lane * params.history_stride + slot * params.length;
    weights[lane * params.parameters + params.first + inner] = history[version + inner];
}
