// C = A B for every lane at once, with one of several epilogues (src/kernels/matmul.rs); the product itself is in
// shared/tiles.wgsl. A lane is a layer of the grid.

struct Operand { offset: u32, lane_stride: u32, slot_stride: u32, row_stride: u32, column_stride: u32 }
struct Params {
    step: u32, lanes: u32,
    rows: u32, columns: u32, inner: u32,
    a: Operand, b: Operand,
    c_offset: u32, c_lane_stride: u32, c_row_stride: u32,
    bias: u32,
}

override EPILOGUE: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> slope: array<f32>;
var<immediate> params: Params;

// Where a lane's operands begin.
struct LaneOperands { lane: u32, a: u32, b: u32, bias: u32 }

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn matmul(
    @builtin(workgroup_id) block: vec3u,
    @builtin(local_invocation_id) at: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = block.z;
    let lane_step = lane_steps[params.step * params.lanes + lane];
    if lane_step.busy == 0u { return; }

    // Weights are a factor on the right; the way back may read others than the way forward.
    let on_the_way_back = EPILOGUE == BACKWARD || EPILOGUE == PLAIN_BACKWARD;
    let b_origin = origin(params.b, lane, select(lane_step.read, lane_step.backward, on_the_way_back));
    let a_start = origin(params.a, lane, lane_step.read) + params.a.offset;
    let operands = LaneOperands(lane, a_start, b_origin + params.b.offset, b_origin + params.bias);
    multiply(operands, Extent(params.rows, params.columns, 0u, params.inner), block.xy, at.xy, local);
}

fn a_lies_by_columns() -> bool { return params.a.row_stride == 1u; }
fn b_lies_by_columns() -> bool { return params.b.row_stride == 1u; }

// Where the matrices of a lane (and of a weight version, where the operand has versions) begin.
fn origin(operand: Operand, lane: u32, slot: u32) -> u32 {
    return lane * operand.lane_stride + slot * operand.slot_stride;
}

// Beyond the edges both operands are 0, which adds nothing to a sum: rows and columns out there are never stored.
fn a_at(start: u32, row: u32, k: u32) -> f32 {
    if row >= params.rows || k >= params.inner { return 0.0; }
    return a[start + row * params.a.row_stride + k * params.a.column_stride];
}

fn b_at(start: u32, k: u32, column: u32) -> f32 {
    if column >= params.columns || k >= params.inner { return 0.0; }
    // The gradient's last column of B is 1: it sums delta over the rows of the batch, which is the bias gradient.
    if EPILOGUE == GRADIENT && column + 1u == params.columns { return 1.0; }
    return b[start + k * params.b.row_stride + column * params.b.column_stride];
}

fn rows_of_a(operands: LaneOperands, row: u32, k: u32) -> vec4f {
    let start = operands.a;
    return vec4f(a_at(start, row, k), a_at(start, row + 1u, k), a_at(start, row + 2u, k), a_at(start, row + 3u, k));
}

fn columns_of_b(operands: LaneOperands, k: u32, column: u32) -> vec4f {
    let start = operands.b;
    return vec4f(
        b_at(start, k, column), b_at(start, k, column + 1u), b_at(start, k, column + 2u), b_at(start, k, column + 3u)
    );
}

fn store(operands: LaneOperands, row: u32, column: u32, sum: f32) {
    let c_origin = operands.lane * params.c_lane_stride;
    let index = c_origin + params.c_offset + row * params.c_row_stride + column;
    if EPILOGUE == FORWARD {
        c[index] = sum + b[operands.bias + column];
    } else if EPILOGUE == ACTIVATED {
        let activated = activate(sum + b[operands.bias + column]);
        c[index] = activated.x;
        slope[index] = activated.y;
    } else if EPILOGUE == BACKWARD {
        c[index] = sum * slope[index];
    } else if EPILOGUE == GRADIENT && column + 1u == params.columns {
        c[c_origin + params.bias + row] = sum;
    } else {
        c[index] = sum;
    }
}
