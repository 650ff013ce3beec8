// C = A B for every lane at once, with one of three epilogues (src/kernels/matmul.rs). A lane is a layer of the grid.
//
// A workgroup computes a block of 4 THREADS_Y DOWN rows by 4 THREADS_X ACROSS columns; an invocation DOWN x ACROSS parts of it,
// 4 x 4 each, kept in four vec4 accumulators. Each accumulator runs through the inner dimension in order, so that a sum has
// the same bits whatever the block's shape.

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
override ACROSS: u32;
override DOWN: u32;
override PARTS: u32; // DOWN x ACROSS: how often 'unrolled PARTS' stands for (src/kernels/unroll.rs).
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
override A_QUADS: u32 = THREADS_Y * DOWN;
override B_QUADS: u32 = THREADS_X * ACROSS;
override A_TILE: u32 = DEPTH * A_QUADS;
override B_TILE: u32 = DEPTH * B_QUADS;
var<workgroup> a_tile: array<vec4f, A_TILE>;
var<workgroup> b_tile: array<vec4f, B_TILE>;

// Four rows by four columns of the product.
struct Part { c0: vec4f, c1: vec4f, c2: vec4f, c3: vec4f }

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
    let first_row = block.y * 4u * A_QUADS;
    let first_column = block.x * 4u * B_QUADS;
    // The parts of an invocation lie apart, those of its neighbours beside each other.
    var index = 0u;
    // unrolled PARTS
    let down_0 = at.y + index / ACROSS * THREADS_Y;
    let across_0 = at.x + index % ACROSS * THREADS_X;
    var part_0 = Part();
    index++;
    // end
    for (var start = 0u; start < params.inner; start += DEPTH) {
        for (var i = local; i < A_TILE; i += THREADS_X * THREADS_Y) {
            // Neighbouring invocations read neighbouring addresses, whichever way the operand lies.
            var k = i % DEPTH;
            var quad = i / DEPTH;
            if params.a.row_stride == 1u {
                k = i / A_QUADS;
                quad = i % A_QUADS;
            }
            a_tile[k * A_QUADS + quad] = rows_of_a(a_start, first_row + 4u * quad, start + k);
        }
        for (var i = local; i < B_TILE; i += THREADS_X * THREADS_Y) {
            var k = i / B_QUADS;
            var quad = i % B_QUADS;
            if params.b.row_stride == 1u {
                k = i % DEPTH;
                quad = i / DEPTH;
            }
            b_tile[k * B_QUADS + quad] = columns_of_b(b_start, start + k, first_column + 4u * quad);
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            // unrolled PARTS
            part_0 = add(part_0, a_tile[k * A_QUADS + down_0], b_tile[k * B_QUADS + across_0]);
            // end
        }
        // No invocation may overwrite a tile that another still reads.
        workgroupBarrier();
    }

    let bias = b_origin + params.bias;
    // unrolled PARTS
    store_part(lane, bias, first_row + 4u * down_0, first_column + 4u * across_0, part_0);
    // end
}

// Four elements of a column of A times four of a row of B.
fn add(part: Part, left: vec4f, right: vec4f) -> Part {
    return Part(
        part.c0 + left.x * right, part.c1 + left.y * right, part.c2 + left.z * right, part.c3 + left.w * right
    );
}

fn store_part(lane: u32, bias: u32, row: u32, column: u32, part: Part) {
    store_row(lane, bias, row, column, part.c0);
    store_row(lane, bias, row + 1u, column, part.c1);
    store_row(lane, bias, row + 2u, column, part.c2);
    store_row(lane, bias, row + 3u, column, part.c3);
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
