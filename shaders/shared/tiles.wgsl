// The product C = A B by register tiles, for the kernels that make one (src/kernels/tile.rs).
//
// A workgroup computes a block of 4 THREADS_Y DOWN rows by 4 THREADS_X ACROSS columns; an invocation DOWN x ACROSS parts of it,
// 4 x 4 each, kept in four vec4 accumulators. Each accumulator runs through the inner dimension in order, so that a sum has
// the same bits whatever the block's shape.
//
// A kernel describes its operands by a struct `LaneOperands`, and has
// - rows_of_a and columns_of_b: four elements of an operand, 0 beyond its edges, which adds nothing to a sum
// - a_lies_by_columns and b_lies_by_columns: whether the elements of a column are neighbours in memory, not those of a row
// - store: what becomes of an element of C

override THREADS_X: u32;
override THREADS_Y: u32;
override ACROSS: u32;
override DOWN: u32;
override PARTS: u32; // DOWN x ACROSS: how often 'unrolled PARTS' stands for (src/kernels/source.rs).
override DEPTH: u32;

// Four rows of A, and four columns of B, per element: an invocation reads a whole vec4 of each at every inner step.
override A_QUADS: u32 = THREADS_Y * DOWN;
override B_QUADS: u32 = THREADS_X * ACROSS;
override A_TILE: u32 = DEPTH * A_QUADS;
override B_TILE: u32 = DEPTH * B_QUADS;
// From one inner element to the next, in vec4s: odd, so that eight invocations that store elements behind each other do not
// meet in the same banks of the memory.
override A_PITCH: u32 = A_QUADS | 1u;
override B_PITCH: u32 = B_QUADS | 1u;
override A_SIZE: u32 = DEPTH * A_PITCH;
override B_SIZE: u32 = DEPTH * B_PITCH;
var<workgroup> a_tile: array<vec4f, A_SIZE>;
var<workgroup> b_tile: array<vec4f, B_SIZE>;

// Rows and columns of C, and the range of the inner dimension.
struct Extent { rows: u32, columns: u32, start: u32, end: u32 }

// Four rows by four columns of the product.
struct Part { c0: vec4f, c1: vec4f, c2: vec4f, c3: vec4f }

fn multiply(operands: LaneOperands, extent: Extent, block: vec2u, at: vec2u, local: u32) {
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
    for (var start = extent.start; start < extent.end; start += DEPTH) {
        for (var i = local; i < A_TILE; i += THREADS_X * THREADS_Y) {
            // Neighbouring invocations read neighbouring addresses, whichever way the operand lies.
            var k = i % DEPTH;
            var quad = i / DEPTH;
            if a_lies_by_columns() {
                k = i / A_QUADS;
                quad = i % A_QUADS;
            }
            a_tile[k * A_PITCH + quad] = rows_of_a(operands, first_row + 4u * quad, start + k);
        }
        for (var i = local; i < B_TILE; i += THREADS_X * THREADS_Y) {
            var k = i / B_QUADS;
            var quad = i % B_QUADS;
            if b_lies_by_columns() {
                k = i % DEPTH;
                quad = i / DEPTH;
            }
            b_tile[k * B_PITCH + quad] = columns_of_b(operands, start + k, first_column + 4u * quad);
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            // unrolled PARTS
            part_0 = add(part_0, a_tile[k * A_PITCH + down_0], b_tile[k * B_PITCH + across_0]);
            // end
        }
        // No invocation may overwrite a tile that another still reads.
        workgroupBarrier();
    }
    // unrolled PARTS
    store_part(operands, extent, first_row + 4u * down_0, first_column + 4u * across_0, part_0);
    // end
}

// Four elements of a column of A times four of a row of B.
fn add(part: Part, left: vec4f, right: vec4f) -> Part {
    return Part(
        part.c0 + left.x * right, part.c1 + left.y * right, part.c2 + left.z * right, part.c3 + left.w * right
    );
}

fn store_part(operands: LaneOperands, extent: Extent, row: u32, column: u32, part: Part) {
    store_row(operands, extent, row, column, part.c0);
    store_row(operands, extent, row + 1u, column, part.c1);
    store_row(operands, extent, row + 2u, column, part.c2);
    store_row(operands, extent, row + 3u, column, part.c3);
}

fn store_row(operands: LaneOperands, extent: Extent, row: u32, column: u32, sums: vec4f) {
    if row >= extent.rows { return; }
    if column < extent.columns { store(operands, row, column, sums.x); }
    if column + 1u < extent.columns { store(operands, row, column + 1u, sums.y); }
    if column + 2u < extent.columns { store(operands, row, column + 2u, sums.z); }
    if column + 3u < extent.columns { store(operands, row, column + 3u, sums.w); }
}
