// The loss of every sample of a chunk and whether its largest output is that of its class, summed (src/kernels/evaluate.rs).
// One invocation per row.

struct Params { step: u32, lanes: u32, rows: u32, samples: u32, classes: u32, partials: u32, stride: u32 }

override WORKGROUP: u32;
override LOSS: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> outputs: array<f32>;
@group(0) @binding(3) var<storage, read_write> results: array<vec2f>;
var<immediate> params: Params;

var<workgroup> sums: array<vec2f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn evaluate(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = group.y;
    if lane_steps[params.step * params.lanes + lane].busy == 0u { return; }

    let row = group.x * WORKGROUP + local;
    var seen = vec2f(); // Beyond the last sample: nothing to add, but every invocation must reach the barriers.
    if row < params.rows && params.step * params.rows + row < params.samples {
        seen = judge((lane * params.rows + row) * params.classes, labels[lane * params.rows + row]);
    }
    sums[local] = seen;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width { sums[local] += sums[local + width]; }
    }
    if local == 0u { results[lane * params.stride + params.step * params.partials + group.x] = sums[0]; }
}

// Loss, and 1 where the first of the largest outputs is the label's; nothing is larger than what is not a number.
fn judge(first: u32, label: u32) -> vec2f {
    var winner = 0u;
    var largest = outputs[first];
    var numbers = !is_nan(largest);
    for (var i = 1u; i < params.classes; i++) {
        let output = outputs[first + i];
        numbers = numbers && !is_nan(output);
        if output > largest {
            largest = output;
            winner = i;
        }
    }
    let correct = f32(numbers && winner == label);
    if LOSS == CE {
        var sum = 0.0;
        for (var i = 0u; i < params.classes; i++) { sum += exp(outputs[first + i] - largest); }
        return vec2f(log(sum) - (outputs[first + label] - largest), correct);
    }
    var squares = 0.0;
    for (var i = 0u; i < params.classes; i++) {
        let error = outputs[first + i] - f32(i == label);
        squares += error * error;
    }
    return vec2f(0.5 * squares, correct);
}
