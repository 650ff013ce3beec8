//! Outer loops as a user runs them: thresholds beside theory, tables, advice, trainings, and what is refused.

use crate::folders::{refuse, succeed, tauscope};
use crate::printed::{number, rows, stdout};
use std::path::Path;
use std::process::Command;
use tauscope::table::{Status, SummaryRow, ThresholdRow, TrainRow, read_csv};

fn sweep(folder: &Path, out: &str, flags: &[&str]) -> Command {
    let mut command = tauscope(folder);
    command.args(["sweep", "--engine", "cpu", "--out", out]).args(flags);
    command
}

const QUADRATIC: [&str; 4] = ["--model", "quadratic:1.0,0.3", "--precision", "f64"];

/// Measures, and asserts that each of so many cells lies within `tolerance` of its theory.
fn thresholds(flags: &[&str], cells: usize, tolerance: f64) -> Vec<ThresholdRow> {
    let folder = tempfile::tempdir().unwrap();
    succeed(&mut sweep(folder.path(), "out", flags));
    let rows: Vec<ThresholdRow> = read_csv(&folder.path().join("out/thresholds.csv")).unwrap();
    assert_eq!(rows.len(), cells);
    for row in &rows {
        let cell = format!("{} at {:?}: {:?}", row.rule, row.delay, row.outer_name());
        assert_eq!(row.status, Status::Measured, "{cell}: {:?}", row.reason);
        let ratio = row.ratio.unwrap_or_else(|| panic!("{cell}: no theory"));
        assert!((ratio - 1.0).abs() < tolerance, "{cell}: measured / theory is {ratio}");
    }
    rows
}

fn on_quadratic<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    [&QUADRATIC[..], flags].concat()
}

#[test]
fn local_steps_divide_the_threshold_of_the_outer_rule_by_what_they_cover() {
    let flags = ["--rules", "sgd,nesterov", "--delays", "0,1,4", "--local-steps", "4,30", "--local-lr", "0.05,1.5"];
    let folder = tempfile::tempdir().unwrap();
    let out = sweep(folder.path(), "out", &on_quadratic(&flags)).output().unwrap();
    let rows: Vec<ThresholdRow> = read_csv(&folder.path().join("out/thresholds.csv")).unwrap();
    assert_eq!(rows.len(), 24);
    for row in &rows {
        let (steps, lr) = (row.local_steps.unwrap(), row.local_lr.unwrap());
        assert_eq!(row.local_rule.as_deref(), Some("sgd"));
        if lr == 1.5 && steps == 4 {
            // Past the minimum by every step: the curvature 0.3 is covered more than the curvature 1.
            assert_eq!(row.status, Status::Failed);
            assert!(row.reason.as_deref().unwrap().contains("accepted: --local-lr up to 1"), "{:?}", row.reason);
            continue;
        }
        let covered = 1.0 - (1.0 - lr).powi(steps as i32);
        // Of the outer rules: sgd 2 sin(pi / (4 tau + 2)), Nesterov .9 by two other programs.
        let gain = match (row.rule.as_str(), row.delay.unwrap()) {
            ("sgd", delay) => 2.0 * (std::f64::consts::PI / (4.0 * f64::from(delay) + 2.0)).sin(),
            (_, 0) => 3.8 / 2.8,
            (_, 1) => 0.2531,
            (_, _) => 0.0326,
        };
        let found = row.lr_threshold.unwrap() * covered / gain;
        assert!((found - 1.0).abs() < 5e-3, "{} at {:?}, {steps} steps: {found}", row.rule, row.delay);
        assert!((row.ratio.unwrap() - 1.0).abs() < 5e-3);
    }
    assert!(String::from_utf8(out.stderr).unwrap().contains("6 of 24 cells failed"));
}

#[test]
fn fresh_shares_overlaps_and_arrivals_have_the_thresholds_of_their_theories() {
    let shares = ["--rules", "sgd,nesterov,shifted", "--delays", "1,8", "--fresh-share", "0.5,0.125"];
    let rows = thresholds(&on_quadratic(&shares), 12, 1e-2);
    let half = rows.iter().filter(|row| row.rule == "sgd" && row.fresh_share == Some(0.5));
    assert!(half.clone().count() == 2 && half.into_iter().all(|row| row.lr_threshold.unwrap() > 1.99));

    let overlaps = ["--rules", "nesterov", "--delays", "0", "--local-steps", "10", "--local-lr", "0.05"];
    let overlaps = [&overlaps[..], &["--overlap", "1,5", "--overlap-weight", "0,0.5"]].concat();
    let rows = thresholds(&on_quadratic(&overlaps), 4, 1e-2);
    assert_eq!((rows[1].overlap, rows[1].overlap_weight), (Some(1), Some(0.5)));

    let arrivals = ["--rules", "sgd,nesterov-every,buffer:4", "--delays", "1,7", "--arrivals", "each,each-over-n"];
    let arrivals = [&arrivals[..], &["--local-steps", "5", "--local-lr", "0.1"]].concat();
    let rows = thresholds(&on_quadratic(&arrivals), 12, 1e-2);
    let sgd: Vec<f64> = rows[..4].iter().map(|row| row.lr_threshold.unwrap()).collect();
    assert!((sgd[1] / sgd[0] - 2.0).abs() < 0.02 && (sgd[3] / sgd[2] - 8.0).abs() < 0.08, "{sgd:?}");
}

#[test]
fn a_network_has_the_thresholds_of_its_largest_curvature_and_its_shards_merge() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--samples", "100", "--model", "mlp:4", "--rules", "nesterov", "--delays", "0,2"];
    let flags = [&flags[..], &["--local-steps", "1,8", "--local-lr", "0.5", "--fresh-share", "0,0.25"]].concat();
    succeed(&mut sweep(folder.path(), "whole", &flags));
    let rows: Vec<ThresholdRow> = read_csv(&folder.path().join("whole/thresholds.csv")).unwrap();
    assert_eq!(rows.len(), 8);
    for row in &rows {
        assert!((row.ratio.unwrap() - 1.0).abs() < 1e-2, "{:?}: {:?}", row.outer_name(), row.ratio);
    }
    for shard in ["1/2", "2/2"] {
        let out = format!("part{}", &shard[..1]);
        succeed(&mut sweep(folder.path(), &out, &[&flags[..], &["--shard", shard]].concat()));
    }
    succeed(tauscope(folder.path()).args(["merge", "part1", "part2", "--out", "merged"]));
    crate::folders::assert_same(folder.path(), "whole", "merged");
}

#[test]
fn theory_prints_coverage_and_limits() {
    let rounds =
        "theory --rules nesterov --momentum 0.9 --dampening 0 --delays 0,1,2,3,4,8 --local-steps 30 --local-gain 0.05";
    let covered = 1.0 - 0.95f64.powi(30);
    for (row, gain) in rows(rounds).iter().zip([1.357, 0.2531, 0.0807, 0.0464, 0.0326, 0.0154]) {
        assert!((number(row, "coverage") / covered - 1.0).abs() < 1e-12);
        assert!((number(row, "threshold_outer_gain") / gain - 1.0).abs() < 2e-3, "{row:?}");
        let lr = number(row, "threshold_outer_gain") / covered;
        assert!((number(row, "threshold_lr") / lr - 1.0).abs() < 1e-12);
    }
    let eager = "theory --rules nesterov --delays 1 --fresh-share 1,0.5,0.25,0.125,0.0625,0.015625";
    for (row, gain) in rows(eager).iter().zip([1.357, 0.770, 0.416, 0.320, 0.284, 0.260]) {
        assert!((number(row, "threshold_gain") / gain - 1.0).abs() < 2e-3, "{row:?}");
    }
    // Half of it fresh: no delay lowers sgd's limit below 2.
    for row in rows("theory --rules sgd --delays 1,2,3,8,31 --fresh-share 0.5") {
        assert!(number(&row, "threshold_gain") >= 2.0 - 1e-9);
    }
}

#[test]
fn theory_prints_the_rank_one_estimate_of_stages() {
    let table = rows("theory --rules sgd --stages 8,6 --stage-delays pipedream,2bw");
    let gains: Vec<f64> = table.iter().map(|row| number(row, "threshold_gain")).collect();
    for (gain, expected) in gains.iter().zip([0.609, 1.0, 0.804, 1.0]) {
        assert!((gain / expected - 1.0).abs() < 2e-3, "{gains:?}");
    }
    assert_eq!((table[0]["stages"].as_str(), table[0]["delay"].as_str()), ("8", ""));
    // All energy in one stage is the delay of that stage.
    let alone = rows("theory --rules nesterov --stages 4 --stage-delays 3/2/1/0 --stage-energies 0/1/0/0");
    let uniform = rows("theory --rules nesterov --delays 2");
    let [alone, uniform] = [alone, uniform].map(|rows| number(&rows[0], "threshold_gain"));
    assert!((alone / uniform - 1.0).abs() < 1e-12);
    let folder = tempfile::tempdir().unwrap();
    let wrong = |flags: &str, words: &[&str]| {
        refuse(tauscope(folder.path()).arg("theory").args(flags.split(' ')), words);
    };
    wrong("--stages 4 --stage-energies .5/.4", &["sum to 0.9"]);
    wrong("--stages 3 --stage-energies .5/.5", &["--stage-energies 0.5/0.5 with 3 stages", "one share for each stage"]);
    wrong("--stages 3 --stage-delays 1/0", &["--stage-delays 1/0 with 3 stages"]);
    wrong("--stages 3 --delays 4", &["--delays", "--stages"]);
    wrong("--rules mixing --stages 3", &["--rules mixing", "accepted"]);
}

#[test]
fn advice_on_an_outer_loop_names_the_limit_and_what_would_keep_it() {
    let recipe =
        "advise --rule nesterov --lr 0.7 --momentum 0.9 --local-steps 30 --local-lr 0.01 --lambda 12 --to-delay";
    let report = |rounds: usize| -> serde_json::Value {
        serde_json::from_str(&stdout(&format!("{recipe} {rounds} --json"))).unwrap()
    };
    let stale = report(1);
    assert_eq!(stale["stable"], false);
    let covered = 1.0 - 0.88f64.powi(30);
    let limit = stale["threshold_lr"].as_f64().unwrap();
    assert!((limit * covered / 0.2531 - 1.0).abs() < 2e-3, "{limit}");
    assert!((stale["advised_lr"].as_f64().unwrap() / limit - 0.8).abs() < 1e-9);
    // What is advised is at 0.8 of the limit of `theory`.
    let momentum = stale["advised_momentum"].as_f64().unwrap();
    let own = rows(&format!("theory --rules nesterov --delays 1 --momentum {momentum}"));
    assert!((0.7 * covered / number(&own[0], "threshold_gain") - 0.8).abs() < 1e-6);
    let share = stale["advised_fresh_share"].as_f64().unwrap();
    let own = rows(&format!("theory --rules nesterov --delays 1 --momentum 0.9 --fresh-share {share}"));
    assert!((0.7 * covered / number(&own[0], "threshold_gain") - 0.8).abs() < 1e-6);
    let fresh = report(0);
    assert_eq!(fresh["stable"], true);
    assert_eq!(fresh["advised_momentum"], 0.9);
    let text = stdout(&format!("{recipe} 1"));
    assert!(text.starts_with("Unstable at 1 round of staleness: outer lr 0.7 is"), "{text}");
}

/// Runs a training of the digits, and returns its runs.
fn train(folder: &Path, out: &str, flags: &[&str]) -> Vec<TrainRow> {
    let always = [
        "train",
        "--out",
        out,
        "--model",
        "mlp:8",
        "--samples",
        "256",
        "--test",
        "100",
        "--seeds",
        "2",
        "--epochs",
        "4",
    ];
    let always = [&always[..], &["--lr-scaling", "none", "--engine", "cpu", "--precision", "f64", "--quiet"]].concat();
    succeed(tauscope(folder).args(always).args(flags));
    read_csv(&folder.join(out).join("runs.csv")).unwrap()
}

fn losses(rows: &[TrainRow]) -> Vec<f64> {
    rows.iter().map(|row| row.train_loss.unwrap()).collect()
}

#[test]
fn outer_loops_that_say_the_same_as_plain_trainings_train_alike() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    let mut train = |flags: &[&str]| {
        number += 1;
        losses(&train(folder.path(), &format!("t{number}"), flags))
    };
    let alike = |one: &[f64], other: &[f64]| {
        assert!(
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| (a / b - 1.0).abs() < 1e-9),
            "{one:?} {other:?}"
        );
    };
    // One local step is a gradient times the local learning rate.
    let plain = train(&["--batch", "32", "--delays", "2", "--lr", "0.05"]);
    alike(
        &plain,
        &train(&["--batch", "32", "--delays", "2", "--lr", "0.5", "--local-steps", "1", "--local-lr", "0.1"]),
    );
    // Two replicas of 16 rows see what one worker of 32 rows does.
    alike(&plain, &train(&["--batch", "16", "--replicas", "2", "--delays", "2", "--lr", "0.05"]));
    // All fresh is without delay; so are local steps that the server takes over as they are.
    let synchronous = train(&["--batch", "32", "--delays", "0", "--lr", "0.05"]);
    alike(&synchronous, &train(&["--batch", "32", "--delays", "2", "--lr", "0.05", "--fresh-share", "1"]));
    alike(
        &synchronous,
        &train(&["--batch", "32", "--delays", "0", "--lr", "1", "--local-steps", "4", "--local-lr", "0.05"]),
    );
}

/// One round of local AdamW that the server takes over as it is, is AdamW itself: its moments go on from round to round.
#[test]
fn local_adamw_keeps_its_moments_from_round_to_round() {
    let folder = tempfile::tempdir().unwrap();
    let inner = train(folder.path(), "inner", &["--batch", "32", "--rules", "adamw", "--delays", "0", "--lr", "0.01"]);
    let outer = ["--batch", "32", "--delays", "0", "--lr", "1", "--local-steps", "4", "--local-lr", "0.01"];
    let outer = train(folder.path(), "outer", &[&outer[..], &["--local-rule", "adamw"]].concat());
    for (one, other) in losses(&inner).iter().zip(losses(&outer)) {
        assert!((one / other - 1.0).abs() < 1e-9, "{inner:?} {outer:?}");
    }
    let refused =
        ["train", "--local-rule", "adamw", "--local-steps", "2", "--local-lr", "0.1", "--engine", "gpu", "--out", "no"];
    refuse(tauscope(folder.path()).args(refused), &["adamw", "accepted: --engine cpu"]);
}

#[test]
fn epochs_of_an_outer_loop_are_counted_in_data() {
    let folder = tempfile::tempdir().unwrap();
    // 8 batches an epoch, 3 an update: 4 epochs end with the 11th update.
    let runs = train(
        folder.path(),
        "out",
        &["--batch", "32", "--delays", "0", "--local-steps", "3", "--local-lr", "0.1", "--lr", "1"],
    );
    assert!(runs.iter().all(|run| run.steps == 11 && run.local_steps == Some(3)), "{runs:?}");
    let groups: Vec<SummaryRow> = read_csv(&folder.path().join("out/summary.csv")).unwrap();
    assert_eq!(groups[0].outer_name().as_deref(), Some("3 local steps of lr 0.1"));
}

#[test]
fn outer_loops_that_mean_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--local-steps", "4"], &["--local-lr"]),
        (&["--local-lr", "0.1"], &["--local-steps"]),
        (&["--local-steps", "0", "--local-lr", "0.1"], &["0", "accepted: 1 to 100000"]),
        (&["--local-steps", "4", "--local-lr", "-1"], &["-1"]),
        (&["--fresh-share", "1.5"], &["--fresh-share 1.5", "accepted: 0 to 1"]),
        (&["--fresh-share", "nan"], &["--fresh-share NaN", "accepted: 0 to 1"]),
        (&["--local-steps", "4", "--local-lr", "0.1", "--overlap", "4"], &["--overlap 4", "below --local-steps"]),
        (&["--local-steps", "4", "--local-lr", "0.1", "--overlap", "1"], &["--delays 1", "accepted: --delays 0"]),
        (
            &["--local-steps", "4", "--local-lr", "0.1", "--overlap", "1", "--overlap-weight", "1"],
            &["--overlap-weight 1", "below 1"],
        ),
        (&["--overlap-weight", "0.5"], &["--overlap"]),
        (
            &["--local-steps", "4", "--local-lr", "0.1", "--local-rule", "adamw"],
            &["--local-rule adamw", "accepted: sgd, or in `tauscope train`"],
        ),
        (&["--replicas", "2", "--arrivals", "each"], &["--arrivals each with --replicas 2", "accepted: --replicas 1"]),
        (&["--rules", "clipped", "--replicas", "2"], &["clipped", "without clipped"]),
        (&["--rules", "dc-asgd", "--local-steps", "2", "--local-lr", "0.1"], &["dc-asgd", "accepted"]),
        (&["--schedule", "iid:uniform:0..=2", "--arrivals", "each-over-n"], &["--arrivals each-over-n", "no workers"]),
        (&["--replicas", "1000", "--local-steps", "1000", "--local-lr", "0.1"], &["1000000 gradients", "up to 100000"]),
    ];
    for (flags, words) in cases {
        let flags = [&["--rules", "sgd", "--delays", "1"][..], flags].concat();
        // A rule or a process that is given twice replaces the first.
        let flags = if flags.iter().filter(|flag| **flag == "--rules").count() > 1 { &flags[2..] } else { &flags[..] };
        let flags: Vec<&str> = if flags.contains(&"--schedule") {
            flags.iter().copied().filter(|flag| *flag != "--delays" && *flag != "1").collect()
        } else {
            flags.to_vec()
        };
        refuse(&mut sweep(folder.path(), "out", &on_quadratic(&flags)), words);
    }
    let advise = |flags: &[&str], words: &[&str]| {
        refuse(tauscope(folder.path()).args(["advise", "--rule", "nesterov", "--lr", "0.7"]).args(flags), words)
    };
    advise(&["--local-steps", "30", "--local-lr", "0.01", "--to-delay", "1"], &["--lambda"]);
    advise(
        &["--local-steps", "30", "--local-lr", "1", "--to-delay", "1", "--lambda", "3"],
        &["--local-lr 1", "diverge"],
    );
    advise(&["--fresh-share", "2", "--to-delay", "1", "--lambda", "3"], &["accepted: 0 to 1"]);
    let theory = |flags: &[&str], words: &[&str]| refuse(tauscope(folder.path()).arg("theory").args(flags), words);
    theory(&["--local-steps", "3", "--local-gain", "2"], &["between 0 and 2"]);
    theory(&["--local-steps", "3", "--local-gain", "0.1", "--overlap", "3"], &["below --local-steps"]);
    theory(&["--fresh-share", "0.5", "--schedule", "random", "--delays", "3"], &["--fresh-share 0.5", "round-robin"]);
}
