//! `tauscope compare`, from the outside: ratios worked by hand, and what becomes of rows that have nothing to be compared
//! with.

use crate::folders::threshold_row;
use assert_cmd::Command;
use std::fs;
use std::path::Path;
use tauscope::table::{ComparisonRow, ComparisonStatus, Status, ThresholdRow, read_csv, write_csv};
use tempfile::TempDir;

/// A measured row of a rule at a delay.
fn row(rule: &str, momentum: f64, dampening: f64, delay: u32, lr: f64) -> ThresholdRow {
    ThresholdRow {
        cell_id: format!("{rule}-{momentum}-{dampening}-{delay}"),
        rule: rule.into(),
        momentum,
        dampening,
        delay: Some(delay),
        workers: Some(delay + 1),
        lr_stable: Some(0.75 * lr),
        lr_unstable: Some(1.5 * lr),
        lr_threshold: Some(lr),
        ..threshold_row()
    }
}

fn sgd(delay: u32, lr: f64) -> ThresholdRow {
    row("sgd", 0.0, 0.0, delay, lr)
}

fn folder_with(rows: &[ThresholdRow]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_csv(&folder.path().join("thresholds.csv"), rows).unwrap();
    folder
}

fn compare(folder: &Path, flags: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_tauscope")).arg("compare").arg(folder).args(flags).assert()
}

/// Rows of compare.csv, what was printed, the notes, and the picture.
struct Outcome {
    rows: Vec<ComparisonRow>,
    stdout: String,
    stderr: String,
    svg: String,
}

fn outcome(rows: &[ThresholdRow], flags: &[&str]) -> Outcome {
    let folder = folder_with(rows);
    let output = compare(folder.path(), flags).success().get_output().clone();
    let at = |name: &str| folder.path().join(name);
    assert!(fs::read(at("compare.png")).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
    let svg = fs::read_to_string(at("compare.svg")).unwrap();
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "every coordinate is a number");
    Outcome {
        rows: read_csv(&at("compare.csv")).unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        svg,
    }
}

/// The line on standard error of a command that wrote nothing and exited with 2.
fn refusal(rows: &[ThresholdRow], flags: &[&str]) -> String {
    let folder = folder_with(rows);
    let output = compare(folder.path(), flags).failure().code(2).stdout("").get_output().clone();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is written");
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[test]
fn ratios_are_those_worked_by_hand() {
    let rows = [
        sgd(1, 1.0),
        sgd(4, 0.25),
        row("heavy-ball", 0.75, 0.0, 1, 0.125),
        row("heavy-ball", 0.75, 0.75, 4, 0.125),
        row("ringmaster:8", 0.0, 0.0, 4, 0.5),
    ];
    let Outcome { rows, stdout, stderr, svg } = outcome(&rows, &[]);
    assert_eq!(stderr, "");
    let told: Vec<_> =
        rows.iter().map(|row| (row.effective_lr, row.baseline_lr, row.ratio, row.effective_ratio)).collect();
    assert_eq!(
        told,
        [
            (Some(1.0), Some(1.0), Some(1.0), Some(1.0)),
            (Some(0.25), Some(0.25), Some(1.0), Some(1.0)),
            // (1-0)/(1-0.75) = 4 times as effective.
            (Some(0.5), Some(1.0), Some(0.125), Some(0.5)),
            (Some(0.125), Some(0.25), Some(0.5), Some(0.5)),
            (Some(0.5), Some(0.25), Some(2.0), Some(2.0)),
        ]
    );
    // Of brackets from 3/4 to 3/2: from half the ratio to twice the ratio, and nothing is uncertain about the baseline.
    let bounds: Vec<_> = rows.iter().map(|row| (row.ratio_low.unwrap(), row.ratio_high.unwrap())).collect();
    assert_eq!(bounds, [(1.0, 1.0), (1.0, 1.0), (0.0625, 0.25), (0.25, 1.0), (1.0, 4.0)]);
    assert!(rows.iter().all(|row| row.baseline.as_deref() == Some("sgd")));
    assert!(rows.iter().all(|row| row.status == ComparisonStatus::Measured));

    // The best on top, in the table and in the picture.
    let table: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(table.contains(&"│ rule τ = 1 τ = 4 │".split(' ').collect()), "{stdout}");
    let place =
        |line: &str| table.iter().position(|cells| cells.join(" ") == line).unwrap_or_else(|| panic!("{stdout}"));
    assert!(place("│ ringmaster:8 2.000 │") < place("│ sgd 1.000 1.000 │"));
    assert!(place("│ sgd 1.000 1.000 │") < place("│ heavy-ball m=0.75 0.5000 │"));
    let height = |name: &str| {
        let lines: Vec<&str> = svg.lines().collect();
        let at = lines.iter().position(|line| *line == name).unwrap_or_else(|| panic!("no {name}"));
        let y = lines[at - 1].split("y=\"").nth(1).unwrap().split('"').next().unwrap();
        y.parse::<i32>().unwrap()
    };
    assert!(height("ringmaster:8") < height("sgd") && height("sgd") < height("heavy-ball m=0.75"));
    assert!(svg.contains("\neffective learning rate at the threshold / that of sgd\n"));
}

#[test]
fn confidence_intervals_come_before_brackets() {
    let interval = |row: ThresholdRow, low: f64, high: f64| ThresholdRow {
        lr_low: Some(low),
        lr_high: Some(high),
        schedule: "random".into(),
        criterion: "mean-square".into(),
        ..row
    };
    let rows = [interval(sgd(4, 1.0), 0.5, 1.25), interval(row("shifted", 0.5, 0.5, 4, 2.0), 1.875, 4.0)];
    let rows = outcome(&rows, &[]).rows;
    assert_eq!((rows[1].ratio, rows[1].ratio_low, rows[1].ratio_high), (Some(2.0), Some(1.5), Some(8.0)));
}

#[test]
fn only_what_is_the_same_but_for_the_rule_is_compared() {
    let other = || row("nesterov", 0.0, 0.0, 4, 2.0);
    let strangers = vec![
        ThresholdRow { data: None, ..other() },
        ThresholdRow { model: "linear".into(), ..other() },
        ThresholdRow { loss: Some("mse".into()), ..other() },
        ThresholdRow { samples: Some(256), ..other() },
        ThresholdRow { weight_decay: 0.0, ..other() },
        ThresholdRow { lambda_max: 0.25, ..other() },
        ThresholdRow { delay: Some(5), ..other() },
        ThresholdRow { schedule: "random".into(), ..other() },
        ThresholdRow { workers: Some(10), ..other() },
        ThresholdRow { batch: "64".into(), ..other() },
        ThresholdRow { sampling: Some("iid".into()), ..other() },
        ThresholdRow { stages: Some(2), stage_delays: Some("4/0".into()), lr_effective: Some(2.0), ..other() },
        ThresholdRow { seed_data: 1, ..other() },
        ThresholdRow { seed_order: 1, ..other() },
        ThresholdRow { seed_init: 1, ..other() },
        ThresholdRow { criterion: "escape".into(), ..other() },
        ThresholdRow { engine: "cpu f64".into(), ..other() },
        ThresholdRow { adapter: "aarch64".into(), ..other() },
    ];
    // What a rule does to the delays, or how long was looked, is not a circumstance.
    let kin = ThresholdRow { delay_mean: Some(3.0), horizon_steps: 5, runs: 1, ..other() };
    let mut rows = vec![sgd(4, 1.0), kin];
    rows.extend(strangers.clone());
    let Outcome { rows, stderr, svg, .. } = outcome(&rows, &[]);
    assert_eq!((rows[1].ratio, rows[1].baseline.as_deref()), (Some(2.0), Some("sgd")));
    for (index, row) in rows.iter().enumerate().skip(2) {
        assert_eq!(row.status, ComparisonStatus::NoBaseline, "stranger {}", index - 2);
        assert!((row.baseline.is_none(), row.ratio, row.ratio_low, row.effective_ratio) == (true, None, None, None));
        assert_eq!((row.lr_threshold, row.effective_lr), (Some(2.0), Some(2.0)), "it is still listed");
    }
    assert!(
        stderr.starts_with(&format!("note: {} rows have no baseline (sgd in the same setting", strangers.len())),
        "{stderr}"
    );
    assert!(stderr.contains("nesterov m=0; a threshold by `escape` is compared only"), "{stderr}");
    assert!(svg.contains("Not drawn: 18 of 20 rows with no cell of sgd in the same setting"));
}

#[test]
fn a_restless_rule_is_compared_with_a_baseline_of_the_same_kind() {
    let escape = |row: ThresholdRow| ThresholdRow { criterion: "escape".into(), batch: "8".into(), ..row };
    let adam = || escape(row("adam:0.999", 0.9, 0.9, 4, 0.01));
    let alone = outcome(&[sgd(4, 1.0), adam()], &[]);
    assert_eq!(alone.rows[1].status, ComparisonStatus::NoBaseline);
    assert!(!alone.svg.contains("\nadam") && alone.svg.contains("Not drawn: ") && alone.stdout.contains("adam:0.999"));
    let rows = outcome(&[sgd(4, 1.0), escape(sgd(4, 0.5)), adam()], &[]).rows;
    assert_eq!(rows[2].ratio, Some(0.02));
}

#[test]
fn effective_ratios_are_those_of_drifts_and_rules_without_one_have_only_the_other_ratio() {
    let rows = [
        sgd(8, 1.0),
        // A drift of 0.29654 and of an eighth, worked by hand, and one that the table has.
        row("gap-aware", 0.0, 0.0, 8, 2.0),
        row("staleness-scaled", 0.0, 0.0, 8, 4.0),
        ThresholdRow { lr_effective: Some(6.0), ..row("delay-adaptive", 0.0, 0.0, 8, 3.0) },
        row("nesterov", 0.9, 0.9, 8, 1.0),
        row("clipped:1", 0.0, 0.0, 8, 1.0),
    ];
    let Outcome { rows, stderr, stdout, svg } = outcome(&rows, &[]);
    let expected = [1.0, 2.0 * (33f64.sqrt() - 1.0) / 16.0, 0.5, 6.0, 1.9];
    for (row, expected) in rows.iter().zip(expected) {
        assert!((row.effective_ratio.unwrap() / expected - 1.0).abs() < 1e-6, "{row:?}");
        assert_eq!(row.effective_lr, row.effective_ratio);
    }
    assert_eq!((rows[5].ratio, rows[5].effective_ratio, rows[5].effective_lr), (Some(1.0), None, None));
    assert!(stderr.contains("1 row has no effective learning rate") && stderr.contains(": clipped:1;"), "{stderr}");
    assert!(
        stdout.contains("clipped:1")
            && !svg.contains("\nclipped:1\n")
            && svg.contains("with no effective learning rate")
    );
}

#[test]
fn a_baseline_without_an_effective_learning_rate_is_compared_by_learning_rates() {
    let Outcome { rows, stdout, svg, .. } =
        outcome(&[row("clipped:1", 0.0, 0.0, 4, 1.0), row("clipped:2", 0.0, 0.0, 4, 2.0)], &["--to", "clipped:1"]);
    assert_eq!((rows[1].ratio, rows[1].effective_ratio), (Some(2.0), None));
    assert!(stdout.starts_with("Learning rate at the threshold / that of clipped:1;"), "{stdout}");
    assert!(svg.contains("\nlearning rate at the threshold / that of clipped:1\n"));
}

#[test]
fn the_baseline_is_a_series_or_a_rule_that_has_only_one() {
    let table = [
        sgd(4, 1.0),
        row("heavy-ball", 0.5, 0.0, 4, 0.25),
        row("heavy-ball", 0.5, 0.5, 4, 0.5),
        row("ringmaster:4", 0.0, 0.0, 4, 2.0),
        row("clipped:1", 0.0, 0.0, 4, 1.0),
        row("clipped:2", 0.0, 0.0, 4, 1.0),
    ];
    let ratio_to = |to: &str| outcome(&table, &["--to", to]).rows[0].ratio;
    assert_eq!(ratio_to("heavy-ball m=0.5"), Some(4.0), "itself a beginning of another name");
    assert_eq!(ratio_to("heavy-ball m=0.5 ema"), Some(2.0));
    assert_eq!([ratio_to("ringmaster"), ratio_to("ringmaster:4")], [Some(0.5); 2]);
    assert_eq!(ratio_to("clipped:2"), Some(1.0));
    // (1-0)/(1-0.5) = 2: sgd's effective learning rate is 1, that of heavy-ball without dampening 0.5.
    let Outcome { rows, svg, stdout, .. } = outcome(&table, &["--to", "heavy-ball m=0.5"]);
    assert_eq!((rows[0].effective_ratio, rows[2].effective_ratio), (Some(2.0), Some(1.0)));
    assert!(svg.contains("that of heavy-ball m=0.5\n") && stdout.contains("that of heavy-ball m=0.5;"));

    let message = refusal(&table, &["--to", "heavy-ball"]);
    assert!(message.contains("thresholds.csv: --to \"heavy-ball\" may mean 2 series"), "{message}");
    assert!(message.contains("accepted: \"heavy-ball m=0.5\", \"heavy-ball m=0.5 ema\"\n"), "{message}");
    let message = refusal(&table, &["--to", "clipped"]);
    assert!(message.contains("accepted: \"clipped:1\", \"clipped:2\"\n"), "{message}");
    let message = refusal(&table[1..4], &[]);
    assert!(message.contains("--to \"sgd\": the table has no such rule; accepted: \"heavy-ball m=0.5\","), "{message}");
}

#[test]
fn what_is_undecided_has_bounds_as_far_as_they_are_known() {
    let open = |row: ThresholdRow, lr_stable, lr_unstable| ThresholdRow {
        lr_threshold: None,
        lr_stable,
        lr_unstable,
        status: Status::Undecided,
        ..row
    };
    let of = |delay| row("shifted", 0.5, 0.5, delay, 1.0);
    let failed = ThresholdRow { status: Status::Failed, ..open(of(16), None, None) };
    let rows = [
        sgd(1, 1.0),
        sgd(2, 1.0),
        sgd(4, 1.0),
        open(sgd(8, 1.0), Some(0.5), Some(2.0)),
        sgd(16, 1.0),
        open(of(1), Some(3.0), None),
        open(of(2), None, Some(3.0)),
        open(of(4), Some(3.0), Some(6.0)),
        of(8),
        failed,
    ];
    let Outcome { rows, stdout, svg, .. } = outcome(&rows, &[]);
    let told: Vec<_> = rows[5..].iter().map(|row| (row.ratio, row.ratio_low, row.ratio_high, row.status)).collect();
    assert_eq!(
        told,
        [
            (None, Some(2.0), None, ComparisonStatus::Undecided),
            (None, None, Some(4.0), ComparisonStatus::Undecided),
            (None, Some(2.0), Some(8.0), ComparisonStatus::Undecided),
            // The baseline is undecided.
            (None, Some(0.375), Some(3.0), ComparisonStatus::Undecided),
            (None, None, None, ComparisonStatus::Failed),
        ]
    );
    assert!(
        stdout
            .lines()
            .any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == "│ shifted m=0.5 ema ~ ~ ~ ~ ~ │"),
        "{stdout}"
    );
    assert!(svg.contains("\nopen: undecided\n"));
    assert!(
        svg.contains("Not drawn: 2 of 10 rows with no threshold"),
        "neither the failed row nor the undecided baseline"
    );
}

#[test]
fn circumstances_are_panels_and_delays_without_a_number_stand_at_the_baseline_s_mean() {
    let under = |schedule: &str, row: ThresholdRow| ThresholdRow { schedule: schedule.into(), ..row };
    let trace = |row: ThresholdRow, mean: f64| ThresholdRow {
        schedule: "trace:delays.csv".into(),
        delay: None,
        workers: None,
        delay_mean: Some(mean),
        ..row
    };
    let rows = [
        sgd(4, 1.0),
        row("ringmaster:4", 0.0, 0.0, 4, 2.0),
        under("random", sgd(4, 1.0)),
        under("random", row("ringmaster:4", 0.0, 0.0, 4, 3.0)),
        trace(sgd(0, 1.0), 5.43217),
        trace(row("ringmaster:4", 0.0, 0.0, 0, 4.0), 2.5),
    ];
    let Outcome { rows, stdout, svg, .. } = outcome(&rows, &[]);
    assert_eq!([rows[1].ratio, rows[3].ratio, rows[5].ratio], [Some(2.0), Some(3.0), Some(4.0)]);
    for panel in ["\nround-robin\n", "\nrandom\n", "\ntrace:delays.csv\n", "\n4\n", "\n5.43\n"] {
        assert!(svg.contains(panel), "{panel}");
    }
    assert!(!svg.contains("\n2.5\n"), "the mean delay of what ringmaster lets pass");
    assert!(stdout.contains("τ = 5.43") && stdout.contains("trace:delays.csv"), "{stdout}");
}

#[test]
fn repetitions_share_a_cell_of_the_table_with_their_median() {
    let seed = |seed_init: u64, row: ThresholdRow| ThresholdRow { seed_init, ..row };
    let rows: Vec<_> = [(0, 2.0), (1, 5.0), (2, 3.0)]
        .into_iter()
        .flat_map(|(init, factor)| [seed(init, sgd(4, 1.0)), seed(init, row("nesterov", 0.0, 0.0, 4, factor))])
        .collect();
    let Outcome { stdout, svg, .. } = outcome(&rows, &[]);
    assert!(stdout.contains(" 3.000 "), "{stdout}");
    assert!(!svg.contains("init seed"), "one panel");
}

#[test]
fn what_there_is_no_room_for_is_told() {
    let mut rows = vec![];
    for schedule in 0..3 {
        for delay in 0..30 {
            let here = |row: ThresholdRow| ThresholdRow { schedule: format!("hybrid:{schedule}"), ..row };
            rows.push(here(sgd(delay, 1.0)));
            rows.extend((0..160).map(|i| here(row("nesterov", f64::from(i) / 256.0, 0.0, delay, 0.5))));
        }
    }
    let Outcome { rows: compared, stderr, svg, .. } = outcome(&rows, &[]);
    assert_eq!(compared.len(), rows.len());
    for told in [" of 30 delays are drawn: 0, 1,", "best of 161 rules"] {
        assert!(stderr.contains(told) && svg.contains(told), "{told}: {stderr}");
    }
    let one = outcome(&[sgd(4, 1.0)], &[]);
    assert_eq!(one.stderr, "");
    assert_eq!(one.rows[0].ratio, Some(1.0));
}

#[test]
fn sixty_four_rules_under_eight_circumstances_are_all_drawn() {
    let mut rows = vec![];
    for schedule in 0..8 {
        let here = |row: ThresholdRow| ThresholdRow { schedule: format!("hybrid:{schedule}"), ..row };
        rows.push(here(sgd(4, 1.0)));
        rows.extend((1..64).map(|i| here(row("nesterov", f64::from(i) / 64.0, 0.0, 4, 0.5))));
    }
    let Outcome { stderr, svg, .. } = outcome(&rows, &[]);
    assert_eq!(stderr, "");
    assert!(!svg.contains("Not drawn") && !svg.contains("For want of room"));
    // A mark is a rim and a filling; the legend has one for its delay.
    let filled = |line: &&str| line.contains("<polygon") && !line.contains("#FFFFFF");
    let shades = 8 * 32;
    assert_eq!(svg.lines().filter(filled).count(), 8 * 64 + 1 + shades);
}

#[test]
fn the_same_table_gives_the_same_bytes_also_elsewhere() {
    let folder =
        folder_with(&[sgd(1, 1.0), sgd(4, 0.5), row("shifted", 0.9, 0.9, 1, 2.0), row("shifted", 0.9, 0.9, 4, 1.5)]);
    let elsewhere = folder.path().join("new/folder");
    let files =
        |folder: &Path| ["compare.csv", "compare.svg", "compare.png"].map(|name| fs::read(folder.join(name)).unwrap());
    compare(folder.path(), &[]).success();
    let first = files(folder.path());
    compare(folder.path(), &[]).success();
    assert_eq!(first, files(folder.path()));
    fs::remove_file(folder.path().join("compare.csv")).unwrap();
    compare(folder.path(), &["--out-dir", elsewhere.to_str().unwrap()]).success();
    assert_eq!(first, files(&elsewhere));
    assert!(!folder.path().join("compare.csv").exists(), "it was written elsewhere");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 3, "nothing partial is left behind");
}

#[test]
fn bad_tables_are_refused_in_one_line() {
    let empty = tempfile::tempdir().unwrap();
    let output = compare(empty.path(), &[]).failure().code(2).get_output().clone();
    assert!(String::from_utf8(output.stderr).unwrap().contains("tauscope compare needs a results folder"));

    assert!(refusal(&[], &[]).contains("the table has no cells"));
    let twice = [ThresholdRow { cell_id: "first".into(), ..sgd(4, 1.0) }, ThresholdRow { runs: 9, ..sgd(4, 2.0) }];
    let message = refusal(&twice, &[]);
    assert!(message.contains("cells first and sgd-0-0-4 are both of the baseline `sgd`"), "{message}");
    let none = ThresholdRow { lr_stable: None, lr_unstable: None, lr_threshold: None, ..sgd(4, 1.0) };
    assert!(refusal(&[none], &[]).contains("no row has a threshold to be compared"));
    for (bad, expected) in [
        (sgd(4, -1.0), "line 3: column `lr_stable`: `-0.75`, expected a positive number"),
        (row("nesterov", 1.0, 0.0, 4, 1.0), "column `momentum`: `1`, expected a number from 0 to below 1"),
        (row("nesterov", 0.5, 1.5, 4, 1.0), "column `dampening`: `1.5`, expected a number of at most 1"),
    ] {
        let message = refusal(&[sgd(1, 1.0), bad], &[]);
        assert!(message.contains("thresholds.csv, line 3: ") && message.contains(expected), "{message}");
    }
}
