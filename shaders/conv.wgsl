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

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
var<immediate> params: Params;

override PIXELS: u32 = KERNEL * KERNEL;

// Where in the value that is slid over a row of A, or a column of B, begins: an index, then y and x, which may lie beyond
// the edges. Worked out once for a whole block.
override A_ROWS: u32 = 4u * THREADS_Y * DOWN;
override B_COLUMNS: u32 = 4u * THREADS_X * ACROSS;
var<workgroup> a_corners: array<vec3i, A_ROWS>;
var<workgroup> b_corners: array<vec3i, B_COLUMNS>;

// From where no window reaches a pixel.
const NOWHERE = -(1 << 24);

// A lane's weights, the slice, and the first row and column of the block.
struct LaneOperands { lane: u32, weight: u32, bias: u32, slice: u32, row: u32, column: u32 }

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn conv(
    @builtin(workgroup_id) block: vec3u,
    @builtin(local_invocation_id) at: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = block.z / params.slices;
    let lane_step = lane_steps[params.step * params.lanes + lane];
    if lane_step.busy == 0u { return; }

    let slot = select(lane_step.read, lane_step.backward, PRODUCT == BACKWARD);
    let version = lane * params.version_lane_stride + slot * params.version_slot_stride;
    let slice = block.z % params.slices;
    let operands =
        LaneOperands(lane, version + params.weight, version + params.bias, slice, block.y * A_ROWS, block.x * B_COLUMNS);
    let shape = shape();
    if PRODUCT == GRADIENT {
        for (var i = local; i < B_COLUMNS; i += THREADS_X * THREADS_Y) { b_corners[i] = corner_of_column(operands.column + i); }
    } else {
        for (var i = local; i < A_ROWS; i += THREADS_X * THREADS_Y) { a_corners[i] = corner_of_row(lane, operands.row + i); }
    }
    workgroupBarrier();
    let start = slice * params.slice;
    let extent = Extent(shape.x, shape.y, start, min(start + params.slice, shape.z));
    multiply(operands, extent, block.xy, at.xy, local);
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
fn corner_of_row(lane: u32, row: u32) -> vec3i {
    if row >= shape().x { return vec3i(0, NOWHERE, NOWHERE); }
    let wide = select(params.width, params.out_width, PRODUCT == FORWARD);
    let high = select(params.height, params.out_height, PRODUCT == FORWARD);
    let sample = lane * params.rows + row / (high * wide);
    let y = row / wide % high;
    let x = row % wide;
    if PRODUCT == FORWARD {
        let begin = sample * params.channels * params.height * params.width;
        return vec3i(bitcast<i32>(begin), i32(y * STRIDE) - i32(params.padding), i32(x * STRIDE) - i32(params.padding));
    }
    let begin = sample * params.outputs * params.out_height * params.out_width;
    return vec3i(bitcast<i32>(begin), i32(y + params.padding), i32(x + params.padding));
}

// Gradient: the channel of a weight, and its pixel of the window.
fn corner_of_column(column: u32) -> vec3i {
    if column >= params.channels * PIXELS { return vec3i(0, NOWHERE, NOWHERE); }
    let begin = column / PIXELS * params.height * params.width;
    let y = column % PIXELS / KERNEL;
    let x = column % KERNEL;
    return vec3i(bitcast<i32>(begin), i32(y) - i32(params.padding), i32(x) - i32(params.padding));
}

fn a_lies_by_columns() -> bool { return PRODUCT != GRADIENT; }
fn b_lies_by_columns() -> bool { return PRODUCT != BACKWARD; }

fn rows_of_a(operands: LaneOperands, row: u32, k: u32) -> vec4f {
    if k >= shape().z { return vec4f(); }
    if PRODUCT == GRADIENT {
        let pixels = params.out_height * params.out_width;
        let first = ((operands.lane * params.rows + k / pixels) * params.outputs + row) * pixels + k % pixels;
        return vec4f(
            delta_at(row, first), delta_at(row + 1u, first + pixels),
            delta_at(row + 2u, first + 2u * pixels), delta_at(row + 3u, first + 3u * pixels)
        );
    }
    let channel = k / PIXELS;
    let y = i32(k % PIXELS / KERNEL);
    let x = i32(k % KERNEL);
    let i = row - operands.row;
    return vec4f(
        slid(a_corners[i], channel, y, x), slid(a_corners[i + 1u], channel, y, x),
        slid(a_corners[i + 2u], channel, y, x), slid(a_corners[i + 3u], channel, y, x)
    );
}

fn delta_at(row: u32, index: u32) -> f32 {
    if row >= params.outputs { return 0.0; }
    return a[index];
}

// What a pixel of the window has to do with a row: of the input, the number under it; of the delta, that of the place from
// which this pixel of the window covers the row's.
fn slid(corner: vec3i, channel: u32, y: i32, x: i32) -> f32 {
    if PRODUCT == FORWARD {
        let from_y = bitcast<u32>(corner.y + y);
        let from_x = bitcast<u32>(corner.z + x);
        // What is left of the edge or above it is, unsigned, far beyond the other one.
        if from_y >= params.height || from_x >= params.width { return 0.0; }
        return a[bitcast<u32>(corner.x) + (channel * params.height + from_y) * params.width + from_x];
    }
    let down = corner.y - y;
    let right = corner.z - x;
    if down < 0 || right < 0 { return 0.0; }
    let from_y = bitcast<u32>(down) / STRIDE;
    let from_x = bitcast<u32>(right) / STRIDE;
    let between = bitcast<u32>(down) % STRIDE != 0u || bitcast<u32>(right) % STRIDE != 0u;
    if between || from_y >= params.out_height || from_x >= params.out_width { return 0.0; }
    return a[bitcast<u32>(corner.x) + (channel * params.out_height + from_y) * params.out_width + from_x];
}

fn columns_of_b(operands: LaneOperands, k: u32, column: u32) -> vec4f {
    let extent = shape();
    if k >= extent.z { return vec4f(); }
    if PRODUCT == GRADIENT {
        let pixels = params.out_height * params.out_width;
        let begin = (operands.lane * params.rows + k / pixels) * params.channels * params.height * params.width;
        let y = i32(k % pixels / params.out_width * STRIDE);
        let x = i32(k % params.out_width * STRIDE);
        return vec4f(
            under(operands, begin, column, y, x), under(operands, begin, column + 1u, y, x),
            under(operands, begin, column + 2u, y, x), under(operands, begin, column + 3u, y, x)
        );
    }
    return vec4f(
        weight_at(operands, k, column, extent.y), weight_at(operands, k, column + 1u, extent.y),
        weight_at(operands, k, column + 2u, extent.y), weight_at(operands, k, column + 3u, extent.y)
    );
}

// The number of the input under a pixel of the window. The gradient's last column of B is 1: it sums delta over places and
// samples, which is the bias gradient.
fn under(operands: LaneOperands, begin: u32, column: u32, y: i32, x: i32) -> f32 {
    if column >= params.channels * PIXELS { return f32(column == params.channels * PIXELS); }
    let corner = b_corners[column - operands.column];
    let from_y = bitcast<u32>(corner.y + y);
    let from_x = bitcast<u32>(corner.z + x);
    if from_y >= params.height || from_x >= params.width { return 0.0; }
    return b[begin + bitcast<u32>(corner.x) + from_y * params.width + from_x];
}

fn weight_at(operands: LaneOperands, k: u32, column: u32, columns: u32) -> f32 {
    if column >= columns { return 0.0; }
    if PRODUCT == FORWARD { return b[operands.weight + column * params.channels * PIXELS + k]; }
    return b[operands.weight + (k / PIXELS * params.channels + column) * PIXELS + k % PIXELS];
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
    let channels = select(params.channels, params.outputs, forward);
    let sample = operands.lane * params.rows + row / pixels;
    var value = sum;
    if forward && params.biased != 0u { value += b[operands.bias + column]; }
    c[(sample * channels + column) * pixels + row % pixels] = value;
}
