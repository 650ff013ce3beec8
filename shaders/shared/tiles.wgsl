// The product C = A B by register tiles, for the kernels that make one (src/kernels/tile.rs).
//
// A workgroup computes a block of 4 THREADS_Y DOWN rows by 4 THREADS_X ACROSS columns; an invocation DOWN x ACROSS parts of it,
// 4 x 4 each, kept in four vec4 accumulators. Each accumulator runs through the inner dimension in order, so that a sum has
// the same bits whatever the block's shape.
//
// The four rows of a part lie A_QUADS apart, its four columns B_QUADS, so that neighbouring invocations have neighbouring rows
// and columns: they read and write neighbouring addresses.
//
// A kernel describes its operands by
// - `LaneOperands`: where those of a lane are
// - `Rows` and `rows_from`: what four rows of A have in common, whatever the inner element; `Columns` and `columns_from`: the
//   same of four columns of B
// - `Inner`, `prepare` and `inner_at`: what an inner element is for all rows and columns, an element of the tile that begins at
//   `start`; `prepare` may work it out for a whole tile
// - `of_a` and `of_b`: four elements of an operand, 0 beyond its edges, which adds nothing to a sum. Without branches: behind one,
//   each element would be waited for before the next is asked for.
// - `a_lies_by_columns`, `b_lies_by_columns`, `c_lies_by_columns`: whether the elements of a column are neighbours in memory, not
//   those of a row
// - `store`: what becomes of an element of C

override THREADS_X: u32;
override THREADS_Y: u32;
override ACROSS: u32;
override DOWN: u32;
override PARTS: u32; // DOWN x ACROSS: how often 'unrolled PARTS' stands for (src/kernels/source.rs).
override DEPTH: u32;

// Four rows of A, and four columns of B, per element: an invocation reads a whole vec4 of each at every inner step.
override A_QUADS: u32 = THREADS_Y * DOWN;
override B_QUADS: u32 = THREADS_X * ACROSS;
// From one inner element to the next, in vec4s: odd, so that eight invocations that store inner elements behind each other do
// not meet in the same banks of the memory.
override A_PITCH: u32 = A_QUADS | 1u;
override B_PITCH: u32 = B_QUADS | 1u;
override A_TILE: u32 = DEPTH * A_PITCH;
override B_TILE: u32 = DEPTH * B_PITCH;
var<workgroup> a_tile: array<vec4f, A_TILE>;
var<workgroup> b_tile: array<vec4f, B_TILE>;

// A_QUADS, B_QUADS and DEPTH divide it.
override THREADS: u32 = THREADS_X * THREADS_Y;
// vec4s of either tile that an invocation loads: how often 'unrolled' stands for them.
override A_LOADS: u32;
override B_LOADS: u32;

// Rows and columns of C, and the range of the inner dimension.
struct Extent { rows: u32, columns: u32, start: u32, end: u32 }

// Four rows by four columns of the product.
struct Part { c0: vec4f, c1: vec4f, c2: vec4f, c3: vec4f }

fn multiply(operands: LaneOperands, extent: Extent, block: vec2u, local: u32) {
    let first_row = block.y * 4u * A_QUADS;
    let first_column = block.x * 4u * B_QUADS;
    // Pairs of invocations across the way in which C lies, and pairs of pairs along it: memory serves a vec4 of a tile once for
    // two that share it, if they are next to each other or next but one.
    var at = vec2u(local / 2u % THREADS_X, local % 2u + 2u * (local / (2u * THREADS_X)));
    if c_lies_by_columns() {
        at = vec2u(local % 2u + 2u * (local / (2u * THREADS_Y)), local / 2u % THREADS_Y);
    }
    // The parts of an invocation lie apart, those of its neighbours beside each other.
    var index = 0u;
    // unrolled PARTS
    let down_0 = at.y + index / ACROSS * THREADS_Y;
    let across_0 = at.x + index % ACROSS * THREADS_X;
    var part_0 = Part();
    index++;
    // end
    prepare(operands, extent.start, local);
    workgroupBarrier();
    // What an invocation reads of every tile.
    let rows = rows_from(operands, first_row + a_load(local, 0u).y);
    let columns = columns_from(operands, first_column + b_load(local, 0u).y);
    let first = inner_at(extent.start, local % DEPTH);
    index = 0u;
    // unrolled A_LOADS
    let a_load_0 = a_load(local, index);
    var rows_0 = rows;
    if !a_lies_by_columns() { rows_0 = rows_from(operands, first_row + a_load_0.y); }
    var a_inner_0 = first;
    if a_lies_by_columns() { a_inner_0 = inner_at(extent.start, a_load_0.x); }
    var a_next_0 = of_a(operands, rows_0, a_inner_0);
    index++;
    // end
    index = 0u;
    // unrolled B_LOADS
    let b_load_0 = b_load(local, index);
    var columns_0 = columns;
    if b_lies_by_columns() { columns_0 = columns_from(operands, first_column + b_load_0.y); }
    var b_inner_0 = first;
    if !b_lies_by_columns() { b_inner_0 = inner_at(extent.start, b_load_0.x); }
    var b_next_0 = of_b(operands, columns_0, b_inner_0);
    index++;
    // end
    workgroupBarrier();
    for (var start = extent.start; start < extent.end; start += DEPTH) {
        // unrolled A_LOADS
        a_tile[a_load_0.x * A_PITCH + a_load_0.y] = a_next_0;
        // end
        // unrolled B_LOADS
        b_tile[b_load_0.x * B_PITCH + b_load_0.y] = b_next_0;
        // end
        let next = start + DEPTH;
        prepare(operands, next, local);
        workgroupBarrier();
        // The next tile is on its way while this one is multiplied; behind the last one there are zeros.
        let own = inner_at(next, local % DEPTH);
        // unrolled A_LOADS
        a_inner_0 = own;
        if a_lies_by_columns() { a_inner_0 = inner_at(next, a_load_0.x); }
        a_next_0 = of_a(operands, rows_0, a_inner_0);
        // end
        // unrolled B_LOADS
        b_inner_0 = own;
        if !b_lies_by_columns() { b_inner_0 = inner_at(next, b_load_0.x); }
        b_next_0 = of_b(operands, columns_0, b_inner_0);
        // end
        for (var k = 0u; k < DEPTH; k++) {
            // unrolled PARTS
            part_0 = add(part_0, a_tile[k * A_PITCH + down_0], b_tile[k * B_PITCH + across_0]);
            // end
        }
        // No invocation may overwrite a tile that another still reads.
        workgroupBarrier();
    }
    // unrolled PARTS
    store_part(operands, extent, first_row + down_0, first_column + across_0, part_0);
    // end
}

// Of a tile of A the inner element and the quad of an invocation's load: neighbouring invocations read neighbouring addresses,
// whichever way the operand lies, and an invocation keeps to one quad or to one inner element.
fn a_load(local: u32, load: u32) -> vec2u {
    if a_lies_by_columns() { return vec2u(local / A_QUADS + load * (THREADS / A_QUADS), local % A_QUADS); }
    return vec2u(local % DEPTH, local / DEPTH + load * (THREADS / DEPTH));
}

fn b_load(local: u32, load: u32) -> vec2u {
    if b_lies_by_columns() { return vec2u(local % DEPTH, local / DEPTH + load * (THREADS / DEPTH)); }
    return vec2u(local / B_QUADS + load * (THREADS / B_QUADS), local % B_QUADS);
}

// Four elements of a column of A times four of a row of B.
fn add(part: Part, left: vec4f, right: vec4f) -> Part {
    return Part(
        part.c0 + left.x * right, part.c1 + left.y * right, part.c2 + left.z * right, part.c3 + left.w * right
    );
}

fn store_part(operands: LaneOperands, extent: Extent, row: u32, column: u32, part: Part) {
    store_row(operands, extent, row, column, part.c0);
    store_row(operands, extent, row + A_QUADS, column, part.c1);
    store_row(operands, extent, row + 2u * A_QUADS, column, part.c2);
    store_row(operands, extent, row + 3u * A_QUADS, column, part.c3);
}

fn store_row(operands: LaneOperands, extent: Extent, row: u32, column: u32, sums: vec4f) {
    if row >= extent.rows { return; }
    if column < extent.columns { store(operands, row, column, sums.x); }
    if column + B_QUADS < extent.columns { store(operands, row, column + B_QUADS, sums.y); }
    if column + 2u * B_QUADS < extent.columns { store(operands, row, column + 2u * B_QUADS, sums.z); }
    if column + 3u * B_QUADS < extent.columns { store(operands, row, column + 3u * B_QUADS, sums.w); }
}
