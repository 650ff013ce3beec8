// Operations on the numbers of a value one by one (src/kernels/elementwise.rs). An invocation computes every element that is
// a multiple of the number of invocations away from its first.

struct Params { step: u32, lanes: u32, elements: u32, apart: u32 }

override WORKGROUP: u32;
override OPERATION: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> one: array<f32>;
@group(0) @binding(2) var<storage, read> other: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;
var<immediate> params: Params;

@compute @workgroup_size(WORKGROUP)
fn elementwise(@builtin(global_invocation_id) id: vec3u) {
    let lane = id.y;
    if lane_steps[params.step * params.lanes + lane].busy == 0u { return; }

    for (var element = id.x; element < params.elements; element += params.apart) {
        let i = lane * params.elements + element;
        if OPERATION == ACTIVATE {
            result[i] = activate(one[i]).x;
        } else if OPERATION == DIFFERENTIATE {
            result[i] = other[i] * activate(one[i]).y;
        } else if OPERATION == ADD {
            result[i] = one[i] + other[i];
        } else {
            result[i] += one[i];
        }
    }
}
