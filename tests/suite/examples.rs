//! The programs in examples/, run as they are.

#[path = "../../examples/own_delay_process.rs"]
mod own_delay_process;
#[path = "../../examples/own_rule.rs"]
mod own_rule;
#[path = "../../examples/read_results.rs"]
mod read_results;
#[path = "../../examples/threshold.rs"]
mod threshold;

macro_rules! runs {
    ($($example:ident),*) => {
        $(#[test]
        fn $example() {
            $example::main().unwrap();
        })*
    };
}
runs!(own_delay_process, own_rule, read_results, threshold);
