//! Reads a results folder of `tauscope sweep` and prints what each delay costs:
//! `cargo run --release --example read_results [DIR]`.

use std::path::PathBuf;
use tauscope::table::{Status, ThresholdRow, read_csv};

pub fn main() -> anyhow::Result<()> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/results/2026-11-22-default-sweep");
    let folder = std::env::args().nth(1).filter(|path| PathBuf::from(path).is_dir()).unwrap_or(default.into());
    let rows: Vec<ThresholdRow> = read_csv(&PathBuf::from(folder).join("thresholds.csv"))?;
    let sgd = rows.iter().filter(|row| row.rule == "sgd" && row.status == Status::Measured);
    let measured: Vec<(u32, f64)> = sgd.filter_map(|row| Some((row.delay?, row.lr_threshold?))).collect();
    let Some((_, synchronous)) = measured.iter().find(|(delay, _)| *delay == 0) else {
        println!("no synchronous threshold of sgd to compare with");
        return Ok(());
    };
    for (delay, lr) in &measured {
        println!("delay {delay}: sgd is stable up to {lr:.4}, {:.1} times less than without delay", synchronous / lr);
    }
    Ok(())
}
