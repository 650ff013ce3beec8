// Copies the rows of every lane's minibatch, and their labels, to where the products read them (src/kernels/gather.rs).

struct Place { busy: u32, read: u32, write: u32, velocity: u32, rows: u32 }
struct Params { step: u32, lanes: u32, rows: u32, features: u32 }

override WORKGROUP: u32;

@group(0) @binding(0) var<storage, read> places: array<Place>;
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
    let place = places[at];
    if place.busy == 0u { return; }

    let element = id.x;
    if element >= params.rows * params.features { return; }
    let row = element / params.features;
    let feature = element % params.features;
    let source = order[place.rows + row];
    inputs[lane * params.rows * params.features + element] = data[source * params.features + feature];
    if feature == 0u { labels[lane * params.rows + row] = data_labels[source]; }
}
