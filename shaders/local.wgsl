// What becomes of a gradient that is part of an update of an outer loop (src/kernels/local.rs). One invocation per
// parameter.

struct Params { step: u32, lanes: u32, parameters: u32, first: u32, length: u32, history_stride: u32 }

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> updates: array<vec4u>;
@group(0) @binding(2) var<storage, read> server: array<f32>;
@group(0) @binding(3) var<storage, read_write> history: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;
var<immediate> params: Params;

@compute @workgroup_size(WORKGROUP)
fn local(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) invocation: u32,
) {
    let lane = group.y;
    let at = params.step * params.lanes + lane;
    let lane_step = lane_steps[at];
    let role = role_of(lane_step);
    if lane_step.busy == 0u || role == NO_ROLE { return; }
    let inner = (group.z * groups.x + group.x) * WORKGROUP + invocation;
    if inner >= params.length { return; }

    let update = update_of(update_step_at(at));
    let own = lane * params.parameters + params.first + inner;
    let ring = lane * params.history_stride + inner;
    let place = ring + local_slot(lane_step) * params.length;
    let y = history[ring + lane_step.read * params.length];
    let g = gradient[own] + update.decay * y;
    let went = y - update.local_lr * g;
    if role == LOCAL {
        var stays = went;
        if update.merged != 0.0 { stays = (1.0 - update.merged) * went + update.merged * server[own]; }
        history[place] = stays;
        return;
    }
    var sent = g;
    if update.local_lr != 0.0 { sent = history[ring + lane_step.base * params.length] - went; }
    var part = update.part_share * sent;
    if joins(lane_step) { part += history[place + params.length]; }
    if role == ADD {
        history[place + params.length] = part;
        return;
    }
    if keeps_local(lane_step) { history[place] = went; }
    gradient[own] = part;
}
