// The coefficients of a lane's update at one step (src/kernels/update.rs), and the slots that it writes. Where a lane has stages
// there is one for each, of the parameters up to `end`.

struct Update {
    lr: f32, momentum: f32, gradient_to_velocity: f32, gradient_to_weights: f32, velocity_to_weights: f32,
    lookahead: f32, lookback: f32, decay: f32, decoupled_decay: f32,
    form: u32, compensation: f32, second_moment_decay: f32, bias_correction: f32, share: f32,
    clip_norm: f32, centred: u32,
    local_lr: f32, part_share: f32, merged: f32,
    end: u32, write: u32, velocity: u32, velocity_read: u32, newest: u32, backward_write: u32,
}
