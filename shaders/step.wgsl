// The delayed update over the ring of weight versions, and partial sums of what is observed of it
// (src/kernels/step.rs). One invocation per parameter.

struct Place { busy: u32, read: u32, write: u32, velocity: u32 }
struct Update { lr: f32, momentum: f32, intake: f32, direct: f32, carried: f32 }
struct Params {
    step: u32, lanes: u32,
    parameters: u32, history_stride: u32, velocity_stride: u32, partials: u32,
    weight_decay: f32,
}

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> places: array<Place>;
@group(0) @binding(1) var<storage, read> updates: array<Update>;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read> landmarks: array<f32>;
@group(0) @binding(4) var<storage, read_write> server: array<f32>;
@group(0) @binding(5) var<storage, read_write> history: array<f32>;
@group(0) @binding(6) var<storage, read_write> velocity: array<f32>;
@group(0) @binding(7) var<storage, read_write> moment_partials: array<vec4f>;
var<immediate> params: Params;

var<workgroup> sums: array<vec4f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn step(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = group.y;
    let place = places[params.step * params.lanes + lane];
    if place.busy == 0u { return; }

    let i = group.x * WORKGROUP + local;
    var moments = vec4f(); // Beyond the last parameter: nothing to add, but every invocation must reach the barriers.
    if i < params.parameters { moments = advance(lane, place, i); }
    sums[local] = moments;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width { sums[local] += sums[local + width]; }
    }
    if local == 0u { moment_partials[lane * params.partials + group.x] = sums[0]; }
}

// Moves one parameter; returns its share of distance^2, projection, ||x_read||^2 and the count of non-finite weights.
fn advance(lane: u32, place: Place, i: u32) -> vec4f {
    let update = updates[lane];
    let ring = lane * params.history_stride + i;
    // Read before the write below: at every delay but a recorded one it is the same slot.
    let read = history[ring + place.read * params.parameters];
    let own = lane * params.parameters + i;
    let kept = lane * params.velocity_stride + place.velocity * params.parameters + i;
    let g = gradient[own] + params.weight_decay * read;
    let v = update.momentum * velocity[kept] + update.intake * g;
    let x = server[own] - update.lr * (update.direct * g + update.carried * v);
    velocity[kept] = v;
    server[own] = x;
    history[ring + place.write * params.parameters] = x;

    let displacement = x - landmarks[i];
    let projection = displacement * landmarks[params.parameters + i];
    return vec4f(displacement * displacement, projection, read * read, f32(is_not_finite(x)));
}

// By its bits: a driver may take x != x as always false.
fn is_not_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}
