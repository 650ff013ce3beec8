// Finishes the partial sums of a step into the one row that the host reads (src/kernels/observe.rs). One workgroup per
// lane.

struct Params { step: u32, lanes: u32, loss_partials: u32, moment_partials: u32, weight_decay: f32 }

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> loss_partials: array<f32>;
@group(0) @binding(2) var<storage, read> moment_partials: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> observations: array<vec4f>;
var<immediate> params: Params;

var<workgroup> losses: array<f32, WORKGROUP>;
var<workgroup> moments: array<vec4f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn observe(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let lane = group.x;
    let at = params.step * params.lanes + lane;
    if lane_steps[at].busy == 0u { return; }

    var loss = 0.0;
    for (var i = local; i < params.loss_partials; i += WORKGROUP) {
        loss += loss_partials[lane * params.loss_partials + i];
    }
    var moment = vec4f();
    for (var i = local; i < params.moment_partials; i += WORKGROUP) {
        moment += moment_partials[lane * params.moment_partials + i];
    }
    losses[local] = loss;
    moments[local] = moment;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width {
            losses[local] += losses[local + width];
            moments[local] += moments[local + width];
        }
    }
    if local == 0u {
        let sums = moments[0];
        let objective = losses[0] + 0.5 * params.weight_decay * sums.z;
        let finite = sums.w == 0.0 && is_finite(sums.x) && is_finite(objective);
        observations[at] = vec4f(sums.x, sums.y, objective, f32(finite));
    }
}
