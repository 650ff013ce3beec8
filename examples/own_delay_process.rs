//! A delay process of your own: draw its delays, save them as a recording, measure the threshold, and compare it with a fixed
//! delay of the same mean: `cargo run --release --example own_delay_process`.

use std::fs;
use tauscope::{RuleKind, ScheduleSpec, Sweep};

/// Delays of a server whose network stalls now and then: most gradients are one update late, and those that wait for the end
/// of a stall arrive together, each one update later than the one before.
fn delays() -> Vec<usize> {
    let smooth = std::iter::repeat_n(1, 9);
    let stalled = [9, 8, 7];
    smooth.chain(stalled).cycle().take(1200).collect()
}

pub fn main() -> anyhow::Result<()> {
    let delays = delays();
    let mean = delays.iter().sum::<usize>() / delays.len();
    let recording = std::env::temp_dir().join(format!("tauscope-own-delays-{}.csv", std::process::id()));
    let lines: Vec<String> = delays.iter().map(usize::to_string).collect();
    fs::write(&recording, lines.join("\n"))?;

    let settings = || Sweep::builder().quadratic([1.0, 0.3]).rules([RuleKind::Sgd]).delays([mean]);
    let own: ScheduleSpec = format!("trace:{}", recording.display()).parse().map_err(anyhow::Error::msg)?;
    let measured = settings().schedules([own]).build()?.measure();
    fs::remove_file(&recording)?;
    let (measured, fixed) = (measured?, settings().build()?.measure()?);
    let [own, fixed] = [&measured[0], &fixed[0]].map(|row| row.lr_threshold.unwrap_or(f64::NAN));
    println!("mean delay {mean}: stable up to {own:.3} with stalls, up to {fixed:.3} if always {mean} late");
    Ok(())
}
