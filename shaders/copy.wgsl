// Copies one buffer into another: what an adapter's memory moves at best (src/kernels/copy.rs).

struct Params { step: u32, lanes: u32, elements: u32, stride: u32 }

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read> source: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> copied: array<vec4f>;
var<immediate> params: Params;

@compute @workgroup_size(WORKGROUP)
fn copy(@builtin(global_invocation_id) id: vec3u) {
    if lane_steps[params.step * params.lanes + id.y].busy == 0u { return; }

    for (var i = id.x; i < params.elements; i += params.stride) { copied[i] = source[i]; }
}
