// Chains of fused multiply-adds on registers: what an adapter computes at best (src/kernels/peak.rs).

struct Params { step: u32, lanes: u32, links: u32, factor: f32 }

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> lane_steps: array<LaneStep>;
@group(0) @binding(1) var<storage, read_write> sums: array<vec4f>;
var<immediate> params: Params;

@compute @workgroup_size(WORKGROUP)
fn peak(@builtin(global_invocation_id) id: vec3u) {
    if lane_steps[params.step * params.lanes + id.y].busy == 0u { return; }

    let factor = vec4f(params.factor);
    let term = 1.0 - factor;
    // Eight numbers in two vectors: chains that hide the latency of each other, and fit the registers of any device.
    var a = term;
    var b = 2.0 * term;
    for (var link = 0u; link < params.links; link++) {
        a = fma(a, factor, term); b = fma(b, factor, term); a = fma(a, factor, term); b = fma(b, factor, term);
        a = fma(a, factor, term); b = fma(b, factor, term); a = fma(a, factor, term); b = fma(b, factor, term);
        a = fma(a, factor, term); b = fma(b, factor, term); a = fma(a, factor, term); b = fma(b, factor, term);
        a = fma(a, factor, term); b = fma(b, factor, term); a = fma(a, factor, term); b = fma(b, factor, term);
        a = fma(a, factor, term); b = fma(b, factor, term); a = fma(a, factor, term); b = fma(b, factor, term);
        a = fma(a, factor, term); b = fma(b, factor, term); a = fma(a, factor, term); b = fma(b, factor, term);
        a = fma(a, factor, term); b = fma(b, factor, term); a = fma(a, factor, term); b = fma(b, factor, term);
        a = fma(a, factor, term); b = fma(b, factor, term); a = fma(a, factor, term); b = fma(b, factor, term);
    }
    sums[id.x] = a + b;
}
