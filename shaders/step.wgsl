// The delayed update over the ring of weight versions, and partial sums of what is observed of it
// (src/kernels/step.rs). One invocation per parameter.

struct Params {
    step: u32, lanes: u32, stages: u32,
    parameters: u32, first: u32, length: u32,
    history_stride: u32, state_stride: u32, second_offset: u32, partials: u32,
}

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> updates: array<vec4u>;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read> landmarks: array<f32>;
@group(0) @binding(4) var<storage, read_write> server: array<f32>;
@group(0) @binding(5) var<storage, read_write> history: array<f32>;
@group(0) @binding(6) var<storage, read_write> state: array<f32>;
@group(0) @binding(7) var<storage, read_write> moment_partials: array<vec4f>;
var<immediate> params: Params;

var<workgroup> sums: array<vec4f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn step(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = group.y;
    let at = params.step * params.lanes + lane;
    let lane_step = lane_steps[at];
    if lane_step.busy == 0u || !ends_update(lane_step) { return; }
    let number = group.z * groups.x + group.x;
    if number * WORKGROUP >= params.length { return; }

    let inner = number * WORKGROUP + local;
    var moments = vec4f(); // Beyond the last parameter: nothing to add, but every invocation must reach the barriers.
    if inner < params.length { moments = advance(lane, lane_step, at * params.stages, inner); }
    sums[local] = moments;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width { sums[local] += sums[local + width]; }
    }
    if local == 0u { moment_partials[lane * params.partials + params.first / WORKGROUP + number] = sums[0]; }
}

// Moves one parameter, the `inner`-th of this part of the ring; returns its share of distance^2, projection, ||x_read||^2 and
// the count of non-finite weights.
fn advance(lane: u32, lane_step: LaneStep, first_update: u32, inner: u32) -> vec4f {
    let i = params.first + inner;
    var stage = first_update;
    var update_step = update_step_at(stage);
    while i >= update_step.end {
        stage++;
        update_step = update_step_at(stage);
    }
    let update = update_of(update_step);
    let ring = lane * params.history_stride + inner;
    // Read before the write below: at every delay but a recorded one it is the same slot.
    let seen = history[ring + lane_step.read * params.length];
    // Of an outer loop the weights that the worker began with; `local` has already put the decay in.
    var read = seen;
    var decay = update.decay;
    if lane_step.part != 0u {
        read = history[ring + lane_step.base * params.length];
        decay = 0.0;
    }
    let own = lane * params.parameters + i;
    let kept = lane * params.state_stride + update_step.velocity * params.length + inner;
    let second = kept + params.second_offset;
    let before = server[own];

    // One lane is one workgroup's, so that no branch on the form parts the invocations of a workgroup, but where an update ends.
    let form = update.form;
    // `spectral` has renewed the velocity and left the direction of the whole matrix where its gradient was.
    let has_direction = form == SPECTRAL || form == SPECTRAL_BY_RMS;
    var g = gradient[own] + decay * read;
    if form == GAP_AWARE {
        let moving = select(state[kept], g, update.momentum == 0.0);
        let square = update.second_moment_decay * state[second] + (1.0 - update.second_moment_decay) * moving * moving;
        state[second] = square;
        let typical = update.lr * sqrt(square * update.bias_correction);
        if typical > 0.0 { g /= 1.0 + abs(before - read) / typical; }
    }

    let old = state[kept];
    var v = update.momentum * old + update.gradient_to_velocity * g;
    var x = before;
    if form == MIXING {
        let velocities = lane * params.state_stride + inner;
        let late = update.momentum * state[velocities + update_step.velocity_read * params.length];
        let pull = late + update.lr * update.gradient_to_velocity * g;
        v = (1.0 - update.share) * state[velocities + update_step.newest * params.length] + update.share * pull;
        x -= update.share * (before - read + pull);
    } else if form == MIXING_ADAM {
        let newest = lane * params.state_stride + update_step.newest * params.length + inner;
        let late = lane * params.state_stride + update_step.velocity_read * params.length + inner;
        let mean = update.momentum * state[late] + update.gradient_to_velocity * g;
        let squares = state[late + params.second_offset];
        let square = update.second_moment_decay * squares + (1.0 - update.second_moment_decay) * g * g;
        let move_by = update.velocity_to_weights * mean / (sqrt(square * update.bias_correction) + update.epsilon);
        v = (1.0 - update.share) * state[newest] + update.share * mean;
        state[second] = (1.0 - update.share) * state[newest + params.second_offset] + update.share * square;
        x -= update.share * (before - read + update.decoupled_decay * read + update.lr * move_by);
    }
    if has_direction { v = old; }
    state[kept] = v;
    var u = update.gradient_to_weights * g + update.velocity_to_weights * v;
    if has_direction {
        u = g;
    } else if form == ADAM {
        let square = update.second_moment_decay * state[second] + (1.0 - update.second_moment_decay) * g * g;
        state[second] = square;
        u /= sqrt(square * update.bias_correction) + update.epsilon;
    } else if form == SIGN {
        u = direction_of(update.gradient_to_weights * g + update.velocity_to_weights * old);
    }

    if form != MIXING && form != MIXING_ADAM { x = before - update.lr * u - update.decoupled_decay * before; }
    server[own] = x;
    let stored = x + update.lookahead * (x - before) + update.lookback * old;
    history[ring + update_step.write * params.length] = stored;
    if update_step.backward_write != 0u { history[ring + (update_step.backward_write - 1u) * params.length] = stored; }

    let displacement = select(stored, x, update.lookback == 0.0) - landmarks[i];
    let projection = displacement * landmarks[params.parameters + i];
    return vec4f(displacement * displacement, projection, seen * seen, f32(!is_finite(x)));
}

// 1, -1, or what is neither, which must not be hidden: zero, or not a number.
fn direction_of(pull: f32) -> f32 {
    if pull > 0.0 { return 1.0; }
    if pull < 0.0 { return -1.0; }
    return pull;
}
