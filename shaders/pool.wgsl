// Pooling of every lane at once, and its derivative (src/kernels/pool.rs). An invocation computes every element that
// is a multiple of the number of invocations away from its first.

struct Params {
    step: u32, lanes: u32,
    planes: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel: u32, stride: u32, padding: u32,
    elements: u32, apart: u32,
}

override WORKGROUP: u32;
override KIND: u32;
override PASS: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> delta: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
var<immediate> params: Params;

@compute @workgroup_size(WORKGROUP)
fn pool(@builtin(global_invocation_id) id: vec3u) {
    let lane = id.y;
    if lane_steps[params.step * params.lanes + lane].busy == 0u { return; }

    for (var i = id.x; i < params.elements; i += params.apart) {
        if PASS == FORWARD {
            output[lane * params.elements + i] = forward(lane, i);
        } else {
            output[lane * params.elements + i] = backward(lane, i);
        }
    }
}

// A window inside the image: from, and to without it.
struct Window { top: u32, left: u32, bottom: u32, right: u32 }

fn window(y: u32, x: u32) -> Window {
    let top = y * params.stride;
    let left = x * params.stride;
    return Window(
        max(top, params.padding) - params.padding, max(left, params.padding) - params.padding,
        min(top + params.kernel, params.height + params.padding) - params.padding,
        min(left + params.kernel, params.width + params.padding) - params.padding,
    );
}

// Where a channel of the input of a sample begins.
fn plane_of_input(lane: u32, plane: u32) -> u32 {
    return (lane * params.planes + plane) * params.height * params.width;
}

fn forward(lane: u32, i: u32) -> f32 {
    let begin = plane_of_input(lane, i / (params.out_height * params.out_width));
    let window = window(i / params.out_width % params.out_height, i % params.out_width);
    if KIND == MAX { return input[begin + largest(begin, window)]; }
    var sum = 0.0;
    for (var y = window.top; y < window.bottom; y++) {
        for (var x = window.left; x < window.right; x++) { sum += input[begin + y * params.width + x]; }
    }
    return sum / f32(params.kernel * params.kernel);
}

// The pixel that is the largest of a window: of equal ones the first, row by row; what is not a number is larger than all.
fn largest(begin: u32, window: Window) -> u32 {
    var winner = window.top * params.width + window.left;
    var most = input[begin + winner];
    for (var y = window.top; y < window.bottom; y++) {
        for (var x = window.left; x < window.right; x++) {
            let value = input[begin + y * params.width + x];
            if value > most || is_nan(value) {
                most = value;
                winner = y * params.width + x;
            }
        }
    }
    return winner;
}

// The sum of the deltas of all places whose window covers a pixel.
fn backward(lane: u32, i: u32) -> f32 {
    let pixels = params.height * params.width;
    let plane = i / pixels;
    let pixel = i % pixels;
    let y = pixel / params.width + params.padding;
    let x = pixel % params.width + params.padding;
    let out = (lane * params.planes + plane) * params.out_height * params.out_width;
    let first_y = (max(y + 1u, params.kernel) - params.kernel + params.stride - 1u) / params.stride;
    let first_x = (max(x + 1u, params.kernel) - params.kernel + params.stride - 1u) / params.stride;
    var sum = 0.0;
    for (var row = first_y; row <= min(y / params.stride, params.out_height - 1u); row++) {
        for (var column = first_x; column <= min(x / params.stride, params.out_width - 1u); column++) {
            var counts = true;
            if KIND == MAX { counts = largest(plane_of_input(lane, plane), window(row, column)) == pixel; }
            if counts { sum += delta[out + row * params.out_width + column]; }
        }
    }
    if KIND == MAX { return sum; }
    return sum / f32(params.kernel * params.kernel);
}
