// What a lane's update does at one step (src/kernels/update.rs). The table `updates` begins with two vec4s for every stage of
// every lane and step, which say what is written and where the coefficients stand: behind them, each set once for all the
// steps that share it.

struct UpdateStep {
    coefficients: u32, end: u32, write: u32, velocity: u32, velocity_read: u32, newest: u32, backward_write: u32, unused: u32,
}
struct Update {
    lr: f32, momentum: f32, gradient_to_velocity: f32, gradient_to_weights: f32, velocity_to_weights: f32,
    lookahead: f32, lookback: f32, decay: f32, decoupled_decay: f32,
    form: u32, compensation: f32, second_moment_decay: f32, bias_correction: f32, share: f32,
    clip_norm: f32, centred: u32,
    local_lr: f32, part_share: f32, merged: f32, epsilon: f32,
}

// Entry `at` of the table, of which every step of a lane has one for each stage.
fn update_step_at(at: u32) -> UpdateStep {
    let a = updates[2u * at];
    let b = updates[2u * at + 1u];
    return UpdateStep(a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w);
}

fn update_of(step: UpdateStep) -> Update {
    let a = bitcast<vec4f>(updates[step.coefficients]);
    let b = bitcast<vec4f>(updates[step.coefficients + 1u]);
    let c = updates[step.coefficients + 2u];
    let d = updates[step.coefficients + 3u];
    let e = bitcast<vec4f>(updates[step.coefficients + 4u]);
    let f = bitcast<vec3f>(c.xzw);
    let g = bitcast<vec3f>(d.xyz);
    return Update(
        a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w, f.x, c.y, f.y, f.z, g.x, g.y, g.z, d.w, e.x, e.y, e.z, e.w
    );
}
