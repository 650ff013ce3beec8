//! Delay processes, rules and criteria together, through the real binary: measured thresholds on quadratics against theory
//! and against numbers computed independently, and what is refused.
//!
//! Independent numbers: those of random workers in mean square are closed forms (tests/theory.rs checks them against the
//! spectral radius of a lifted matrix); almost-sure ones were simulated in numpy with 4000 runs of 6000 steps, which puts
//! the zero of the Lyapunov exponent of the `normal` schedule of 8 workers at 0.2195.

use assert_cmd::Command;
use nalgebra::{DMatrix, DVector};
use std::fs;
use std::path::Path;
use strum::IntoEnumIterator;
use tauscope::rule::{Locality, RuleKind};
use tauscope::table::{DelayRow, RunRow, Status, TheorySource, ThresholdRow, read_csv};

fn tauscope(folder: &Path, out: &str, flags: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::cargo_bin("tauscope").unwrap();
    command.current_dir(folder).args(["sweep", "--out", out, "--engine", "cpu", "--quiet"]).args(flags).assert()
}

/// Runs a sweep that must succeed, and returns its rows.
fn rows(folder: &Path, out: &str, flags: &[&str]) -> Vec<ThresholdRow> {
    tauscope(folder, out, flags).success();
    read_csv(&folder.join(out).join("thresholds.csv")).unwrap()
}

const QUADRATIC: [&str; 4] = ["--model", "quadratic:1.0,0.3", "--precision", "f64"];

#[test]
fn every_linear_rule_meets_its_theory() {
    let folder = tempfile::tempdir().unwrap();
    let known = |kind: &RuleKind| kind.definition().locality != Locality::Restless;
    let names: Vec<&str> = RuleKind::iter().filter(known).map(|kind| kind.definition().name).collect();
    let rules = names.join(",");
    let flags = ["--rules", &rules, "--delays", "0,1,3,7,29", "--momentum", "0,0.5,0.9", "--dampening", "0,ema"];
    let rows = rows(folder.path(), "out", &[&QUADRATIC[..], &flags, &["--tolerance", "0.004"]].concat());
    let mut compared = 0;
    // The growth rate of gap-aware, which divides by distances, is no smooth function of the learning rate: it may stay open.
    for row in rows.iter().filter(|row| row.status == Status::Measured || row.rule != "gap-aware") {
        let cell = format!("{} m {} d {} delay {:?}", row.rule, row.momentum, row.dampening, row.delay);
        assert_eq!(row.status, Status::Measured, "{cell}");
        if let Some(ratio) = row.ratio {
            assert!((ratio - 1.0).abs() <= 0.005, "{cell}: measured / theory is {ratio}");
            compared += 1;
        }
    }
    assert!(compared > 250, "{compared} cells of {} have a theory", rows.len());

    let at = |rule: &str, delay: u32| {
        let plain = |row: &&ThresholdRow| row.rule == rule && row.momentum == 0.0 && row.delay == Some(delay);
        rows.iter().find(plain).unwrap().lr_threshold.unwrap()
    };
    for delay in [1, 3, 7, 29] {
        let tau = f64::from(delay);
        let expected = tau * 2.0 * (std::f64::consts::PI / (4.0 * tau + 2.0)).sin();
        assert!((at("staleness-scaled", delay) / expected - 1.0).abs() <= 0.005, "delay {delay}");
        assert!((at("dc-asgd-exact:1", delay) / 2.0 - 1.0).abs() <= 0.005, "delay {delay}");
    }
    // Dropping what is 4 or more updates old leaves, in turn over 8 workers, the delay 3.
    assert!((at("ringmaster:4", 7) / at("sgd", 3) - 1.0).abs() <= 0.005);
}

#[test]
fn extrapolated_rules_meet_their_theory() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--rules",
        "sgd,heavy-ball,nesterov,shifted",
        "--extrapolate",
        "1,0.5",
        "--delays",
        "0,1,4",
        "--dampening",
        "ema",
    ];
    let rows = rows(folder.path(), "out", &[&QUADRATIC[..], &flags, &["--tolerance", "0.004"]].concat());
    assert_eq!(rows.len(), 24);
    for row in rows {
        let ratio = row.ratio.unwrap();
        assert!((ratio - 1.0).abs() <= 0.005, "{} delay {:?}: measured / theory is {ratio}", row.rule, row.delay);
    }
}

#[test]
fn random_workers_meet_their_thresholds_in_mean_square_and_almost_surely() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--model", "quadratic:1.0", "--precision", "f64", "--rules", "sgd", "--delays", "1,3,7,15"];
    let schedules = ["--schedule", "random", "--criterion", "mean-square,almost-sure", "--ensemble", "256"];
    let rows = rows(folder.path(), "out", &[&flags[..], &schedules].concat());
    for (criterion, expected, tolerance) in
        [("mean-square", [1.2808, 0.8431, 0.5664, 0.3862], 0.03), ("almost-sure", [1.52, 1.10, 0.69, 0.47], 0.015)]
    {
        let of = rows.iter().filter(|row| row.criterion == criterion);
        let measured: Vec<f64> = of.clone().map(|row| row.lr_threshold.unwrap()).collect();
        assert_eq!(measured.len(), expected.len());
        for (measured, expected) in measured.iter().zip(expected) {
            assert!((measured / expected - 1.0).abs() <= tolerance, "{criterion}: {measured}, expected {expected}");
        }
        for row in of {
            let (low, high) = (row.lr_low.unwrap(), row.lr_high.unwrap());
            let threshold = row.lr_threshold.unwrap();
            assert!(low < threshold && threshold < high && (high - low) / threshold < 0.03, "{low} to {high}");
            assert_eq!((row.ensemble, row.status), (256, Status::Measured));
            assert_eq!(row.lr_theory.is_some(), criterion == "mean-square");
        }
    }
    let runs: Vec<RunRow> = read_csv(&folder.path().join("out/runs.csv")).unwrap();
    assert!(runs.iter().all(|run| run.members == 256 && run.growth_error.is_some_and(|error| error > 0.0)));
    assert_eq!(u32::try_from(runs.len()).unwrap() * 256, rows.iter().map(|row| row.runs).sum::<u32>());
}

#[test]
fn the_normal_schedule_is_nearly_a_fixed_delay_and_a_fixed_delay_is_the_same_under_every_criterion() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--model", "quadratic:1.0", "--precision", "f64", "--rules", "sgd", "--delays", "7"];
    let both = ["--schedule", "round-robin,normal", "--criterion", "mean-square,almost-sure"];
    let rows = rows(folder.path(), "out", &[&flags[..], &both].concat());
    let find = |schedule: &str, criterion: &str| {
        rows.iter().find(|row| row.schedule == schedule && row.criterion == criterion).unwrap()
    };
    let normal = find("normal", "almost-sure").lr_threshold.unwrap();
    assert!((normal / 0.2195 - 1.0).abs() <= 0.01, "{normal}");
    for criterion in ["mean-square", "almost-sure"] {
        let fixed = find("round-robin", criterion);
        assert!((fixed.lr_threshold.unwrap() / 0.209_057 - 1.0).abs() <= 0.005, "{fixed:?}");
        assert_eq!((fixed.ensemble, fixed.lr_low), (1, None));
    }
}

#[test]
fn realised_delays_stand_in_every_row_and_their_histogram_beside() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("delays.csv"), "delay\n0\n3\n1\n3\n").unwrap();
    let flags = ["--model", "quadratic:1.0", "--rules", "sgd,ringmaster:5", "--delays", "7", "--tolerance", "0.1"];
    let schedules = ["--schedule", "round-robin,random,normal,trace:delays.csv,hybrid:16", "--ensemble", "16"];
    let rows = rows(folder.path(), "out", &[&flags[..], &schedules].concat());
    let find =
        |rule: &str, schedule: &str| rows.iter().find(|row| row.rule == rule && row.schedule == schedule).unwrap();
    let fixed = find("sgd", "round-robin");
    assert_eq!(
        (fixed.delay, fixed.delay_mean, fixed.delay_std, fixed.delay_max),
        (Some(7), Some(7.0), Some(0.0), Some(7))
    );
    for (schedule, std) in [("random", 7.5), ("normal", 1.5)] {
        let row = find("sgd", schedule);
        assert!((row.delay_mean.unwrap() - 7.0).abs() < 0.1, "{schedule}: {:?}", row.delay_mean);
        assert!((row.delay_std.unwrap() / std - 1.0).abs() < 0.05, "{schedule}: {:?}", row.delay_std);
    }
    let traced = find("sgd", "trace:delays.csv");
    assert_eq!((traced.delay, traced.workers), (None, None));
    assert!((traced.delay_mean.unwrap() - 1.75).abs() < 1e-3, "but for where the recording was left off");
    assert_eq!((traced.delay_median, traced.delay_max), (Some(1), Some(3)));
    let hybrid = find("sgd", "hybrid:16");
    assert_eq!((hybrid.workers, hybrid.delay_mean), (Some(16), Some(7.0)));
    assert_eq!(hybrid.lr_threshold, fixed.lr_threshold, "with the full batch, groups are one worker");
    assert_eq!(find("ringmaster:5", "random").delay_max, Some(4), "what is older is dropped");

    let counts: Vec<DelayRow> = read_csv(&folder.path().join("out/delays.csv")).unwrap();
    let of =
        |id: &str| counts.iter().filter(|row| row.cell_id == id).map(|row| (row.delay, row.count)).collect::<Vec<_>>();
    let trace = of(&traced.cell_id);
    assert_eq!(trace.iter().map(|(delay, _)| *delay).collect::<Vec<_>>(), [0, 1, 3]);
    let total: u64 = trace.iter().map(|(_, count)| count).sum();
    assert!((trace[2].1 * 2).abs_diff(total) <= 4, "{trace:?}");
    assert_eq!(of(&fixed.cell_id).len(), 1);
}

/// The same delays as a table without a header, of numpy.savetxt, under another name, and from the log of a training.
#[test]
fn a_trace_is_the_same_from_every_file_and_says_which_column_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("plain.csv", "1\n2\n3\n"),
        ("numpy.csv", "1.000000000000000000e+00\n2.000000000000000000e+00\n3.000000000000000000e+00\n"),
        ("point.csv", "step,delay\n0,1.0\n1,2.0\n2,3.0\n"),
        ("other.csv", "staleness\n1\n2\n3\n"),
        ("log.jsonl", "{\"loss\": 1.5, \"staleness\": 1}\n{\"loss\": 1, \"staleness\": 2}\n{\"staleness\": 3}\n"),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let schedules = "trace:plain.csv,trace:numpy.csv,trace:point.csv,trace:other.csv,trace:log.jsonl#staleness";
    let flags = ["--model", "quadratic:1.0", "--rules", "sgd", "--tolerance", "0.1", "--schedule", schedules];
    let rows = rows(folder.path(), "out", &flags);
    let names: Vec<&str> = rows.iter().map(|row| row.schedule.as_str()).collect();
    let shown = schedules.replace("other.csv", "other.csv#staleness");
    assert_eq!(names.join(","), shown);
    let of = |row: &ThresholdRow| (row.lr_threshold, row.delay_mean, row.delay_max);
    assert!(rows.iter().all(|row| of(row) == of(&rows[0])) && rows[0].delay_max == Some(3), "{rows:?}");
}

/// Two workers by their recorded times: the slow one's gradients are as late as the fast one reports meanwhile.
#[test]
fn workers_report_by_the_times_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("times.csv"), "worker,seconds\nfast,0.9\nfast,1.1\nslow,4\n").unwrap();
    let flags = ["--model", "quadratic:1.0", "--rules", "sgd", "--tolerance", "0.1", "--ensemble", "16"];
    let rows = rows(folder.path(), "out", &[&flags[..], &["--schedule", "workers:recorded:file=times.csv"]].concat());
    let [row] = &rows[..] else { panic!("{} rows", rows.len()) };
    assert_eq!((row.schedule.as_str(), row.delay, row.workers), ("workers:recorded:file=times.csv", None, Some(2)));
    assert!((row.delay_mean.unwrap() - 1.0).abs() < 0.01 && row.delay_max.unwrap() >= 4, "{row:?}");
    assert_eq!(row.criterion, "mean-square");
    // Where times do not vary nothing is drawn, and the cap makes workers wait as for any law.
    fs::write(folder.path().join("times.csv"), "fast,slow\n1,4\n").unwrap();
    let flags = [&flags[..], &["--schedule", "workers:recorded:cap=2:file=times.csv"]].concat();
    let rows = self::rows(folder.path(), "capped", &flags);
    assert_eq!((rows[0].criterion.as_str(), rows[0].delay_max), ("mean", Some(2)));
}

/// Eight workers in four groups of two with 20 samples each are four workers with 40.
#[test]
fn a_hybrid_is_the_fixed_delay_of_its_batch_average_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let network = ["--samples", "100", "--model", "mlp:4", "--precision", "f64", "--rules", "sgd", "--delays", "3"];
    let how = ["--criterion", "escape", "--tolerance", "0.2", "--horizon", "64"];
    let sweep = |out: &str, more: &[&str]| {
        let rows = rows(folder.path(), out, &[&network[..], &how, more].concat());
        let runs: Vec<RunRow> = read_csv(&folder.path().join(out).join("runs.csv")).unwrap();
        let seen = runs.into_iter().map(|run| (run.lr, run.verdict, run.steps, run.distance, run.projection, run.loss));
        (rows[0].clone(), seen.collect::<Vec<_>>())
    };
    let (hybrid, runs) = sweep("hybrid", &["--schedule", "hybrid:8", "--batch", "20"]);
    let (fixed, expected) = sweep("fixed", &["--batch", "40"]);
    assert_eq!((hybrid.workers, hybrid.batch.as_str(), fixed.batch.as_str()), (Some(8), "20", "40"));
    assert!(!runs.is_empty());
    assert_eq!(runs, expected);
    assert_eq!((hybrid.lr_stable, hybrid.lr_unstable), (fixed.lr_stable, fixed.lr_unstable));
    assert_eq!(hybrid.relative_variance, fixed.relative_variance);
}

/// On clusters: noise of minibatches lowers the threshold by what theory says of its measured variance.
#[test]
fn minibatches_meet_the_theory_of_mean_square_at_their_measured_variance() {
    let folder = tempfile::tempdir().unwrap();
    // Of few features, and decided or given up early: the noise and not the network is what is measured.
    let data = ["--data", "synthetic:clusters:spread=2:classes=3:shape=1x1x5:samples=60", "--samples", "all"];
    let cells = ["--model", "mlp:3", "--rules", "sgd", "--delays", "2", "--sampling", "independent"];
    let effort = ["--batch", "full,5", "--tolerance", "0.05", "--ensemble", "64", "--horizon", "4096"];
    let rows = rows(folder.path(), "out", &[&data[..], &cells, &effort].concat());
    let [full, noisy] = &rows[..] else { panic!("{} rows", rows.len()) };
    assert_eq!((full.criterion.as_str(), full.relative_variance, full.sampling.as_deref()), ("mean", None, None));
    assert_eq!((noisy.criterion.as_str(), noisy.sampling.as_deref()), ("mean-square", Some("independent")));
    assert!(noisy.relative_variance.unwrap() > 0.1);
    assert!(noisy.lr_theory.unwrap() < 0.95 * full.lr_theory.unwrap());
    let ratio = noisy.ratio.unwrap();
    assert!((ratio - 1.0).abs() <= 0.06, "measured / theory is {ratio}");
}

#[test]
fn a_row_says_which_theory_its_prediction_is_of_and_predicts_nothing_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let problem =
        ["--data", "synthetic:clusters:spread=2:classes=2:shape=1x1x5:samples=6", "--samples", "all", "--model"];
    let cells = ["linear", "--delays", "1", "--ensemble", "2", "--horizon", "64", "--tolerance", "0.5"];
    let rows = |out: &str, flags: &[&str]| rows(folder.path(), out, &[&problem[..], &cells, flags].concat());
    let theory = |row: &ThresholdRow| {
        assert_eq!(row.lr_theory.is_none(), row.theory == Some(TheorySource::None), "{row:?}");
        assert_eq!(row.theory_error, None, "few parameters are taken whole");
        row.theory.unwrap()
    };
    let epochs = rows("epochs", &["--rules", "sgd,dc-asgd,clipped", "--batch", "full,2"]);
    let expected = [
        TheorySource::ClosedForm,
        TheorySource::EpochSecondMoment,
        TheorySource::ClosedForm,
        TheorySource::None,
        TheorySource::ClosedForm,
        TheorySource::None,
    ];
    assert_eq!(epochs.iter().map(theory).collect::<Vec<_>>(), expected);
    let criteria = ["--criterion", "mean-square,almost-sure,escape", "--sampling", "independent"];
    let afresh = rows("afresh", &[&["--rules", "sgd", "--batch", "2"], &criteria[..]].concat());
    let expected = [TheorySource::SecondMoment, TheorySource::None, TheorySource::None];
    assert_eq!(afresh.iter().map(theory).collect::<Vec<_>>(), expected);
    let [full, of_epochs, independent] = [&epochs[0], &epochs[1], &afresh[0]].map(|row| row.lr_theory.unwrap());
    assert!(independent < of_epochs && independent < full, "{independent}, {of_epochs}, {full}");
    let random = rows("random", &["--rules", "sgd", "--schedule", "random", "--batch", "full,2"]);
    assert_eq!(random.iter().map(theory).collect::<Vec<_>>(), [TheorySource::ClosedForm, TheorySource::None]);
}

#[test]
fn both_engines_find_the_same_threshold_in_mean_square() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--model", "quadratic:1.0", "--rules", "heavy-ball", "--dampening", "ema", "--delays", "3"];
    let random = ["--schedule", "random", "--ensemble", "32", "--tolerance", "0.1"];
    let cpu = rows(folder.path(), "cpu", &[&flags[..], &random].concat());
    let mut command = Command::cargo_bin("tauscope").unwrap();
    let gpu = ["sweep", "--out", "gpu", "--engine", "gpu", "--quiet"];
    command.current_dir(folder.path()).args(gpu).args(flags).args(random).assert().success();
    let gpu: Vec<ThresholdRow> = read_csv(&folder.path().join("gpu/thresholds.csv")).unwrap();
    let [a, b] = [&cpu[0], &gpu[0]].map(|row| row.lr_threshold.unwrap());
    assert!((a / b - 1.0).abs() <= 0.03, "cpu {a}, gpu {b}");
    assert_eq!(gpu[0].engine, "gpu f32");
}

#[test]
fn what_does_not_go_together_is_refused_before_work_starts() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("delays.csv"), "1\n2\n").unwrap();
    fs::write(folder.path().join("histogram.csv"), "delay,probability\n0,0.9\n8,0.1\n").unwrap();
    fs::write(folder.path().join("log.jsonl"), "{\"loss\": 1.5, \"staleness\": 3}\n").unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--rules", "shifted", "--schedule", "trace:delays.csv"], &["shifted", "trace:delays.csv", "no workers"]),
        (&["--rules", "ormo", "--schedule", "iid:uniform"], &["ormo", "iid:uniform", "round-robin, random"]),
        (&["--rules", "adam", "--criterion", "mean"], &["--criterion mean", "adam", "accepted: escape"]),
        (&["--schedule", "random", "--criterion", "mean"], &["--criterion mean", "random", "mean-square, almost-sure"]),
        (&["--batch", "8", "--criterion", "mean"], &["--criterion mean", "--batch 8"]),
        (&["--rules", "dc-asgd-exact"], &["dc-asgd-exact", "Hessian", "quadratic"]),
        (&["--rules", "ringmaster:0.5"], &["0.5", "ringmaster:NUMBER", "whole number of at least 1"]),
        (&["--rules", "sgd:3"], &["'3'", "sgd has no number"]),
        (&["--schedule", "hybrid:8", "--delays", "2"], &["hybrid:8", "3"]),
        (&["--schedule", "hybrid:8", "--delays", "3", "--batch", "300"], &["--batch 300", "600", "512"]),
        (&["--schedule", "random:cap=2", "--delays", "7"], &["random:cap=2"]),
        (&["--schedule", "trace:nowhere.csv"], &["nowhere.csv"]),
        (
            &["--schedule", "trace:histogram.csv"],
            &["a histogram, with columns delay, probability", "accepted: iid:FILE"],
        ),
        (&["--schedule", "iid:delays.csv"], &["no column delay", "columns without names"]),
        (&["--schedule", "trace:log.jsonl#stale"], &["no column stale beside columns loss, staleness"]),
        (&["--schedule", "gaussian"], &["gaussian", "--schedule", "round-robin"]),
        (&["--ensemble", "1"], &["--ensemble 1", "2 to"]),
        (&["--batch", "8,8"], &["--batch", "8 is given twice"]),
    ];
    for (flags, expected) in cases {
        let refused = tauscope(folder.path(), "out", flags).code(2);
        let message = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
        for part in *expected {
            assert!(message.contains(part), "{flags:?}: `{part}` is not in: {message}");
        }
        assert!(!folder.path().join("out").exists() && !folder.path().join("out.partial").exists(), "{flags:?}");
    }
}

/// Growth of the second moments of mixing with three workers, of which any may report next, on a curvature of 1: the spectral
/// radius of M -> mean of A M A' over the workers, from the definition of X and P. The state is what the server has, then what
/// each worker has read.
fn growth_of_mixing(share: f64, momentum: f64, lr: f64) -> f64 {
    let workers = 3;
    let size = 2 + 2 * workers;
    let step = |worker: usize| {
        let columns: Vec<DVector<f64>> = (0..size)
            .map(|i| {
                let mut state = DVector::zeros(size);
                state[i] = 1.0;
                let (read, other) = (state[2 + 2 * worker], state[3 + 2 * worker]);
                let result = read + momentum * (read - other) - lr * read;
                let x = (1.0 - share) * state[0] + share * result;
                let p = (1.0 - share) * state[1] + share * read;
                let mut next = state;
                for (at, value) in [(0, x), (1, p), (2 + 2 * worker, x), (3 + 2 * worker, p)] {
                    next[at] = value;
                }
                next
            })
            .collect();
        DMatrix::from_columns(&columns)
    };
    let steps: Vec<DMatrix<f64>> = (0..workers).map(step).collect();
    let (mut moments, mut growth) = (DMatrix::identity(size, size), 0.0);
    for _ in 0..5000 {
        let next: DMatrix<f64> = steps.iter().map(|a| a * &moments * a.transpose()).sum();
        growth = next.trace() / workers as f64;
        moments = next / (workers as f64 * growth);
    }
    growth
}

#[test]
fn mixing_meets_the_lifted_operator_of_random_workers_and_no_trace_takes_it_below_the_synchronous_threshold() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("delays.csv"), "delay\n0\n5\n1\n1\n7\n2\n0\n3\n").unwrap();
    let flags = ["--momentum", "0,0.8", "--model", "quadratic:1.0,0.3"];
    let random = ["--rules", "mixing:0.5", "--schedule", "random", "--delays", "2", "--tolerance", "0.02"];
    for row in rows(folder.path(), "random", &[&flags[..], &random].concat()) {
        let measured = row.lr_threshold.unwrap();
        assert_eq!((row.status, row.criterion.as_str()), (Status::Measured, "mean-square"));
        let growth = |factor: f64| growth_of_mixing(0.5, row.momentum, factor * measured);
        assert!(growth(0.99) < 1.0 && growth(1.01) > 1.0, "{measured}: {} {}", growth(0.99), growth(1.01));
    }
    let trace = ["--rules", "mixing:1,mixing:0.5,mixing:age", "--schedule", "trace:delays.csv"];
    for row in rows(folder.path(), "trace", &[&flags[..], &trace].concat()) {
        let (measured, synchronous) = (row.lr_threshold.unwrap(), 2.0 * (1.0 + row.momentum));
        assert!(measured > 0.995 * synchronous, "{} m {}: {measured}", row.rule, row.momentum);
    }
}
