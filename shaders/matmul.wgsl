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
override A_BY_COLUMNS: u32;
override B_BY_COLUMNS: u32;
// Coefficients of a Newton-Schulz step X <- POWER_1 X + POWER_3 (X X^T) X + POWER_5 (X X^T)^2 X.
override POWER_1: f32;
override POWER_3: f32;
override POWER_5: f32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> slope: array<f32>;
var<immediate> params: Params;

// Where a lane's operands begin.
struct LaneOperands { lane: u32, a: u32, b: u32, bias: u32 }

// Four rows of A, A_QUADS apart: the first, and where it begins. The same of columns of B, and an inner element.
struct Rows { first: u32, begin: u32 }
struct Columns { first: u32, begin: u32 }
struct Inner { k: u32 }

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn matmul(@builtin(workgroup_id) block: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = block.z;
    let lane_step = lane_steps[params.step * params.lanes + lane];
    if lane_step.busy == 0u { return; }

    // Weights are a factor on the right; the way back may read others than the way forward.
    let on_the_way_back = EPILOGUE == BACKWARD || EPILOGUE == PLAIN_BACKWARD;
    let b_origin = origin(params.b, lane, select(lane_step.read, lane_step.backward, on_the_way_back));
    let a_start = origin(params.a, lane, lane_step.read) + params.a.offset;
    let operands = LaneOperands(lane, a_start, b_origin + params.b.offset, b_origin + params.bias);
    multiply(operands, Extent(params.rows, params.columns, 0u, params.inner), block.xy, local);
}

fn a_lies_by_columns() -> bool { return A_BY_COLUMNS == 1u; }
fn b_lies_by_columns() -> bool { return B_BY_COLUMNS == 1u; }
fn c_lies_by_columns() -> bool { return false; }

// Where the matrices of a lane (and of a weight version, where the operand has versions) begin.
fn origin(operand: Operand, lane: u32, slot: u32) -> u32 {
    return lane * operand.lane_stride + slot * operand.slot_stride;
}

fn rows_from(operands: LaneOperands, row: u32) -> Rows { return Rows(row, operands.a + row * params.a.row_stride); }

fn columns_from(operands: LaneOperands, column: u32) -> Columns {
    return Columns(column, operands.b + column * params.b.column_stride);
}

fn prepare(operands: LaneOperands, start: u32, local: u32) {}
fn inner_at(start: u32, k: u32) -> Inner { return Inner(start + k); }

fn of_a(operands: LaneOperands, rows: Rows, inner: Inner) -> vec4f {
    let steps = vec4u(0u, 1u, 2u, 3u) * A_QUADS;
    let inside = (rows.first + steps < vec4u(params.rows)) & vec4<bool>(inner.k < params.inner);
    let index = rows.begin + inner.k * params.a.column_stride + steps * params.a.row_stride;
    let at = select(vec4u(), index, inside);
    return select(vec4f(), vec4f(a[at.x], a[at.y], a[at.z], a[at.w]), inside);
}

fn of_b(operands: LaneOperands, columns: Columns, inner: Inner) -> vec4f {
    let steps = vec4u(0u, 1u, 2u, 3u) * B_QUADS;
    let column = columns.first + steps;
    // The gradient's last column of B is 1: it sums delta over the rows of the batch, which is the bias gradient.
    let columns_there = params.columns - u32(EPILOGUE == GRADIENT);
    let reaches = vec4<bool>(inner.k < params.inner);
    let inside = (column < vec4u(columns_there)) & reaches;
    let index = columns.begin + inner.k * params.b.row_stride + steps * params.b.column_stride;
    let at = select(vec4u(), index, inside);
    let beyond = select(vec4f(), vec4f(f32(EPILOGUE == GRADIENT)), (column == vec4u(columns_there)) & reaches);
    return select(beyond, vec4f(b[at.x], b[at.y], b[at.z], b[at.w]), inside);
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
    } else if EPILOGUE == POLYNOMIAL {
        c[index] = POWER_3 * a[operands.a + row * params.a.row_stride + column * params.a.column_stride] + POWER_5 * sum;
    } else if EPILOGUE == ITERATE {
        c[index] = POWER_1 * b[operands.b + row * params.b.row_stride + column * params.b.column_stride] + sum;
    } else {
        c[index] = sum;
    }
}
