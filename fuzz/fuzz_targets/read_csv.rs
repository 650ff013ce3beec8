//! Any bytes as each of a sweep's tables.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tauscope::table::{DelayRow, RunRow, ThresholdRow, read_csv_from};

fn names_its_place<T>(rows: anyhow::Result<T>) {
    if let Err(error) = rows {
        let message = format!("{error:#}");
        let placed = message.contains("line ") || message.contains("is empty");
        assert!(message.contains("table.csv") && placed, "{message}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    names_its_place(read_csv_from::<ThresholdRow>("table.csv", bytes));
    names_its_place(read_csv_from::<RunRow>("table.csv", bytes));
    names_its_place(read_csv_from::<DelayRow>("table.csv", bytes));
});
