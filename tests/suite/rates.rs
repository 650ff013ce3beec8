//! `sweep --rates`: rates measured at a minimum beside `tune`, whose numbers come from the roots, and the folder that holds them.

use crate::folders::{refuse, succeed, tauscope};
use crate::printed::{number, rows};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use tauscope::table::{RateRow, Status, read_csv};

fn sweep(folder: &Path, out: &str, flags: &[&str]) -> Command {
    let mut command = tauscope(folder);
    command.args(["sweep", "--engine", "cpu", "--out", out]).args(flags);
    command
}

fn read(folder: &Path, out: &str) -> Vec<RateRow> {
    read_csv(&folder.join(out).join("rates.csv")).unwrap()
}

/// Curvatures evenly spaced in the logarithm, the largest 1.
fn quadratic(condition: f64, count: u32) -> String {
    let value = |i: u32| condition.powf(f64::from(i) / f64::from(count - 1) - 1.0).to_string();
    format!("quadratic:{}", (0..count).map(value).collect::<Vec<_>>().join(","))
}

/// The rule with its numbers, as `sweep` takes it.
fn typed(row: &HashMap<String, String>) -> String {
    match row["rule"].as_str() {
        "weight-prediction" => format!("weight-prediction:{}", row["horizon"]),
        "prediction-2" => format!("prediction-2:{}/{}", row["horizon"], row["horizon_2"]),
        other => other.to_owned(),
    }
}

/// Double roots at one end or at both, whose distance falls like `t r^t`, real ones beside oscillations, and chains.
#[test]
fn tuned_rules_have_the_rates_that_tune_says_within_their_errors() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = quadratic(100.0, 12);
    let tuned = rows(
        "tune --delays 1,4 --condition 100 --rules sgd,shifted,weight-prediction,prediction-2,mixing:0.5,mixing:1/T",
    );
    for (place, row) in tuned.iter().enumerate() {
        let (out, rule, momentum) = (place.to_string(), typed(row), &row["momentum"]);
        let (delay, lr) = (&row["delay"], &row["gain"]);
        let momentum = if rule == "sgd" { vec![] } else { vec!["--momentum", momentum, "--dampening", "0"] };
        let flags = ["--model", &model, "--rules", &rule, "--delays", delay, "--rates", lr, "--quiet"];
        succeed(&mut sweep(folder, &out, &[&flags[..], &momentum].concat()));
        let [measured] = &read(folder, &out)[..] else { panic!("one row") };
        let (expected, updates) = (number(row, "updates_per_efold"), measured.updates_per_efold.unwrap());
        let error = measured.updates_error.unwrap();
        assert_eq!(measured.status, Status::Measured);
        assert_eq!(measured.directions.as_deref(), Some("all 12 eigenvalues"));
        assert!(
            (updates - expected).abs() < error && error < 0.021 * expected,
            "{rule} at delay {delay}: {updates} +- {error}, tuned for {expected}"
        );
        // Of the twelve curvatures one may be a little faster than the whole interval.
        assert!((measured.updates_theory.unwrap() / expected - 1.0).abs() < 0.01, "{measured:?}");
    }
}

const GRID: &[&str] =
    &["--model", "quadratic:1,0.1", "--rules", "sgd,mixing:0.5", "--momentum", "0.5", "--delays", "0,3", "--quiet"];

#[test]
fn shards_merged_and_extended_rates_have_the_bytes_of_one_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = [GRID, &["--rates", "0.1,0.3,3"]].concat();
    succeed(&mut sweep(folder, "whole", &all));
    for shard in ["1/2", "2/2"] {
        succeed(&mut sweep(folder, &shard.replace('/', "-"), &[&all[..], &["--shard", shard]].concat()));
    }
    succeed(tauscope(folder).args(["merge", "1-2", "2-2", "--out", "merged"]));
    let bytes = |out: &str| fs::read(folder.join(out).join("rates.csv")).unwrap();
    assert_eq!(bytes("merged"), bytes("whole"));
    succeed(&mut sweep(folder, "first", &[GRID, &["--rates", "0.3"]].concat()));
    succeed(&mut sweep(folder, "extended", &[&all[..], &["--extend", "first"]].concat()));
    assert_eq!(bytes("extended"), bytes("whole"));
    succeed(&mut sweep(folder, "carried", &[GRID, &["--rates", "0.1", "--extend", "first"]].concat()));
    assert_eq!(read(folder, "carried").len(), 8);
    // 3 is beyond the threshold of sgd, and not of mixing at delay 0.
    let grows = |row: &&RateRow| row.rate.unwrap() < 0.0;
    let whole = read(folder, "whole");
    assert!(whole.iter().filter(grows).all(|row| row.lr == 3.0 && row.updates_per_efold.is_none()));
    assert_eq!(whole.iter().filter(|row| row.rule == "sgd").filter(grows).count(), 2);
    refuse(&mut sweep(folder, "no", &[GRID, &["--extend", "whole"]].concat()), &["--extend whole", "no whole sweep"]);
}

#[test]
fn weights_that_come_to_the_minimum_itself_have_no_rate_and_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--model", "quadratic:1", "--rules", "sgd", "--delays", "0", "--rates", "1", "--quiet"];
    succeed(&mut sweep(folder.path(), "out", &flags));
    let [row] = &read(folder.path(), "out")[..] else { panic!("one row") };
    assert_eq!((row.status, row.rate), (Status::Measured, None));
    assert!(row.reason.as_deref().unwrap().contains("at the minimum itself"), "{row:?}");
}

#[test]
fn what_has_no_rate_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let quadratic = ["--model", "quadratic:1"];
    for (flags, parts) in [
        (vec!["--rates", "0.1,0.1"], ["--rates 0.1 stands there twice", "accepted: each learning rate once"]),
        (vec!["--rates", "-1"], ["--rates", "accepted: numbers above 0"]),
        (vec!["--rates", "0.1", "--rules", "adam"], ["--rates with --criterion escape", "accepted: mean, mean-square"]),
    ] {
        refuse(&mut sweep(folder.path(), "out", &[&quadratic[..], &flags].concat()), &parts);
    }
}
