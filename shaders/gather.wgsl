// Copies the samples of every lane's minibatch, and their labels, to where the products read them, augmented where the run
// asks for it (src/kernels/gather.rs).

struct Params {
    step: u32, lanes: u32, rows: u32,
    channels: u32, height: u32, width: u32, stride: u32,
    crop: u32,
}

override WORKGROUP: u32;
override AUGMENTED: u32;
// Where in a draw are the flip, behind the row number, and the offsets of the cut (src/batch/augment.rs).
override ROW_BITS: u32;
override DOWN: u32;
override RIGHT: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> data: array<f32>;
@group(0) @binding(3) var<storage, read> data_labels: array<u32>;
@group(0) @binding(4) var<storage, read_write> inputs: array<f32>;
@group(0) @binding(5) var<storage, read_write> labels: array<u32>;
var<immediate> params: Params;

@compute @workgroup_size(WORKGROUP)
fn gather(@builtin(global_invocation_id) id: vec3u) {
    let lane = id.y;
    let at = params.step * params.lanes + lane;
    let lane_step = lane_steps[at];
    if lane_step.busy == 0u { return; }

    let element = id.x;
    let features = params.channels * params.height * params.width;
    if element >= params.rows * features { return; }
    let row = element / features;
    let feature = element % features;
    let draw = order[lane_step.rows + row];
    var source = draw;
    var value = 0.0;
    if AUGMENTED == 0u {
        value = data[source * params.stride + feature];
    } else {
        source = draw & ((1u << ROW_BITS) - 1u);
        let x = feature % params.width;
        let y = feature / params.width % params.height;
        let channel = feature / (params.width * params.height);
        let mirrored = select(x, params.width - 1u - x, ((draw >> ROW_BITS) & 1u) != 0u);
        // Left of the edge and above it a difference wraps around, and is beyond the other edge.
        let from_x = mirrored + (draw >> RIGHT) - params.crop;
        let from_y = y + ((draw >> DOWN) & 15u) - params.crop;
        if from_x < params.width && from_y < params.height {
            value = data[source * params.stride + (channel * params.height + from_y) * params.width + from_x];
        }
    }
    inputs[lane * params.rows * features + element] = value;
    if feature == 0u { labels[lane * params.rows + row] = data_labels[source]; }
}
