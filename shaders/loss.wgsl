// Replaces the outputs of a batch by the gradient of its mean loss, and leaves partial sums of that loss
// (src/kernels/loss.rs). One invocation per row.

struct Params { step: u32, lanes: u32, rows: u32, classes: u32, label_stride: u32, partials: u32, scale: f32 }

override WORKGROUP: u32;
override LOSS: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> outputs: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss_partials: array<f32>;
var<immediate> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn loss(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = group.y;
    if lane_steps[params.step * params.lanes + lane].busy == 0u { return; }

    let row = group.x * WORKGROUP + local;
    var value = 0.0; // Beyond the last row: nothing to add, but every invocation must reach the barriers.
    if row < params.rows {
        let first = (lane * params.rows + row) * params.classes;
        let label = first + labels[lane * params.label_stride + row];
        if LOSS == CE { value = cross_entropy(first, label); } else { value = half_squares(first, label); }
    }
    sums[local] = value;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width { sums[local] += sums[local + width]; }
    }
    if local == 0u { loss_partials[lane * params.partials + group.x] = params.scale * sums[0]; }
}

fn cross_entropy(first: u32, label: u32) -> f32 {
    let end = first + params.classes;
    let labelled = outputs[label];
    var largest = outputs[first];
    for (var i = first + 1u; i < end; i++) { largest = max(largest, outputs[i]); }
    // Exponents are at most 0, so nothing overflows and the sum is at least 1.
    var sum = 0.0;
    for (var i = first; i < end; i++) {
        let weight = exp(outputs[i] - largest);
        outputs[i] = weight;
        sum += weight;
    }
    let scale = params.scale / sum;
    for (var i = first; i < end; i++) { outputs[i] *= scale; }
    outputs[label] -= params.scale;
    return log(sum) - (labelled - largest);
}

fn half_squares(first: u32, label: u32) -> f32 {
    outputs[label] -= 1.0;
    var squares = 0.0;
    for (var i = first; i < first + params.classes; i++) {
        let error = outputs[i];
        squares += error * error;
        outputs[i] = error * params.scale;
    }
    return 0.5 * squares;
}
