// Batch norm and group norm of every lane at once, and their derivatives (src/kernels/norm.rs). One workgroup per unit, whose
// numbers share a mean and a variance; of the gradient one per channel.

struct Params {
    step: u32, lanes: u32,
    rows: u32, channels: u32, pixels: u32, groups: u32,
    version_lane_stride: u32, version_slot_stride: u32, weight: u32, parameters: u32,
    statistics: u32, statistics_stride: u32,
    freshness: f32,
}

override WORKGROUP: u32;
override EPSILON: f32;
override OVER: u32;
override PASS: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> versions: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> moments: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> running: array<f32>;
@group(0) @binding(6) var<storage, read_write> output: array<f32>;
var<immediate> params: Params;

var<workgroup> sums: array<vec2f, WORKGROUP>;

// Numbers of a workgroup: those of a channel in all samples, or of a group of channels in one.
struct Unit { lane: u32, number: u32, count: u32 }

@compute @workgroup_size(WORKGROUP)
fn norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = group.y;
    let lane_step = lane_steps[params.step * params.lanes + lane];
    if lane_step.busy == 0u { return; }

    let by_channel = OVER == BATCH || PASS == GRADIENT;
    let count = select(params.channels / params.groups, params.rows, by_channel) * params.pixels;
    let unit = Unit(lane, group.x, count);
    let slot = select(lane_step.read, lane_step.backward, PASS == BACKWARD);
    let version = lane * params.version_lane_stride + slot * params.version_slot_stride + params.weight;
    if PASS == FORWARD || PASS == EVALUATE {
        forward(unit, version, local);
    } else if PASS == BACKWARD {
        backward(unit, version, local);
    } else {
        differentiate(unit, local);
    }
}

// The index of an element of a unit, and its channel.
fn find(unit: Unit, element: u32) -> vec2u {
    let size = params.channels * params.pixels;
    if OVER == BATCH || PASS == GRADIENT {
        let sample = unit.lane * params.rows + element / params.pixels;
        return vec2u(sample * size + unit.number * params.pixels + element % params.pixels, unit.number);
    }
    let first = unit.number % params.groups * (params.channels / params.groups);
    let channel = first + element / params.pixels;
    return vec2u(unit.lane * params.rows * size + unit.number * unit.count + element, channel);
}

// Where the moments lie that belong to an element of a unit.
fn moments_of(unit: Unit, element: u32) -> u32 {
    if OVER == BATCH { return unit.lane * params.channels + unit.number; }
    let of_lane = unit.lane * params.rows * params.groups;
    if PASS == GRADIENT {
        let channels = params.channels / params.groups;
        return of_lane + element / params.pixels * params.groups + unit.number / channels;
    }
    return of_lane + unit.number;
}

// The sum over all invocations, which every one of them gets.
fn total(share: vec2f, local: u32) -> vec2f {
    // No invocation may still be reading the sum before.
    workgroupBarrier();
    sums[local] = share;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width { sums[local] += sums[local + width]; }
    }
    workgroupBarrier();
    return sums[0];
}

fn forward(unit: Unit, version: u32, local: u32) {
    let count = f32(unit.count);
    let kept = unit.lane * params.statistics_stride + params.statistics + unit.number;
    var mean = 0.0;
    var variance = 0.0;
    if OVER == BATCH && PASS == EVALUATE {
        mean = running[kept];
        variance = running[kept + params.channels];
    } else {
        var share = 0.0;
        for (var e = local; e < unit.count; e += WORKGROUP) { share += input[find(unit, e).x]; }
        mean = total(vec2f(share, 0.0), local).x / count;
        // About the mean: a difference of squares would cancel.
        share = 0.0;
        for (var e = local; e < unit.count; e += WORKGROUP) {
            let away = input[find(unit, e).x] - mean;
            share += away * away;
        }
        variance = total(vec2f(share, 0.0), local).x / count;
    }
    let scale = 1.0 / sqrt(variance + EPSILON);
    for (var e = local; e < unit.count; e += WORKGROUP) {
        let at = find(unit, e);
        let normal = (input[at.x] - mean) * scale;
        output[at.x] = normal * versions[version + at.y] + versions[version + params.channels + at.y];
    }
    if PASS == EVALUATE || local > 0u { return; }
    moments[moments_of(unit, 0u)] = vec2f(mean, scale);
    if OVER == BATCH && params.freshness > 0.0 {
        let unbiased = variance * (count / (count - 1.0));
        running[kept] = (1.0 - params.freshness) * running[kept] + params.freshness * mean;
        running[kept + params.channels] =
            (1.0 - params.freshness) * running[kept + params.channels] + params.freshness * unbiased;
    }
}

// The delta of what was normalised.
fn backward(unit: Unit, version: u32, local: u32) {
    let moment = moments[moments_of(unit, 0u)];
    var share = vec2f();
    for (var e = local; e < unit.count; e += WORKGROUP) {
        let at = find(unit, e);
        let weighted = delta[at.x] * versions[version + at.y];
        share += vec2f(weighted, weighted * (input[at.x] - moment.x) * moment.y);
    }
    let mean = total(share, local) / f32(unit.count);
    for (var e = local; e < unit.count; e += WORKGROUP) {
        let at = find(unit, e);
        let weighted = delta[at.x] * versions[version + at.y];
        let normal = (input[at.x] - moment.x) * moment.y;
        output[at.x] = (weighted - mean.x - normal * mean.y) * moment.y;
    }
}

// The gradient with respect to weight and bias of a channel.
fn differentiate(unit: Unit, local: u32) {
    var share = vec2f();
    for (var e = local; e < unit.count; e += WORKGROUP) {
        let at = find(unit, e);
        let moment = moments[moments_of(unit, e)];
        share += vec2f(delta[at.x] * (input[at.x] - moment.x) * moment.y, delta[at.x]);
    }
    let sum = total(share, local);
    if local > 0u { return; }
    let own = unit.lane * params.parameters + params.weight + unit.number;
    output[own] = sum.x;
    output[own + params.channels] = sum.y;
}
