// Gradient of 1/2 sum lambda_i x_i^2 at the weights that a step reads, and partial sums of the value
// (src/kernels/quadratic.rs). One invocation per parameter.

struct Params { step: u32, lanes: u32, parameters: u32, history_stride: u32, slot_stride: u32, partials: u32 }

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> eigenvalues: array<f32>;
@group(0) @binding(2) var<storage, read> history: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> loss_partials: array<f32>;
var<immediate> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn quadratic(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = group.y;
    let lane_step = lane_steps[params.step * params.lanes + lane];
    if lane_step.busy == 0u { return; }

    let i = group.x * WORKGROUP + local;
    var value = 0.0; // Beyond the last parameter: nothing to add, but every invocation must reach the barriers.
    if i < params.parameters {
        let x = history[lane * params.history_stride + lane_step.read * params.slot_stride + i];
        let slope = eigenvalues[i] * x;
        gradient[lane * params.parameters + i] = slope;
        value = 0.5 * slope * x;
    }
    sums[local] = value;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width { sums[local] += sums[local + width]; }
    }
    if local == 0u { loss_partials[lane * params.partials + group.x] = sums[0]; }
}
