//! `loss`: the loss of a batch of outputs and its gradient with respect to them.
//!
//! With B rows, outputs f (logits) and one-hot target y:
//! - `ce`: mean over rows of -log softmax(f)_label; gradient (softmax(f) - y) / B
//! - `mse`: mean over rows of 1/2 ||f - y||^2 (summed over classes, not averaged); gradient (f - y) / B

//!
//! Bindings of `loss.wgsl`, one invocation per row:
//! - `lane_steps`: steps x lanes
//! - `labels`: rows, or lanes x rows
//! - `outputs`: lanes x rows x classes, replaced by the gradient
//! - `loss_partials`: lanes x [`partials`], whose sum is a lane's mean loss

use super::{
    Call, Constant, Kernel, LANE_STEP, LaneStep, codes, read, read_write, shader, shared_struct, sum_iterations,
};
use crate::math::{Loss, Number};

shared_struct! {
    /// Immediates of `loss.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        pub rows: u32,
        pub classes: u32,
        /// Elements from one lane's labels to the next one's; 0 where all lanes share them.
        pub label_stride: u32,
        /// Partial sums per lane.
        pub partials: u32,
        /// 1 / rows.
        pub scale: f32,
    }
}

/// Rows per workgroup.
pub const WORKGROUP: usize = 64;

pub const KERNEL: Kernel = Kernel {
    name: "loss",
    files: &[shader!("loss.wgsl"), LANE_STEP],
    bindings: &[read("lane_steps"), read("labels"), read_write("outputs"), read_write("loss_partials")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[Loss::CODES],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &["LOSS"],
};

/// Partial sums per lane.
pub fn partials(rows: usize) -> usize {
    rows.div_ceil(WORKGROUP)
}

codes!(Loss { CE: Self::Ce, MSE: Self::Mse });

impl Loss {
    /// The values of [`KERNEL`]'s variants.
    pub fn variant(self) -> [Constant; 1] {
        [("LOSS", f64::from(self.code()))]
    }
}

/// `buffers`: lane_steps, labels, outputs, loss_partials.
pub fn call<B>(loss: Loss, params: &Params, buffers: [B; 4]) -> Call<B> {
    let iterations = 3 * params.classes as usize + sum_iterations(WORKGROUP);
    Call::new(&KERNEL, &loss.variant(), buffers, params, [params.partials, params.lanes, 1], iterations)
}

/// Replaces `outputs` (rows x classes) by the gradient of the mean loss and returns that loss.
pub fn cpu<T: Number>(loss: Loss, labels: &[u32], outputs: &mut [T]) -> T {
    let rows = labels.len();
    let classes = outputs.len() / rows;
    let scale = T::one() / T::of(rows as f64);
    let mut total = T::zero();
    for (row, label) in outputs.chunks_exact_mut(classes).zip(labels) {
        let label = *label as usize;
        match loss {
            Loss::Ce => {
                let target = row[label];
                let largest = row.iter().copied().fold(target, |largest, f| if f > largest { f } else { largest });
                let mut sum = T::zero();
                for f in row.iter_mut() {
                    *f = (*f - largest).exp();
                    sum += *f;
                }
                let factor = scale / sum;
                row.iter_mut().for_each(|f| *f *= factor);
                row[label] -= scale;
                total += sum.ln() - (target - largest);
            }
            Loss::Mse => {
                row[label] -= T::one();
                let mut squares = T::zero();
                for f in row.iter_mut() {
                    squares += *f * *f;
                    *f *= scale;
                }
                total += T::of(0.5) * squares;
            }
        }
    }
    total * scale
}
