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
override FOURS: u32; // Fours of elements that an invocation takes at a time: how often 'unrolled FOURS' stands (src/kernels/source.rs).

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> versions: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> moments: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> running: array<f32>;
@group(0) @binding(6) var<storage, read_write> output: array<f32>;
var<immediate> params: Params;

var<workgroup> sums: array<vec2f, WORKGROUP>;

// Numbers of a workgroup: those of a channel in all samples, or of a group of channels in one. They lie in planes, an element
// of which is `apart` from the same one of the next plane; the first plane begins at `begin`.
struct Unit { lane: u32, number: u32, count: u32, begin: u32, apart: u32, channel: u32 }

// An element of a unit, its plane and pixel. Invocations go from element to element in strides of WORKGROUP, without dividing
// at each.
struct Place { element: u32, plane: u32, pixel: u32 }

// Four elements after each other, for those beyond the last one the first. Several fours are read together: an invocation that
// waited for each number would wait most of the time.
struct Four { index: vec4u, plane: vec4u, inside: vec4<bool>, after: Place }

struct Moments { mean: vec4f, scale: vec4f }

@compute @workgroup_size(WORKGROUP)
fn norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = group.y;
    let lane_step = lane_steps[params.step * params.lanes + lane];
    if lane_step.busy == 0u { return; }

    let unit = unit_of(lane, group.x);
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

fn unit_of(lane: u32, number: u32) -> Unit {
    let size = params.channels * params.pixels;
    let begin = lane * params.rows * size;
    if OVER == BATCH || PASS == GRADIENT {
        return Unit(lane, number, params.rows * params.pixels, begin + number * params.pixels, size, number);
    }
    let channels = params.channels / params.groups;
    let count = channels * params.pixels;
    return Unit(lane, number, count, begin + number * count, params.pixels, number % params.groups * channels);
}

fn first_place(local: u32) -> Place { return Place(local, local / params.pixels, local % params.pixels); }

fn next(place: Place, stride: Place) -> Place {
    let pixel = place.pixel + stride.pixel;
    let over = pixel >= params.pixels;
    return Place(
        place.element + WORKGROUP,
        place.plane + stride.plane + select(0u, 1u, over),
        select(pixel, pixel - params.pixels, over)
    );
}

fn four_from(unit: Unit, place: Place, stride: Place) -> Four {
    let second = next(place, stride);
    let third = next(second, stride);
    let fourth = next(third, stride);
    let element = vec4u(place.element, second.element, third.element, fourth.element);
    let plane = vec4u(place.plane, second.plane, third.plane, fourth.plane);
    let pixel = vec4u(place.pixel, second.pixel, third.pixel, fourth.pixel);
    let inside = element < vec4u(unit.count);
    let index = unit.begin + select(vec4u(), plane * unit.apart + pixel, inside);
    return Four(index, select(vec4u(), plane, inside), inside, next(fourth, stride));
}

// The channels of four elements.
fn channels_of(unit: Unit, four: Four) -> vec4u {
    if OVER == BATCH || PASS == GRADIENT { return vec4u(unit.channel); }
    return unit.channel + four.plane;
}

fn inputs(four: Four) -> vec4f {
    return vec4f(input[four.index.x], input[four.index.y], input[four.index.z], input[four.index.w]);
}

fn deltas(four: Four) -> vec4f {
    return vec4f(delta[four.index.x], delta[four.index.y], delta[four.index.z], delta[four.index.w]);
}

fn parameters_from(begin: u32, channels: vec4u) -> vec4f {
    // One channel has one number.
    if OVER == BATCH || PASS == GRADIENT { return vec4f(versions[begin + channels.x]); }
    return vec4f(
        versions[begin + channels.x], versions[begin + channels.y],
        versions[begin + channels.z], versions[begin + channels.w]
    );
}

fn put(four: Four, values: vec4f) {
    if four.inside.x { output[four.index.x] = values.x; }
    if four.inside.y { output[four.index.y] = values.y; }
    if four.inside.z { output[four.index.z] = values.z; }
    if four.inside.w { output[four.index.w] = values.w; }
}

// Where the moments lie that belong to a plane of a unit.
fn moments_of(unit: Unit, plane: u32) -> u32 {
    if OVER == BATCH { return unit.lane * params.channels + unit.number; }
    let of_lane = unit.lane * params.rows * params.groups;
    if PASS == GRADIENT {
        let channels = params.channels / params.groups;
        return of_lane + plane * params.groups + unit.number / channels;
    }
    return of_lane + unit.number;
}

// The moments that belong to four elements.
fn moments_from(unit: Unit, four: Four) -> Moments {
    let one = moments[moments_of(unit, four.plane.x)];
    if OVER == BATCH { return Moments(vec4f(one.x), vec4f(one.y)); }
    let two = moments[moments_of(unit, four.plane.y)];
    let three = moments[moments_of(unit, four.plane.z)];
    let last = moments[moments_of(unit, four.plane.w)];
    return Moments(vec4f(one.x, two.x, three.x, last.x), vec4f(one.y, two.y, three.y, last.y));
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

fn added(share: vec4f) -> f32 { return (share.x + share.y) + (share.z + share.w); }

fn forward(unit: Unit, version: u32, local: u32) {
    let first = first_place(local);
    let stride = first_place(WORKGROUP);
    let count = f32(unit.count);
    let kept = unit.lane * params.statistics_stride + params.statistics + unit.number;
    var mean = 0.0;
    var variance = 0.0;
    if OVER == BATCH && PASS == EVALUATE {
        mean = running[kept];
        variance = running[kept + params.channels];
    } else {
        var share = vec4f();
        for (var place = first; place.element < unit.count;) {
            // unrolled FOURS
            let four_0 = four_from(unit, place, stride);
            share += select(vec4f(), inputs(four_0), four_0.inside);
            place = four_0.after;
            // end
        }
        mean = total(vec2f(added(share), 0.0), local).x / count;
        // About the mean: a difference of squares would cancel.
        share = vec4f();
        for (var place = first; place.element < unit.count;) {
            // unrolled FOURS
            let four_0 = four_from(unit, place, stride);
            let away_0 = select(vec4f(), inputs(four_0) - mean, four_0.inside);
            share += away_0 * away_0;
            place = four_0.after;
            // end
        }
        variance = total(vec2f(added(share), 0.0), local).x / count;
    }
    let scale = 1.0 / sqrt(variance + EPSILON);
    for (var place = first; place.element < unit.count;) {
        // unrolled FOURS
        let four_0 = four_from(unit, place, stride);
        let channels_0 = channels_of(unit, four_0);
        let weight_0 = parameters_from(version, channels_0);
        let bias_0 = parameters_from(version + params.channels, channels_0);
        let normal_0 = (inputs(four_0) - mean) * scale;
        place = four_0.after;
        // end
        // unrolled FOURS
        put(four_0, normal_0 * weight_0 + bias_0);
        // end
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
    let first = first_place(local);
    let stride = first_place(WORKGROUP);
    let moment = moments[moments_of(unit, 0u)];
    var plain = vec4f();
    var along = vec4f();
    for (var place = first; place.element < unit.count;) {
        // unrolled FOURS
        let four_0 = four_from(unit, place, stride);
        let weight_0 = parameters_from(version, channels_of(unit, four_0));
        let weighted_0 = select(vec4f(), deltas(four_0) * weight_0, four_0.inside);
        plain += weighted_0;
        along += weighted_0 * (inputs(four_0) - moment.x) * moment.y;
        place = four_0.after;
        // end
    }
    let mean = total(vec2f(added(plain), added(along)), local) / f32(unit.count);
    for (var place = first; place.element < unit.count;) {
        // unrolled FOURS
        let four_0 = four_from(unit, place, stride);
        let weighted_0 = deltas(four_0) * parameters_from(version, channels_of(unit, four_0));
        let normal_0 = (inputs(four_0) - moment.x) * moment.y;
        place = four_0.after;
        // end
        // unrolled FOURS
        put(four_0, (weighted_0 - mean.x - normal_0 * mean.y) * moment.y);
        // end
    }
}

// The gradient with respect to weight and bias of a channel.
fn differentiate(unit: Unit, local: u32) {
    let first = first_place(local);
    let stride = first_place(WORKGROUP);
    var plain = vec4f();
    var along = vec4f();
    for (var place = first; place.element < unit.count;) {
        // unrolled FOURS
        let four_0 = four_from(unit, place, stride);
        let moments_0 = moments_from(unit, four_0);
        let seen_0 = select(vec4f(), deltas(four_0), four_0.inside);
        plain += seen_0;
        along += seen_0 * (inputs(four_0) - moments_0.mean) * moments_0.scale;
        place = four_0.after;
        // end
    }
    let sum = total(vec2f(added(along), added(plain)), local);
    if local > 0u { return; }
    let own = unit.lane * params.parameters + params.weight + unit.number;
    output[own] = sum.x;
    output[own + params.channels] = sum.y;
}
