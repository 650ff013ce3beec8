// Adds up the slices of a gradient (src/kernels/reduce.rs). One invocation per element of a slice.

struct Params {
    step: u32, lanes: u32,
    slices: u32, rows: u32, columns: u32, biased: u32,
    weight: u32, bias: u32, parameters: u32,
}

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
var<immediate> params: Params;

@compute @workgroup_size(WORKGROUP)
fn reduce(@builtin(global_invocation_id) id: vec3u) {
    let lane = id.y;
    if lane_steps[params.step * params.lanes + lane].busy == 0u { return; }

    let columns = params.columns + params.biased;
    let size = params.rows * columns;
    if id.x >= size { return; }
    var sum = 0.0;
    for (var slice = 0u; slice < params.slices; slice++) {
        sum += partials[(lane * params.slices + slice) * size + id.x];
    }
    let row = id.x / columns;
    let column = id.x % columns;
    let own = lane * params.parameters;
    if column < params.columns {
        gradient[own + params.weight + row * params.columns + column] = sum;
    } else {
        gradient[own + params.bias + row] = sum;
    }
}
