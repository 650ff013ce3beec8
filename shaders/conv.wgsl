// Convolutions of every lane at once, as products of matrices that are never laid out (src/kernels/conv.rs); the
// product itself is in shared/tiles.wgsl. A lane is a layer of the grid, or as many as the gradient has slices.

struct Params {
    step: u32, lanes: u32,
    rows: u32, channels: u32, height: u32, width: u32,
    outputs: u32, out_height: u32, out_width: u32, padding: u32,
    version_lane_stride: u32, version_slot_stride: u32, weight: u32, biased: u32, bias: u32,
    parameters: u32, slices: u32, slice: u32,
}

override PRODUCT: u32;
override KERNEL: u32;
override STRIDE: u32;
override STEP: i32 = i32(STRIDE);

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
var<immediate> params: Params;

override PIXELS: u32 = KERNEL * KERNEL;

// What a row of A, or of the gradient a column of B, begins with in the value that is slid over: an index, then y and x, which
// may lie beyond the edges; last, for a row, where its first column of C lies, and for a column, what it holds beyond the edges.
// Worked out once for a whole block.
override CORNERS: u32 = 4u * max(THREADS_Y * DOWN, THREADS_X * ACROSS);
var<workgroup> corners: array<vec4i, CORNERS>;

// What an inner element of the tile adds: an index, y and x again, and where in the weights or the delta it lies, -1 beyond the
// end.
var<workgroup> pixels: array<vec4i, DEPTH>;

// From where no window reaches a pixel, whatever is added.
const NOWHERE = -(1 << 24);

// A lane's weights, the slice, and the first row and column of the block.
struct LaneOperands { lane: u32, weight: u32, bias: u32, slice: u32, row: u32, column: u32 }

// Four rows of A, A_QUADS apart: the first, and what the slid value begins with at each.
struct Rows { first: u32, corner: vec3i, second: vec3i, third: vec3i, fourth: vec3i }

// The first of four columns of B.
struct Columns { first: u32 }

struct Inner { pixel: vec4i }

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn conv(@builtin(workgroup_id) block: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = block.z / params.slices;
    let lane_step = lane_steps[params.step * params.lanes + lane];
    if lane_step.busy == 0u { return; }

    let slot = select(lane_step.read, lane_step.backward, PRODUCT == BACKWARD);
    let version = lane * params.version_lane_stride + slot * params.version_slot_stride;
    let slice = block.z % params.slices;
    let first = 4u * block.xy * vec2u(B_QUADS, A_QUADS);
    let operands = LaneOperands(lane, version + params.weight, version + params.bias, slice, first.y, first.x);
    if PRODUCT == GRADIENT {
        for (var i = local; i < 4u * B_QUADS; i += THREADS) { corners[i] = corner_of_column(first.x + i); }
    } else {
        for (var i = local; i < 4u * A_QUADS; i += THREADS) { corners[i] = corner_of_row(lane, first.y + i); }
    }
    let shape = shape();
    let start = slice * params.slice;
    let extent = Extent(shape.x, shape.y, start, min(start + params.slice, shape.z));
    multiply(operands, extent, block.xy, local);
}

// Rows, columns and inner dimension of the product.
fn shape() -> vec3u {
    let places = params.rows * params.out_height * params.out_width;
    if PRODUCT == FORWARD { return vec3u(places, params.outputs, params.channels * PIXELS); }
    if PRODUCT == BACKWARD {
        return vec3u(params.rows * params.height * params.width, params.channels, params.outputs * PIXELS);
    }
    return vec3u(params.outputs, params.channels * PIXELS + params.biased, places);
}

// Forward: the window's corner at a place of the output. Backward: the pixel of the input, of which the places of all
// windows that cover it are left and above.
fn corner_of_row(lane: u32, row: u32) -> vec4i {
    if row >= shape().x { return vec4i(0, NOWHERE, NOWHERE, 0); }
    let forward = PRODUCT == FORWARD;
    let wide = select(params.width, params.out_width, forward);
    let pixels = wide * select(params.height, params.out_height, forward);
    let sample = lane * params.rows + row / pixels;
    let pixel = row % pixels;
    let y = bitcast<i32>(pixel / wide);
    let x = bitcast<i32>(pixel % wide);
    let stored = bitcast<i32>(sample * select(params.channels, params.outputs, forward) * pixels + pixel);
    let padding = bitcast<i32>(params.padding);
    if forward {
        let begin = sample * params.channels * params.height * params.width;
        return vec4i(begin_at(begin, y * STEP - padding, x * STEP - padding, params.width), stored);
    }
    let begin = sample * params.outputs * params.out_height * params.out_width;
    // With strides between places the index of one is no sum.
    if STRIDE > 1u { return vec4i(bitcast<i32>(begin), y + padding, x + padding, stored); }
    return vec4i(begin_at(begin, y + padding, x + padding, params.out_width), stored);
}

// Gradient: the channel of a weight, and its pixel of the window.
fn corner_of_column(column: u32) -> vec4i {
    // The gradient's last column of B is 1: it sums delta over places and samples, which is the bias gradient.
    let weights = params.channels * PIXELS;
    if column >= weights { return vec4i(0, NOWHERE, NOWHERE, bitcast<i32>(f32(column == weights))); }
    let pixel = column % PIXELS;
    let y = bitcast<i32>(pixel / KERNEL) - bitcast<i32>(params.padding);
    let x = bitcast<i32>(pixel % KERNEL) - bitcast<i32>(params.padding);
    return vec4i(begin_at(column / PIXELS * params.height * params.width, y, x, params.width), 0);
}

// The index, y and x of a pixel of an image.
fn begin_at(image: u32, y: i32, x: i32, width: u32) -> vec3i {
    return vec3i(bitcast<i32>(image) + y * bitcast<i32>(width) + x, y, x);
}

fn a_lies_by_columns() -> bool { return PRODUCT != GRADIENT; }
// On the way back the weights of an output lie by channels, and those of a channel by pixels.
fn b_lies_by_columns() -> bool { return PRODUCT != BACKWARD || KERNEL > 1u; }
fn c_lies_by_columns() -> bool { return PRODUCT != GRADIENT; }

fn rows_from(operands: LaneOperands, row: u32) -> Rows {
    if PRODUCT == GRADIENT { return Rows(row, vec3i(), vec3i(), vec3i(), vec3i()); }
    let i = row - operands.row;
    return Rows(
        row,
        corners[i].xyz, corners[i + A_QUADS].xyz, corners[i + 2u * A_QUADS].xyz, corners[i + 3u * A_QUADS].xyz
    );
}

fn columns_from(operands: LaneOperands, column: u32) -> Columns { return Columns(column); }

fn inner_at(start: u32, k: u32) -> Inner { return Inner(pixels[k]); }

fn prepare(operands: LaneOperands, start: u32, local: u32) {
    if local < DEPTH { pixels[local] = pixel_of(operands, start + local); }
}

// Forward and backward: the channel of a weight, and its pixel of the window. Gradient: a place of the output.
fn pixel_of(operands: LaneOperands, k: u32) -> vec4i {
    if k >= shape().z { return vec4i(0, NOWHERE, NOWHERE, -1); }
    if PRODUCT == GRADIENT {
        let places = params.out_height * params.out_width;
        let sample = operands.lane * params.rows + k / places;
        let place = k % places;
        let y = bitcast<i32>(place / params.out_width) * STEP;
        let x = bitcast<i32>(place % params.out_width) * STEP;
        let image = sample * params.channels * params.height * params.width;
        return vec4i(begin_at(image, y, x, params.width), bitcast<i32>(sample * params.outputs * places + place));
    }
    let channel = k / PIXELS;
    let pixel = k % PIXELS;
    let y = bitcast<i32>(pixel / KERNEL);
    let x = bitcast<i32>(pixel % KERNEL);
    if PRODUCT == FORWARD {
        return vec4i(begin_at(channel * params.height * params.width, y, x, params.width), bitcast<i32>(k));
    }
    let weight = bitcast<i32>(channel * params.channels * PIXELS + pixel);
    let image = channel * params.out_height * params.out_width;
    if STRIDE > 1u { return vec4i(bitcast<i32>(image), -y, -x, weight); }
    return vec4i(begin_at(image, -y, -x, params.out_width), weight);
}

fn of_a(operands: LaneOperands, rows: Rows, inner: Inner) -> vec4f {
    let pixel = inner.pixel;
    if PRODUCT == GRADIENT {
        let steps = vec4u(0u, 1u, 2u, 3u) * A_QUADS;
        let inside = (rows.first + steps < vec4u(params.outputs)) & vec4<bool>(pixel.w >= 0);
        let index = bitcast<u32>(pixel.w) + (rows.first + steps) * params.out_height * params.out_width;
        let at = select(vec4u(), index, inside);
        return select(vec4f(), vec4f(a[at.x], a[at.y], a[at.z], a[at.w]), inside);
    }
    return vec4f(
        slid(rows.corner + pixel.xyz), slid(rows.second + pixel.xyz),
        slid(rows.third + pixel.xyz), slid(rows.fourth + pixel.xyz)
    );
}

// What a pixel of the window has to do with a row: of the input, the number under it; of the delta, that of the place from
// which this pixel of the window covers the row's. What is left of the edge or above it is, unsigned, far beyond the other one.
fn slid(at: vec3i) -> f32 {
    let y = bitcast<u32>(at.y);
    let x = bitcast<u32>(at.z);
    if PRODUCT == FORWARD {
        let inside = (y < params.height) & (x < params.width);
        return select(0.0, a[select(0u, bitcast<u32>(at.x), inside)], inside);
    }
    let between = (y % STRIDE != 0u) | (x % STRIDE != 0u);
    let inside = !between & (y / STRIDE < params.out_height) & (x / STRIDE < params.out_width);
    var index = bitcast<u32>(at.x);
    if STRIDE > 1u { index += y / STRIDE * params.out_width + x / STRIDE; }
    return select(0.0, a[select(0u, index, inside)], inside);
}

fn of_b(operands: LaneOperands, columns: Columns, inner: Inner) -> vec4f {
    let pixel = inner.pixel;
    let first = columns.first;
    if PRODUCT == GRADIENT {
        return vec4f(
            under(operands, first, pixel), under(operands, first + B_QUADS, pixel),
            under(operands, first + 2u * B_QUADS, pixel), under(operands, first + 3u * B_QUADS, pixel)
        );
    }
    let column = first + vec4u(0u, 1u, 2u, 3u) * B_QUADS;
    let apart = select(PIXELS, params.channels * PIXELS, PRODUCT == FORWARD);
    let inside = (column < vec4u(shape().y)) & vec4<bool>(pixel.w >= 0);
    let at = select(vec4u(), operands.weight + bitcast<u32>(pixel.w) + column * apart, inside);
    return select(vec4f(), vec4f(b[at.x], b[at.y], b[at.z], b[at.w]), inside);
}

// The number of the input under a pixel of the window; beyond the edges 0, of the last column 1.
fn under(operands: LaneOperands, column: u32, pixel: vec4i) -> f32 {
    let corner = corners[column - operands.column];
    let at = corner.xyz + pixel.xyz;
    let inside = (bitcast<u32>(at.y) < params.height) & (bitcast<u32>(at.z) < params.width);
    return select(bitcast<f32>(corner.w), b[select(0u, bitcast<u32>(at.x), inside)], inside);
}

fn store(operands: LaneOperands, row: u32, column: u32, sum: f32) {
    if PRODUCT == GRADIENT {
        let columns = params.channels * PIXELS;
        if params.slices > 1u {
            let size = params.outputs * (columns + params.biased);
            let first = (operands.lane * params.slices + operands.slice) * size;
            c[first + row * (columns + params.biased) + column] = sum;
        } else if column < columns {
            c[operands.lane * params.parameters + params.weight + row * columns + column] = sum;
        } else {
            c[operands.lane * params.parameters + params.bias + row] = sum;
        }
        return;
    }
    let forward = PRODUCT == FORWARD;
    let pixels = select(params.height * params.width, params.out_height * params.out_width, forward);
    var value = sum;
    if forward && params.biased != 0u { value += b[operands.bias + column]; }
    c[bitcast<u32>(corners[row - operands.row].w) + column * pixels] = value;
}
