//! Every test of the crate that does not stand beside its code, in one binary: the crate is linked once.
//!
//! A folder or file is named after what it tests. `common` holds the only tolerance logic, `folders` what tests of results
//! folders share, `browser` a headless Chromium.

mod adaptive;
mod architecture;
mod asynchrony;
mod bench;
mod browser;
mod common;
mod comparator;
mod compare;
mod cpu;
mod data_files;
mod examples;
mod extend;
#[cfg(target_os = "linux")]
mod faults;
mod folder_tuning;
mod folders;
mod gpu;
#[cfg(unix)]
mod journal;
mod kernels;
mod lanes;
mod late_tuning;
mod minimum;
mod mixing;
mod muon;
mod networks;
mod outer_loops;
#[cfg(unix)]
mod outputs;
mod plan_file;
mod plot;
mod preconditioner;
mod printed;
mod problem;
mod quadratic_files;
mod rate_pages;
mod rates;
mod recovery;
mod report;
#[cfg(unix)]
mod searches;
#[cfg(unix)]
mod shards;
mod stage_theory;
mod stages;
#[cfg(unix)]
mod submit;
mod sweep;
mod terminal;
mod theory;
mod theory_command;
mod traces;
mod train;
mod training_plan;
mod training_tables;
mod trajectory;
mod tuning;
mod weights;
