//! The largest stable learning rate of sgd on a small network, at three delays, in ten lines:
//! `cargo run --release --example threshold`.

use tauscope::{RuleKind, Sweep};

pub fn main() -> anyhow::Result<()> {
    let sweep = Sweep::builder().samples(60).model("mlp:4".parse().map_err(anyhow::Error::msg)?);
    for row in sweep.rules([RuleKind::Sgd]).delays([0, 1, 4]).build()?.measure()? {
        let (lr, ratio) = (row.lr_threshold.unwrap_or(f64::NAN), row.ratio.unwrap_or(f64::NAN));
        println!("delay {}: {lr:.4}, {ratio:.3} times what theory predicts", row.delay.unwrap_or(0));
    }
    Ok(())
}
