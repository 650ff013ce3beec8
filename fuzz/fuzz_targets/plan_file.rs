//! Any bytes as a plan file of a sweep and of a training, up to the resolved plan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tauscope::config::{SweepArgs, TrainArgs};
use tauscope::plan::file::{PlanArgs, parse};

fn names_its_place<A: PlanArgs>(bytes: &[u8]) {
    if let Err(error) = parse::<A>("plan.toml", bytes) {
        let message = error.to_string();
        assert!(message.starts_with("plan.toml"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message:?}");
        let placed = message.contains(", line ") || message.contains("--");
        assert!(placed, "{message}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    names_its_place::<SweepArgs>(bytes);
    names_its_place::<TrainArgs>(bytes);
});
