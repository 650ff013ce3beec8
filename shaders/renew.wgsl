// Copies the state of a lane to another and scales it about the minimum (src/kernels/renew.rs). One invocation per
// parameter.

struct Params { step: u32, parameters: u32, first: u32, length: u32, slots: u32, velocities: u32, seconds: u32 }

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> factors: array<f32>;
@group(0) @binding(2) var<storage, read> landmarks: array<f32>;
@group(0) @binding(3) var<storage, read_write> server: array<f32>;
@group(0) @binding(4) var<storage, read_write> history: array<f32>;
@group(0) @binding(5) var<storage, read_write> state: array<f32>;
var<immediate> params: Params;

@compute @workgroup_size(WORKGROUP)
fn renew(
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

    let source = lane_step.read;
    let factor = factors[lane];
    let minimum = landmarks[i];
    server[lane * params.parameters + i] = scaled(server[source * params.parameters + i], minimum, factor);
    for (var slot = 0u; slot < params.slots; slot++) {
        let x = history[at(source, params.slots, slot, inner)];
        history[at(lane, params.slots, slot, inner)] = scaled(x, minimum, factor);
    }
    let planes = params.velocities + params.seconds;
    for (var plane = 0u; plane < planes; plane++) {
        let power = select(factor, factor * factor, plane >= params.velocities);
        state[at(lane, planes, plane, inner)] = power * state[at(source, planes, plane, inner)];
    }
}

fn at(lane: u32, planes: u32, plane: u32, inner: u32) -> u32 {
    return (lane * planes + plane) * params.length + inner;
}

// A copy must keep its bits.
fn scaled(x: f32, minimum: f32, factor: f32) -> f32 {
    if factor == 1.0 { return x; }
    return minimum + factor * (x - minimum);
}
