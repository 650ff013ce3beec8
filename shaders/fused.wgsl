// Whole steps of delayed SGD of a multilayer perceptron (src/kernels/fused.rs). One workgroup per lane.
//
// Storage is not coherent within a dispatch: element i of every vector is loaded and stored by invocation i % WORKGROUP
// alone, and everything that invocations tell each other goes through the arena.

struct Layer {
    inputs: u32, outputs: u32, weight: u32,
    input: u32, input_stride: u32,
    value: u32, delta: u32, stride: u32,
}
struct Params {
    step: u32, lanes: u32, steps: u32, stages: u32,
    rows: u32, minibatch: u32, features: u32, classes: u32, layers: u32,
    parameters: u32, history: u32, history_stride: u32, state: u32, state_stride: u32, second_offset: u32, anchor: u32,
    scale: f32, weight_decay: f32,
}

override WORKGROUP: u32;
override ARENA: u32;
override ROWS: u32;
// How often the text between 'unrolled NAME' and 'end' stands in the shader (src/kernels/source.rs).
override TILES: u32;
override DOWN: u32;
override FETCHES: u32;
override LOSS: u32;
override COMPENSATION_EPSILON: f32;
override CLIPPING_EPSILON: f32;

const AT_MINIMUM = 0u;
const AT_WEIGHTS = 1u;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> updates: array<vec4u>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> data: array<vec4f>;
@group(0) @binding(4) var<storage, read> labels: array<u32>;
@group(0) @binding(5) var<storage, read> layers: array<Layer>;
@group(0) @binding(6) var<storage, read> landmarks: array<vec4f>;
// The servers' weights; then, each where Params say, the weight versions, what the rules remember, and gradients at the minimum.
@group(0) @binding(7) var<storage, read_write> vectors: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> observations: array<vec4f>;
var<immediate> params: Params;

// The weights of a pass, and in the end its gradient; then (1, 0, 0, 0), what a bias is multiplied by; then a chunk of
// rows with their activations and deltas, or partial sums.
var<workgroup> arena: array<vec4f, ARENA>;

// Rows of a chunk from one of an invocation's DOWN rows to the next.
override PART: u32 = ROWS / DOWN;

// A part of the gradient, four inputs by four outputs of a layer, or the bias of four outputs: where it finds its operands
// and where it goes. Without rows where an invocation has none.
struct Tile { rows: u32, input: u32, input_stride: u32, delta: u32, delta_stride: u32, weight: u32, stride: u32 }
// One vec4 of outputs for each of a tile's inputs.
struct Sums { x: vec4f, y: vec4f, z: vec4f, w: vec4f }

@compute @workgroup_size(WORKGROUP)
fn fused(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = group.x;
    // A lane is idle throughout a dispatch, or never.
    if lane_steps[params.step * params.lanes + lane].busy == 0u { return; }

    var index = local;
    // unrolled TILES
    let tile_0 = tile(index);
    index += WORKGROUP;
    // end
    if local == 0u { arena[params.parameters] = vec4f(1.0, 0.0, 0.0, 0.0); }
    // The samples of the next chunk are on their way while the present one is worked at.
    index = local;
    // unrolled FETCHES
    let place_0 = index;
    var next_0 = sample_at(lane_steps[params.step * params.lanes + lane].rows, 0u, place_0);
    index += WORKGROUP;
    // end
    for (var step = params.step; step < params.step + params.steps; step++) {
        let at = step * params.lanes + lane;
        let lane_step = lane_steps[at];
        let update = update_of(update_step_at(at * params.stages));
        let read = params.history + lane * params.history_stride + lane_step.read * params.parameters;
        var loss = 0.0;
        for (var point = select(AT_WEIGHTS, AT_MINIMUM, update.centred != 0u); point <= AT_WEIGHTS; point++) {
            for (var i = local; i < params.parameters; i += WORKGROUP) {
                if point == AT_MINIMUM { arena[i] = landmarks[i]; } else { arena[i] = vectors[read + i]; }
            }
            loss = 0.0;
            // unrolled TILES
            var sums_0 = Sums();
            // end
            for (var first = 0u; first < params.rows; first += ROWS) {
                // unrolled FETCHES
                put(place_0, next_0);
                // end
                for (var i = local + FETCHES * WORKGROUP; i < ROWS * params.features; i += WORKGROUP) {
                    put(i, sample_at(lane_step.rows, first, i));
                }
                workgroupBarrier();
                let label = label_of(lane_step.rows, first + local, local);
                var after = Chunk(lane_step.rows, first + ROWS);
                if after.first >= params.rows { after = Chunk(rows_after(step, point, lane_step.rows, lane), 0u); }
                // unrolled FETCHES
                next_0 = sample_at(after.batch, after.first, place_0);
                // end
                for (var index = 0u; index < params.layers; index++) {
                    forward(layers[index], index + 1u < params.layers, local);
                    workgroupBarrier();
                }
                if local < ROWS { loss += differentiate(label, first + local, local); }
                workgroupBarrier();
                for (var index = params.layers - 1u; index > 0u; index--) {
                    backward(layers[index], layers[index - 1u], local);
                    workgroupBarrier();
                }
                // unrolled TILES
                sums_0 = accumulate(tile_0, sums_0);
                // end
                // No invocation may overwrite what another still reads.
                workgroupBarrier();
            }
            // unrolled TILES
            store(tile_0, sums_0);
            // end
            workgroupBarrier();
            if point == AT_MINIMUM {
                for (var i = local; i < params.parameters; i += WORKGROUP) {
                    vectors[params.anchor + lane * params.parameters + i] = arena[i];
                }
            }
        }
        let scale = finish(lane, read, update, local);
        if lane_step.part != 0u { make_part(lane, lane_step, read, update, local); }
        if !ends_update(lane_step) { continue; }
        let moments = advance(lane, lane_step, read, at * params.stages, scale, local);
        let seen = total(moments + vec4f(0.0, 0.0, params.scale * loss, 0.0), local);
        if local == 0u {
            let finite = seen.w == 0.0 && is_finite(seen.x) && is_finite(seen.z);
            observations[at] = vec4f(seen.xyz, f32(finite));
        }
    }
}

fn tile(index: u32) -> Tile {
    var rest = index;
    for (var l = 0u; l < params.layers; l++) {
        let layer = layers[l];
        let tiles = (layer.inputs + 1u) * layer.outputs;
        if rest < tiles {
            let four = rest / layer.outputs;
            let output = rest % layer.outputs;
            let weight = layer.weight + 4u * four * layer.outputs + output;
            if four == layer.inputs {
                return Tile(ROWS, params.parameters, 0u, layer.delta + output, layer.stride, weight, 0u);
            }
            let input = layer.input + four;
            return Tile(ROWS, input, layer.input_stride, layer.delta + output, layer.stride, weight, layer.outputs);
        }
        rest -= tiles;
    }
    return Tile();
}

// Which sample a row of a step's batch is, whose row numbers begin at `batch` of `order`.
fn sample(batch: u32, row: u32) -> u32 {
    if params.minibatch == 0u { return row; }
    return order[batch + row];
}

// Where a chunk of a batch begins: in `order`, and in the batch.
struct Chunk { batch: u32, first: u32 }

// Where the batch begins that is worked at after this pass: of the pass at the weights, or of the next step; anything after the
// last one, where nobody looks.
fn rows_after(step: u32, point: u32, batch: u32, lane: u32) -> u32 {
    if point == AT_MINIMUM || step + 1u == params.step + params.steps { return batch; }
    return lane_steps[(step + 1u) * params.lanes + lane].rows;
}

// Element i of the samples of a chunk, row by row; rows beyond the last are 0, and what becomes of them counts for nothing.
// Without branches, so that memory works at all of them at once.
fn sample_at(batch: u32, first: u32, i: u32) -> vec4f {
    let row = i / params.features;
    let inside = (row < ROWS) & (first + row < params.rows);
    let value = data[sample(batch, select(0u, first + row, inside)) * params.features + i % params.features];
    return select(vec4f(), value, inside);
}

fn put(i: u32, value: vec4f) {
    let row = i / params.features;
    if row < ROWS { arena[layers[0].input + row * layers[0].input_stride + i % params.features] = value; }
}

// The label of a row of the batch, for the invocations that each have one of the chunk's rows.
fn label_of(batch: u32, row: u32, local: u32) -> u32 {
    let inside = (local < ROWS) & (row < params.rows);
    return labels[sample(batch, select(0u, row, inside))];
}

// Values of a layer, DOWN rows by four outputs for each invocation; where it is hidden, slopes too, where the deltas will be.
// Neighbouring invocations take neighbouring rows, whose odd stride keeps them in different banks.
fn forward(layer: Layer, hidden: bool, local: u32) {
    for (var i = local; i < PART * layer.outputs; i += WORKGROUP) {
        let row = i % PART;
        let output = i / PART;
        var weight = layer.weight + output;
        var down = 0u;
        // unrolled DOWN
        let row_0 = row + down;
        let down_0 = down * layer.input_stride;
        var c_0 = vec4f();
        down += PART;
        // end
        let input = layer.input + row * layer.input_stride;
        for (var at = input; at < input + layer.inputs; at++) {
            // unrolled DOWN
            let a_0 = arena[at + down_0];
            // end
            var b = arena[weight];
            // unrolled DOWN
            c_0 += a_0.x * b;
            // end
            b = arena[weight + layer.outputs];
            // unrolled DOWN
            c_0 += a_0.y * b;
            // end
            b = arena[weight + 2u * layer.outputs];
            // unrolled DOWN
            c_0 += a_0.z * b;
            // end
            b = arena[weight + 3u * layer.outputs];
            // unrolled DOWN
            c_0 += a_0.w * b;
            // end
            weight += 4u * layer.outputs;
        }
        let bias = arena[weight];
        // unrolled DOWN
        emit(layer, hidden, row_0, output, c_0 + bias);
        // end
    }
}

fn emit(layer: Layer, hidden: bool, row: u32, output: u32, z: vec4f) {
    let at = row * layer.stride + output;
    if !hidden {
        arena[layer.value + at] = z;
        return;
    }
    let x = activate(z.x);
    let y = activate(z.y);
    let third = activate(z.z);
    let w = activate(z.w);
    arena[layer.value + at] = vec4f(x.x, y.x, third.x, w.x);
    arena[layer.delta + at] = vec4f(x.y, y.y, third.y, w.y);
}

// Replaces the outputs of a row of the chunk by the gradient of the batch's mean loss; returns the row's loss.
fn differentiate(label: u32, row: u32, local: u32) -> f32 {
    let layer = layers[params.layers - 1u];
    let first = layer.delta + local * layer.stride;
    if row >= params.rows {
        for (var i = first; i < first + layer.outputs; i++) { arena[i] = vec4f(); }
        return 0.0;
    }
    if LOSS == CE { return cross_entropy(first, layer.outputs, label); }
    return half_squares(first, layer.outputs, label);
}

// Which of four outputs are classes, and which is the labelled one.
fn classes(four: u32) -> vec4<bool> { return 4u * four + vec4u(0u, 1u, 2u, 3u) < vec4u(params.classes); }
fn one_hot(four: u32, label: u32) -> vec4f {
    return select(vec4f(), vec4f(1.0), 4u * four + vec4u(0u, 1u, 2u, 3u) == vec4u(label));
}

fn cross_entropy(first: u32, outputs: u32, label: u32) -> f32 {
    let labelled = arena[first + label / 4u][label % 4u];
    var largest = labelled;
    for (var i = 0u; i < outputs; i++) {
        let output = select(vec4f(labelled), arena[first + i], classes(i));
        largest = max(largest, max(max(output.x, output.y), max(output.z, output.w)));
    }
    // Exponents are at most 0, so nothing overflows and the sum is at least 1.
    var sum = 0.0;
    for (var i = 0u; i < outputs; i++) {
        let weights = select(vec4f(), exp(arena[first + i] - largest), classes(i));
        arena[first + i] = weights;
        sum += weights.x;
        sum += weights.y;
        sum += weights.z;
        sum += weights.w;
    }
    let scale = params.scale / sum;
    for (var i = 0u; i < outputs; i++) {
        arena[first + i] = arena[first + i] * scale - params.scale * one_hot(i, label);
    }
    return log(sum) - (labelled - largest);
}

fn half_squares(first: u32, outputs: u32, label: u32) -> f32 {
    var squares = 0.0;
    for (var i = 0u; i < outputs; i++) {
        let error = arena[first + i] - one_hot(i, label);
        squares += dot(error, error);
        arena[first + i] = error * params.scale;
    }
    return 0.5 * squares;
}

// Deltas of the layer below, DOWN rows by four of its outputs for each invocation, in place of its slopes.
fn backward(layer: Layer, below: Layer, local: u32) {
    for (var i = local; i < PART * below.outputs; i += WORKGROUP) {
        let row = i % PART;
        let input = i / PART;
        var weight = layer.weight + 4u * input * layer.outputs;
        var down = 0u;
        // unrolled DOWN
        let down_0 = down * layer.stride;
        let into_0 = below.delta + (row + down) * below.stride + input;
        var c_0 = vec4f();
        down += PART;
        // end
        let delta = layer.delta + row * layer.stride;
        for (var at = delta; at < delta + layer.outputs; at++) {
            let b0 = arena[weight];
            let b1 = arena[weight + layer.outputs];
            let b2 = arena[weight + 2u * layer.outputs];
            let b3 = arena[weight + 3u * layer.outputs];
            // unrolled DOWN
            let a_0 = arena[at + down_0];
            c_0 += vec4f(dot(a_0, b0), dot(a_0, b1), dot(a_0, b2), dot(a_0, b3));
            // end
            weight++;
        }
        // unrolled DOWN
        arena[into_0] *= c_0;
        // end
    }
}

// Adds the rows of a chunk, in their order.
fn accumulate(tile: Tile, before: Sums) -> Sums {
    var sums = before;
    var input = tile.input;
    var delta = tile.delta;
    for (var row = 0u; row < tile.rows; row++) {
        let h = arena[input];
        let d = arena[delta];
        sums.x += h.x * d;
        sums.y += h.y * d;
        sums.z += h.z * d;
        sums.w += h.w * d;
        input += tile.input_stride;
        delta += tile.delta_stride;
    }
    return sums;
}

fn store(tile: Tile, sums: Sums) {
    if tile.rows == 0u { return; }
    arena[tile.weight] = sums.x;
    if tile.stride == 0u { return; } // A bias has but one input.
    arena[tile.weight + tile.stride] = sums.y;
    arena[tile.weight + 2u * tile.stride] = sums.z;
    arena[tile.weight + 3u * tile.stride] = sums.w;
}

// What src/kernels/finish.rs says of the gradient in the arena, but for the scale of clipping, which it returns.
fn finish(lane: u32, read: u32, update: Update, local: u32) -> f32 {
    let centred = update.centred != 0u;
    let limited = update.clip_norm > 0.0;
    let form = update.form;
    let compensated = form == COMPENSATED || form == COMPENSATED_ADAPTIVELY || form == COMPENSATED_EXACTLY;
    if !(centred || limited || compensated) { return 1.0; }
    let weight_decay = select(params.weight_decay, 0.0, update.decoupled_decay > 0.0);

    let own = lane * params.parameters;
    let second = params.state + lane * params.state_stride + params.second_offset;
    var square = 0.0;
    for (var i = local; i < params.parameters; i += WORKGROUP) {
        let weights = vectors[read + i];
        var g = arena[i] + weight_decay * weights;
        let behind = vectors[own + i] - weights;
        var compensation = vec4f();
        if form == COMPENSATED {
            compensation = update.compensation * g * g * behind;
        } else if form == COMPENSATED_ADAPTIVELY {
            let mean = update.second_moment_decay * vectors[second + i] + (1.0 - update.second_moment_decay) * g * g;
            vectors[second + i] = mean;
            compensation = update.compensation / sqrt(mean + COMPENSATION_EPSILON) * g * g * behind;
        } else if form == COMPENSATED_EXACTLY {
            compensation = update.compensation * landmarks[2u * params.parameters + i] * behind;
        }
        if centred { g -= vectors[params.anchor + own + i] + weight_decay * landmarks[i]; }
        g += compensation;
        arena[i] = g;
        square += dot(g, g);
    }
    if !limited { return 1.0; }
    let norm = sqrt(total(vec4f(square, 0.0, 0.0, 0.0), local).x);
    return min(update.clip_norm / (norm + CLIPPING_EPSILON), 1.0);
}

// What src/kernels/local.rs says of the gradient in the arena.
fn make_part(lane: u32, lane_step: LaneStep, read: u32, update: Update, local: u32) {
    let ring = params.history + lane * params.history_stride;
    let base = ring + lane_step.base * params.parameters;
    let place = ring + local_slot(lane_step) * params.parameters;
    let role = role_of(lane_step);
    for (var i = local; i < params.parameters; i += WORKGROUP) {
        let y = vectors[read + i];
        let g = arena[i] + update.decay * y;
        let went = y - update.local_lr * g;
        if role == LOCAL {
            var stays = went;
            if update.merged != 0.0 {
                stays = (1.0 - update.merged) * went + update.merged * vectors[lane * params.parameters + i];
            }
            vectors[place + i] = stays;
            continue;
        }
        var sent = g;
        if update.local_lr != 0.0 { sent = vectors[base + i] - went; }
        var part = update.part_share * sent;
        if joins(lane_step) { part += vectors[place + params.parameters + i]; }
        if role == ADD {
            vectors[place + params.parameters + i] = part;
            continue;
        }
        if keeps_local(lane_step) { vectors[place + i] = went; }
        arena[i] = part;
    }
}

// Moves the parameters of this invocation (src/kernels/step.rs); returns their share of distance^2, projection,
// weight_decay / 2 ||x_read||^2 and the count of weights that are not finite.
fn advance(lane: u32, lane_step: LaneStep, read: u32, first: u32, scale: f32, local: u32) -> vec4f {
    let own = lane * params.parameters;
    let ring = params.history + lane * params.history_stride;
    let base = ring + lane_step.base * params.parameters;
    let velocities = params.state + lane * params.state_stride;
    var stage = first;
    var update_step = update_step_at(stage);
    var update = update_of(update_step);
    let form = update.form;
    var moments = vec4f();
    for (var i = local; i < params.parameters; i += WORKGROUP) {
        while i >= update_step.end {
            stage++;
            update_step = update_step_at(stage);
            update = update_of(update_step);
        }
        let kept = velocities + update_step.velocity * params.parameters;
        let second = kept + params.second_offset;
        // Read before the write below: at every delay but a recorded one it is the same slot.
        let seen = vectors[read + i];
        // Of an outer loop the weights that the worker began with; `make_part` has already put the decay in.
        var weights = seen;
        var decay = update.decay;
        if lane_step.part != 0u {
            weights = vectors[base + i];
            decay = 0.0;
        }
        let before = vectors[own + i];
        let old = vectors[kept + i];
        var g = scale * arena[i] + decay * weights;
        if form == GAP_AWARE {
            let moving = select(old, g, update.momentum == 0.0);
            let square = update.second_moment_decay * vectors[second + i] + (1.0 - update.second_moment_decay) * moving * moving;
            vectors[second + i] = square;
            let typical = update.lr * sqrt(square * update.bias_correction);
            g = select(g, g / (1.0 + abs(before - weights) / typical), typical > vec4f());
        }
        var v = update.momentum * old + update.gradient_to_velocity * g;
        var x = before;
        if form == MIXING {
            let late = update.momentum * vectors[velocities + update_step.velocity_read * params.parameters + i];
            let pull = late + update.lr * update.gradient_to_velocity * g;
            v = (1.0 - update.share) * vectors[velocities + update_step.newest * params.parameters + i] + update.share * pull;
            x -= update.share * (before - weights + pull);
        } else if form == MIXING_ADAM {
            let newest = velocities + update_step.newest * params.parameters + i;
            let late = velocities + update_step.velocity_read * params.parameters + i;
            let mean = update.momentum * vectors[late] + update.gradient_to_velocity * g;
            let squares = vectors[late + params.second_offset];
            let square = update.second_moment_decay * squares + (1.0 - update.second_moment_decay) * g * g;
            let move_by = update.velocity_to_weights * mean / (sqrt(square * update.bias_correction) + update.epsilon);
            v = (1.0 - update.share) * vectors[newest] + update.share * mean;
            vectors[second + i] = (1.0 - update.share) * vectors[newest + params.second_offset] + update.share * square;
            x -= update.share * (before - weights + update.decoupled_decay * weights + update.lr * move_by);
        }
        vectors[kept + i] = v;
        var u = update.gradient_to_weights * g + update.velocity_to_weights * v;
        if form == ADAM {
            let square = update.second_moment_decay * vectors[second + i] + (1.0 - update.second_moment_decay) * g * g;
            vectors[second + i] = square;
            u /= sqrt(square * update.bias_correction) + update.epsilon;
        } else if form == SIGN {
            u = direction_of(update.gradient_to_weights * g + update.velocity_to_weights * old);
        }

        if form != MIXING && form != MIXING_ADAM { x = before - update.lr * u - update.decoupled_decay * before; }
        vectors[own + i] = x;
        let stored = x + update.lookahead * (x - before) + update.lookback * old;
        vectors[ring + update_step.write * params.parameters + i] = stored;
        if update_step.backward_write != 0u { vectors[ring + (update_step.backward_write - 1u) * params.parameters + i] = stored; }

        let displacement = select(stored, x, update.lookback == 0.0) - landmarks[i];
        let projection = dot(displacement, landmarks[params.parameters + i]);
        moments += vec4f(dot(displacement, displacement), projection, dot(seen, seen), not_finite(x));
    }
    return moments * vec4f(1.0, 1.0, 0.5 * params.weight_decay, 1.0);
}

// 1, -1, or what is neither, which must not be hidden: zero, or not a number.
fn direction_of(pull: vec4f) -> vec4f {
    return select(select(pull, vec4f(-1.0), pull < vec4f()), vec4f(1.0), pull > vec4f());
}

// The sum over all invocations, by halves. The arena behind the gradient is free between the passes.
fn total(share: vec4f, local: u32) -> vec4f {
    let at = params.parameters + 1u + local;
    arena[at] = share;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width { arena[at] += arena[at + width]; }
    }
    workgroupBarrier();
    let sum = arena[params.parameters + 1u];
    // No invocation may overwrite what another still reads.
    workgroupBarrier();
    return sum;
}

// How many of four are not finite.
fn not_finite(x: vec4f) -> f32 {
    let exponents = bitcast<vec4u>(x) & vec4u(0x7f800000u);
    return dot(vec4f(1.0), select(vec4f(), vec4f(1.0), exponents == vec4u(0x7f800000u)));
}
