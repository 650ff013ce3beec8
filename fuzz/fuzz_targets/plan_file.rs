//! Any bytes as a plan file, up to the cells of the resolved plan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tauscope::plan::file::parse;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = parse("plan.toml", bytes) {
        let message = error.to_string();
        assert!(message.starts_with("plan.toml"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message:?}");
        let placed = message.contains(", line ") || message.contains("--");
        assert!(placed, "{message}");
    }
});
