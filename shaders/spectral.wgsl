// What comes before and after the Newton-Schulz steps of a matrix that moves as a whole (src/kernels/spectral.rs); the steps
// themselves are products (matmul.wgsl).

struct Params {
    step: u32, lanes: u32, stages: u32, update: u32,
    parameters: u32, first: u32, length: u32, state_stride: u32,
    begin: u32, rows: u32, columns: u32, apart: u32,
    scale: f32, scale_by_rms: f32,
}

override WORKGROUP: u32;
override PASS: u32;
override NORM_EPSILON: f32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> updates: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> state: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> iterate: array<f32>;
@group(0) @binding(5) var<storage, read_write> squares: array<f32>;
var<immediate> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn spectral(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = group.y;
    let at = params.step * params.lanes + lane;
    if lane_steps[at].busy == 0u { return; }
    let number = group.z * groups.x + group.x;
    let stage = at * params.stages + params.update;
    if PASS == RENEW {
        renew(lane, stage, number, local);
    } else if PASS == NORMALISE {
        normalise(lane, number, local);
    } else {
        let update = update_of(update_step_at(stage));
        let scale = select(params.scale, params.scale_by_rms, update.form == SPECTRAL_BY_RMS);
        for (var i = number * WORKGROUP + local; i < size(); i += params.apart) {
            gradient[own(lane) + i] = scale * iterate[lane * size() + place(i)];
        }
    }
}

fn size() -> u32 { return params.rows * params.columns; }

// Where the matrix begins in a lane's gradient.
fn own(lane: u32) -> u32 { return lane * params.parameters + params.begin; }

// Where an element of the gradient lies in `iterate`: a tall one is transposed there.
fn place(i: u32) -> u32 {
    if params.rows <= params.columns { return i; }
    return i % params.columns * params.rows + i / params.columns;
}

// Blocks of WORKGROUP parameters that the matrix has a part of: counted from parameter 0, so that no block lies in two parts
// of the ring, and sums have the same bits however it is cut.
fn blocks() -> u32 { return (params.begin + size() - 1u) / WORKGROUP - params.begin / WORKGROUP + 1u; }

// Renews the velocity and puts what is to be made orthogonal in the place of the gradient, in a block of this part of the ring.
fn renew(lane: u32, stage: u32, number: u32, local: u32) {
    let begin = max(params.begin, params.first);
    let end = min(params.begin + size(), params.first + params.length);
    let block = begin / WORKGROUP + number;
    if block * WORKGROUP >= end { return; }
    let i = block * WORKGROUP + local;
    var square = 0.0; // Beyond the matrix: nothing to add, but every invocation must reach the barriers.
    if i >= begin && i < end {
        let update_step = update_step_at(stage);
        let update = update_of(update_step);
        let kept = lane * params.state_stride + update_step.velocity * params.length + i - params.first;
        let g = gradient[lane * params.parameters + i];
        let v = update.momentum * state[kept] + update.gradient_to_velocity * g;
        let u = update.gradient_to_weights * g + update.velocity_to_weights * v;
        state[kept] = v;
        gradient[lane * params.parameters + i] = u;
        square = u * u;
    }
    sum_up(square, local);
    if local == 0u { squares[lane * blocks() + block - params.begin / WORKGROUP] = sums[0]; }
}

// Divides by the Frobenius norm.
fn normalise(lane: u32, number: u32, local: u32) {
    var square = 0.0;
    for (var block = local; block < blocks(); block += WORKGROUP) { square += squares[lane * blocks() + block]; }
    sum_up(square, local);
    workgroupBarrier();
    let norm = sqrt(sums[0]) + NORM_EPSILON;
    for (var i = number * WORKGROUP + local; i < size(); i += params.apart) {
        iterate[lane * size() + place(i)] = gradient[own(lane) + i] / norm;
    }
}

// Leaves the sum over the workgroup in sums[0], where the first invocation sees it.
fn sum_up(term: f32, local: u32) {
    sums[local] = term;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width { sums[local] += sums[local + width]; }
    }
}
