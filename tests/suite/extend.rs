//! `sweep --extend DIR`: what stands in a finished sweep is taken as it is, and the whole is what one sweep would have measured.

use crate::folders::{assert_same, refuse, succeed, tauscope};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use tauscope::table::{RunRow, Status, ThresholdRow, read_csv};

fn sweep(folder: &Path, out: &str, flags: &[&str]) -> Command {
    let mut command = tauscope(folder);
    command.args(["sweep", "--engine", "cpu", "--precision", "f64", "--out", out]).args(flags);
    command
}

const QUADRATIC: &[&str] = &["--model", "quadratic:1,0.3"];

fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_string_lossy().into(), fs::read(&path).unwrap())).collect()
}

#[test]
fn an_extended_sweep_is_the_sweep_of_the_union_byte_for_byte_and_leaves_the_first_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = [QUADRATIC, &["--rules", "sgd,shifted", "--delays", "0,2"]].concat();
    succeed(&mut sweep(folder, "first", &first));
    let before = bytes(&folder.join("first"));
    let union = [QUADRATIC, &["--rules", "shifted,heavy-ball,sgd", "--delays", "0,1,2"]].concat();
    succeed(&mut sweep(folder, "fresh", &union));
    let told = succeed(&mut sweep(folder, "extended", &[&union[..], &["--extend", "first"]].concat()));
    assert!(told.contains("extends  first: 4 cells taken, 0 carried over"), "{told}");
    assert_same(folder, "fresh", "extended");
    assert_eq!(bytes(&folder.join("first")), before);

    // Flags that ask for the new alone: the rest is carried over, in front.
    let new = [QUADRATIC, &["--rules", "sgd", "--delays", "1", "--extend", "first"]].concat();
    succeed(&mut sweep(folder, "carried", &new));
    let read = |out: &str| fs::read_to_string(folder.join(out).join("runs.csv")).unwrap();
    let (first, carried, fresh) = (read("first"), read("carried"), read("fresh"));
    assert!(carried.starts_with(&first) && carried.len() > first.len());
    assert!(carried.lines().all(|line| fresh.lines().any(|other| other == line)));
}

#[test]
fn a_finer_tolerance_goes_on_from_the_runs_of_the_coarser_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let grid = [QUADRATIC, &["--rules", "sgd,shifted", "--delays", "2,5"]].concat();
    succeed(&mut sweep(folder, "coarse", &[&grid[..], &["--tolerance", "0.1"]].concat()));
    let told =
        succeed(&mut sweep(folder, "fine", &[&grid[..], &["--tolerance", "0.004", "--extend", "coarse"]].concat()));
    assert!(told.contains("0 cells taken, 0 carried over, 4 continued from a coarser tolerance"), "{told}");
    let rows: Vec<ThresholdRow> = read_csv(&folder.join("fine/thresholds.csv")).unwrap();
    for row in &rows {
        assert_eq!(row.status, Status::Measured);
        assert!((row.ratio.unwrap() - 1.0).abs() < 0.004, "{row:?}");
    }
    let lrs = |out: &str| {
        let runs: Vec<RunRow> = read_csv(&folder.join(out).join("runs.csv")).unwrap();
        runs.into_iter().map(|run| run.lr).collect::<Vec<_>>()
    };
    let (coarse, fine) = (lrs("coarse"), lrs("fine"));
    assert!(coarse.iter().all(|lr| fine.contains(lr)) && fine.len() > coarse.len());
}

#[test]
fn a_sweep_of_something_else_is_no_extension_and_the_message_names_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let grid = ["--rules", "sgd", "--delays", "0", "--quiet"];
    succeed(&mut sweep(folder, "first", &[QUADRATIC, &grid].concat()));
    let other = [&["--model", "quadratic:2"], &grid[..], &["--extend", "first"]].concat();
    refuse(
        &mut sweep(folder, "out", &other),
        &["--extend first", "problem.model is", "quadratic:1,0.3", "quadratic:2"],
    );
    let seed = [QUADRATIC, &grid, &["--seed-order", "3", "--extend", "first"]].concat();
    refuse(&mut sweep(folder, "out", &seed), &["--extend first", "seed_order is 0 there and 3 here"]);
    let missing = [QUADRATIC, &grid, &["--extend", "missing"]].concat();
    refuse(&mut sweep(folder, "out", &missing), &["--extend missing", "accepted: the folder of a finished sweep"]);
    let itself = [QUADRATIC, &grid, &["--extend", "first", "--force"]].concat();
    refuse(&mut sweep(folder, "first", &itself), &["--out first", "the folder of --extend, which stays as it is"]);
    assert!(!folder.join("out").exists());
}
