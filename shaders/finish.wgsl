// Weight decay, compensation, centring and clipping of a whole gradient (src/kernels/finish.rs). One workgroup per lane.

struct Params {
    step: u32, lanes: u32, stages: u32,
    parameters: u32, history_stride: u32, slot_stride: u32, state_stride: u32, second_offset: u32,
    weight_decay: f32,
}

override WORKGROUP: u32;
override COMPENSATION_EPSILON: f32;
override CLIPPING_EPSILON: f32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> updates: array<vec4u>;
@group(0) @binding(2) var<storage, read> history: array<f32>;
@group(0) @binding(3) var<storage, read> landmarks: array<f32>;
@group(0) @binding(4) var<storage, read> server: array<f32>;
@group(0) @binding(5) var<storage, read> anchor: array<f32>;
@group(0) @binding(6) var<storage, read_write> state: array<f32>;
@group(0) @binding(7) var<storage, read_write> gradient: array<f32>;
var<immediate> params: Params;

var<workgroup> squares: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn finish(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = group.x;
    let at = params.step * params.lanes + lane;
    let lane_step = lane_steps[at];
    if lane_step.busy == 0u { return; }
    // What matters here is the same for all stages.
    let update = update_of(update_step_at(at * params.stages));
    let centred = update.centred != 0u;
    let limited = update.clip_norm > 0.0;
    let form = update.form;
    let compensated = form == COMPENSATED || form == COMPENSATED_ADAPTIVELY || form == COMPENSATED_EXACTLY;
    if !(centred || limited || compensated) { return; }
    let weight_decay = select(params.weight_decay, 0.0, update.decoupled_decay > 0.0);

    let own = lane * params.parameters;
    let read = lane * params.history_stride + lane_step.read * params.slot_stride;
    let second = lane * params.state_stride + params.second_offset;
    var square = 0.0;
    for (var i = local; i < params.parameters; i += WORKGROUP) {
        var g = gradient[own + i] + weight_decay * history[read + i];
        let behind = server[own + i] - history[read + i];
        var compensation = 0.0;
        if form == COMPENSATED {
            compensation = update.compensation * g * g * behind;
        } else if form == COMPENSATED_ADAPTIVELY {
            let mean = update.second_moment_decay * state[second + i] + (1.0 - update.second_moment_decay) * g * g;
            state[second + i] = mean;
            compensation = update.compensation / sqrt(mean + COMPENSATION_EPSILON) * g * g * behind;
        } else if form == COMPENSATED_EXACTLY {
            compensation = update.compensation * landmarks[2u * params.parameters + i] * behind;
        }
        if centred { g -= anchor[own + i] + weight_decay * landmarks[i]; }
        g += compensation;
        gradient[own + i] = g;
        square += g * g;
    }
    squares[local] = square;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width { squares[local] += squares[local + width]; }
    }
    workgroupBarrier();
    let scale = update.clip_norm / (sqrt(squares[0]) + CLIPPING_EPSILON);
    if !limited || scale >= 1.0 { return; }
    for (var i = local; i < params.parameters; i += WORKGROUP) { gradient[own + i] *= scale; }
}
