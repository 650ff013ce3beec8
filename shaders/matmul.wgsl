// C = A B for every lane at once, with one of three epilogues (src/kernels/matmul.rs). A lane is a layer of the grid.
//
// A workgroup computes a block of 4 THREADS_Y rows by 4 THREADS_X columns; an invocation a tile of 4 x 4 of it, kept in
// four vec4 accumulators. Each accumulator runs through the inner dimension in order, so that a sum has the same bits
// whatever the block's shape.

struct Place { busy: u32, read: u32, write: u32, velocity: u32, rows: u32 }
struct Operand { offset: u32, lane_stride: u32, slot_stride: u32, row_stride: u32, column_stride: u32 }
struct Params {
    step: u32, lanes: u32,
    rows: u32, columns: u32, inner: u32,
    a: Operand, b: Operand,
    c_offset: u32, c_lane_stride: u32, c_row_stride: u32,
    bias: u32,
}

override THREADS_X: u32;
override THREADS_Y: u32;
override DEPTH: u32;
override EPILOGUE: u32;

const FORWARD = 0u;
const BACKWARD = 1u;
const GRADIENT = 2u;
const NONE = 0u;

@group(0) @binding(0) var<storage, read> places: array<Place>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> slope: array<f32>;
var<immediate> params: Params;

// Four rows of A, and four columns of B, per element: an invocation reads a whole vec4 of each at every inner step.
override A_TILE: u32 = DEPTH * THREADS_Y;
override B_TILE: u32 = DEPTH * THREADS_X;
var<workgroup> a_tile: array<vec4f, A_TILE>;
var<workgroup> b_tile: array<vec4f, B_TILE>;

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn matmul(
    @builtin(workgroup_id) block: vec3u,
    @builtin(local_invocation_id) at: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = block.z;
    let place = places[params.step * params.lanes + lane];
    if place.busy == 0u { return; }

    let a_start = origin(params.a, lane, place.read) + params.a.offset;
    let b_origin = origin(params.b, lane, place.read);
    let b_start = b_origin + params.b.offset;
    let first_row = block.y * 4u * THREADS_Y;
    let first_column = block.x * 4u * THREADS_X;
    var c0 = vec4f();
    var c1 = vec4f();
    var c2 = vec4f();
    var c3 = vec4f();
    for (var start = 0u; start < params.inner; start += DEPTH) {
        for (var i = local; i < A_TILE; i += THREADS_X * THREADS_Y) {
            // Neighbouring invocations read neighbouring addresses, whichever way the operand lies.
            var k = i % DEPTH;
            var quad = i / DEPTH;
            if params.a.row_stride == 1u {
                k = i / THREADS_Y;
                quad = i % THREADS_Y;
            }
            a_tile[k * THREADS_Y + quad] = rows_of_a(a_start, first_row + 4u * quad, start + k);
        }
        for (var i = local; i < B_TILE; i += THREADS_X * THREADS_Y) {
            var k = i / THREADS_X;
            var quad = i % THREADS_X;
            if params.b.row_stride == 1u {
                k = i % DEPTH;
                quad = i / DEPTH;
            }
            b_tile[k * THREADS_X + quad] = columns_of_b(b_start, start + k, first_column + 4u * quad);
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let left = a_tile[k * THREADS_Y + at.y];
            let right = b_tile[k * THREADS_X + at.x];
            c0 += left.x * right;
            c1 += left.y * right;
            c2 += left.z * right;
            c3 += left.w * right;
        }
        // No invocation may overwrite a tile that another still reads.
        workgroupBarrier();
    }

    let row = first_row + 4u * at.y;
    let column = first_column + 4u * at.x;
    let bias = b_origin + params.bias;
    store_row(lane, bias, row, column, c0);
    store_row(lane, bias, row + 1u, column, c1);
    store_row(lane, bias, row + 2u, column, c2);
    store_row(lane, bias, row + 3u, column, c3);
}

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

fn rows_of_a(start: u32, row: u32, k: u32) -> vec4f {
    return vec4f(a_at(start, row, k), a_at(start, row + 1u, k), a_at(start, row + 2u, k), a_at(start, row + 3u, k));
}

fn columns_of_b(start: u32, k: u32, column: u32) -> vec4f {
    return vec4f(
        b_at(start, k, column), b_at(start, k, column + 1u), b_at(start, k, column + 2u), b_at(start, k, column + 3u)
    );
}

fn store_row(lane: u32, bias: u32, row: u32, column: u32, sums: vec4f) {
    if row >= params.rows { return; }
    if column < params.columns { store(lane, bias, row, column, sums.x); }
    if column + 1u < params.columns { store(lane, bias, row, column + 1u, sums.y); }
    if column + 2u < params.columns { store(lane, bias, row, column + 2u, sums.z); }
    if column + 3u < params.columns { store(lane, bias, row, column + 3u, sums.w); }
}

fn store(lane: u32, bias: u32, row: u32, column: u32, sum: f32) {
    let c_origin = lane * params.c_lane_stride;
    let index = c_origin + params.c_offset + row * params.c_row_stride + column;
    if EPILOGUE == FORWARD {
        let z = sum + b[bias + column];
        if ACTIVATION == NONE {
            c[index] = z;
        } else {
            let activated = activate(z);
            c[index] = activated.x;
            slope[index] = activated.y;
        }
    } else if EPILOGUE == BACKWARD {
        c[index] = sum * slope[index];
    } else if column + 1u < params.columns {
        c[index] = sum;
    } else {
        c[c_origin + params.bias + row] = sum;
    }
}
