//! `tauscope compare`, `report` and `plot` of a training's folder, from the outside. The tables are written by hand, so that
//! differences and intervals can be worked by hand too; those of older folders are the committed ones.

use crate::browser::Browser;
use assert_cmd::Command;
use std::fs;
use std::path::{Path, PathBuf};
use tauscope::table::{PairingStatus, TrainComparisonRow, read_csv};
use tempfile::TempDir;

/// Columns that the tests do not vary, with their values, in runs.csv and summary.csv.
const SHARED: [&str; 2] = [
    "data,model,loss,samples,test_samples,weight_decay,lr_scaling,lr,lr_scaled,effective_lr,lr_regime,batch,epochs,engine,adapter",
    "digits,mlp:8 tanh,ce,100,50,0,none,0.1,0.1,0.1,constant,8,2,cpu f32,x86_64",
];

/// A group: id, rule with momentum and dampening, delay and schedule, and the test accuracy of each seed or "" where it
/// diverged. Losses are 1 - accuracy.
type Group = (&'static str, &'static str, &'static str, [&'static str; 3]);

const GROUPS: [Group; 6] = [
    ("g0", "sgd,0,0", "0,round-robin", ["0.90", "0.92", "0.94"]),
    ("g1", "sgd,0,0", "4,round-robin", ["0.88", "0.91", "0.92"]),
    ("g2", "shifted,0.9,0.9", "0,round-robin", ["0.91", "0.90", "0.93"]),
    ("g3", "shifted,0.9,0.9", "4,round-robin", ["0.93", "", "0.95"]),
    ("g4", "lion,0.9,0.9", "4,round-robin", ["", "", ""]),
    ("g5", "lion,0.9,0.9", "16,round-robin", ["0.50", "0.50", "0.50"]),
];

fn mean(values: &[f64]) -> String {
    if values.is_empty() { String::new() } else { (values.iter().sum::<f64>() / values.len() as f64).to_string() }
}

fn folder_with(groups: &[Group]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut runs = format!(
        "run_id,group_id,rule,momentum,dampening,delay,schedule,seed,status,diverged_step,test_accuracy,test_loss,\
         generalisation_gap,steps,my_note,{}\n",
        SHARED[0]
    );
    let mut summary = format!(
        "group_id,rule,momentum,dampening,delay,schedule,runs,diverged,test_accuracy,test_loss,generalisation_gap,my_note,{}\n",
        SHARED[0]
    );
    let mut metrics = "run_id,step,epoch,metric,value\n".to_owned();
    for (id, rule, delay, accuracies) in groups {
        for (seed, accuracy) in accuracies.iter().enumerate() {
            let (status, figures) = match accuracy.parse::<f64>() {
                Ok(value) => ("finished", format!(",{value},{},0.05", 1.0 - value)),
                Err(_) => ("diverged", "7,,,".into()),
            };
            let (name, shared) = (format!("{id}-{seed}"), SHARED[1]);
            runs += &format!("{name},{id},{rule},{delay},{seed},{status},{figures},26,run {seed},{shared}\n");
            for epoch in 0..3 {
                let (step, value) = (13 * epoch, accuracy.parse::<f64>().unwrap_or(0.1) * f64::from(epoch) / 2.0);
                metrics += &format!("{name},{step},{epoch},train_loss,{}\n", 2.0 - value);
                metrics += &format!("{name},{step},{epoch},test_accuracy,{value}\n");
            }
        }
        let finished: Vec<f64> = accuracies.iter().filter_map(|accuracy| accuracy.parse().ok()).collect();
        let losses: Vec<f64> = finished.iter().map(|accuracy| 1.0 - accuracy).collect();
        summary += &format!(
            "{id},{rule},{delay},3,{},{},{},{},mine,{}\n",
            3 - finished.len(),
            mean(&finished),
            mean(&losses),
            mean(&finished.iter().map(|_| 0.05).collect::<Vec<_>>()),
            SHARED[1]
        );
    }
    for (name, text) in [("runs.csv", runs), ("summary.csv", summary), ("metrics.csv", metrics)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let run = r#"{"version": "0.1.0", "command": ["tauscope", "train"], "plan": {"seeds": 3}, "engine": {"adapter": "x86_64"}}"#;
    fs::write(folder.path().join("run.json"), run).unwrap();
    folder
}

fn tauscope(command: &str, folder: &Path, flags: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_tauscope")).arg(command).arg(folder).args(flags).assert()
}

fn compared(folder: &Path, flags: &[&str]) -> (Vec<TrainComparisonRow>, String, String) {
    let output = tauscope("compare", folder, flags).success().get_output().clone();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (read_csv(&folder.join("compare.csv")).unwrap(), text(output.stdout), text(output.stderr))
}

/// The one line on standard error of a command that must fail with exit code 2.
fn refusal(command: &str, folder: &Path, flags: &[&str]) -> String {
    let output = tauscope(command, folder, flags).failure().code(2).stdout("").get_output().clone();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

fn assert_close(found: Option<f64>, expected: f64) {
    assert!((found.unwrap() - expected).abs() < 1e-6, "{found:?}, expected {expected}");
}

#[test]
fn groups_are_compared_with_sgd_under_the_same_delay_seed_by_seed() {
    let folder = folder_with(&GROUPS);
    let (rows, stdout, stderr) = compared(folder.path(), &[]);
    let shown: Vec<_> = rows.iter().map(|row| (row.baseline_id.as_deref(), row.pairs, row.status)).collect();
    use PairingStatus::{Diverged, NoBaseline, Paired};
    assert_eq!(
        shown,
        [
            (Some("g0"), 3, Paired),
            (Some("g1"), 3, Paired),
            (Some("g0"), 3, Paired),
            (Some("g1"), 2, Paired),
            (Some("g1"), 0, Diverged),
            (None, 0, NoBaseline),
        ]
    );
    assert_eq!((rows[0].accuracy_difference, rows[0].accuracy_difference_high), (Some(0.0), Some(0.0)));
    // Differences 0.01, -0.02, -0.01: deviation 0.0152753, half the width 4.302653 / sqrt(3) of it.
    assert_close(rows[2].accuracy_difference, -0.02 / 3.0);
    assert_close(rows[2].accuracy_difference_low, -0.02 / 3.0 - 0.037_946_0);
    assert_close(rows[2].accuracy_difference_high, -0.02 / 3.0 + 0.037_946_0);
    // Seed 1 diverged: 0.05 and 0.03, whose interval is 12.706205 times 0.01.
    assert_close(rows[3].accuracy_difference, 0.04);
    assert_close(rows[3].accuracy_difference_low, 0.04 - 0.127_062_05);
    assert_close(rows[3].loss_difference, -0.04);
    assert_close(rows[3].loss_difference_high, -0.04 + 0.127_062_05);
    assert_eq!(rows[4].accuracy_difference, None);
    let line = |start: &str| {
        let line = stdout.lines().find(|line| line.contains(start)).unwrap_or_else(|| panic!("{start} in {stdout}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("shifted m=0.9 ema, delay 4"), "│ shifted m=0.9 ema, delay 4 1 of 3 94 % +4 ± 13 -0.04 ± 0.13 2 │");
    assert!(line("sgd, delay 0").contains("baseline"));
    assert!(stderr.contains("note: 1 group has no baseline: lion m=0.9 ema, delay 16"), "{stderr}");
    let svg = fs::read_to_string(folder.path().join("compare.svg")).unwrap();
    for text in [
        "\nTest accuracy and loss, beside sgd under the same delay\n",
        "\nshifted m=0.9 ema, delay 4 (1 of 3 diverged)\n",
    ] {
        assert!(svg.contains(text), "{text}");
    }
    assert!(!svg.contains("\nsgd, delay 0\n"), "a baseline beside itself says nothing");
    assert!(!svg.contains("NaN"));
}

#[test]
fn groups_are_compared_with_the_same_training_without_delay() {
    let folder = folder_with(&GROUPS);
    let (rows, stdout, _) = compared(folder.path(), &["--to", "synchronous"]);
    let baselines: Vec<_> = rows.iter().map(|row| row.baseline_id.as_deref()).collect();
    assert_eq!(baselines, [Some("g0"), Some("g0"), Some("g2"), Some("g2"), None, None]);
    // -0.02, -0.01, -0.02: deviation 0.00577350, times 4.302653 / sqrt(3).
    assert_close(rows[1].accuracy_difference, -0.05 / 3.0);
    assert_close(rows[1].accuracy_difference_high, -0.05 / 3.0 + 0.014_342_2);
    assert!(stdout.contains("-1.7 ± 1.4 *"), "told from 0: {stdout}");

    let files = ["compare.csv", "compare.svg", "compare.png"];
    let read = |folder: &Path| files.map(|name| fs::read(folder.join(name)).unwrap());
    let first = read(folder.path());
    let elsewhere = folder.path().join("new/folder");
    compared_elsewhere(folder.path(), &elsewhere);
    assert_eq!(first, read(&elsewhere), "the same tables give the same bytes");
    let one_rule = folder_with(&GROUPS[..2]);
    let (rows, ..) = compared(one_rule.path(), &[]);
    assert_eq!(rows[1].baseline_id.as_deref(), Some("g0"), "which a training of one rule is compared with anyway");
}

fn compared_elsewhere(folder: &Path, elsewhere: &Path) {
    tauscope("compare", folder, &["--to", "synchronous", "--out-dir", elsewhere.to_str().unwrap()]).success();
}

#[test]
fn what_cannot_be_compared_is_refused_in_one_line() {
    let folder = folder_with(&GROUPS);
    let message = refusal("compare", folder.path(), &["--to", "adam"]);
    assert!(
        message.contains("--to \"adam\": the table has no such rule; accepted: \"sgd\", \"shifted m=0.9 ema\", \"lion m=0.9 ema\", \"synchronous\""),
        "{message}"
    );
    let alone = folder_with(&GROUPS[..1]);
    assert!(refusal("compare", alone.path(), &[]).contains("no group has another one to be compared with"));

    let edited = |name: &str, find: &str, replacement: &str| {
        let folder = folder_with(&GROUPS);
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text.contains(find), "{text}");
        fs::write(folder.path().join(name), text.replacen(find, replacement, 1)).unwrap();
        folder
    };
    let twice = edited("runs.csv", "0,round-robin,1,", "0,round-robin,0,");
    assert!(refusal("compare", twice.path(), &[]).contains("runs.csv: group g0 has seed 0 twice"));
    for command in ["compare", "report", "plot"] {
        let lacking = edited("summary.csv", ",rule,", ",update,");
        let message = refusal(command, lacking.path(), &[]);
        assert!(message.contains("summary.csv, line 1: no column `rule`; found group_id,update"), "{message}");
        let wrong = edited("runs.csv", "finished", "done");
        let message = refusal(command, wrong.path(), &[]);
        assert!(
            message.contains("runs.csv, line 2: column `status`: `done`, expected one of finished, diverged"),
            "{message}"
        );
    }
    let infinite = edited("metrics.csv", "train_loss,2", "train_loss,inf");
    let message = refusal("plot", infinite.path(), &[]);
    assert!(message.contains("metrics.csv, line 2: column `value`: `inf`, expected a finite number"), "{message}");
}

/// A copy of a committed folder as an older version wrote it, which called groups arms.
fn committed(name: &str) -> TempDir {
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results").join(name);
    let folder = tempfile::tempdir().unwrap();
    for table in ["runs.csv", "summary.csv", "metrics.csv", "run.json"] {
        if from.join(table).exists() {
            let text = fs::read_to_string(from.join(table)).unwrap();
            fs::write(folder.path().join(table), text.replacen("group_id", "arm_id", 1)).unwrap();
        }
    }
    let header = fs::read_to_string(folder.path().join("summary.csv")).unwrap();
    assert!(header.starts_with("arm_id,"));
    folder
}

#[test]
fn tables_of_an_older_version_are_compared() {
    let folder = committed("2026-11-22-generalisation/lr-0.05");
    let (rows, ..) = compared(folder.path(), &["--to", "synchronous"]);
    let (sgd, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.rule == "sgd");
    assert_eq!((sgd.len(), others.len()), (3, 4));
    assert!(sgd.iter().all(|row| row.status == PairingStatus::Paired && row.pairs == 20), "{sgd:?}");
    assert!(others.iter().all(|row| row.status == PairingStatus::NoBaseline), "these were trained under delay alone");
}

#[test]
fn the_report_of_a_training_is_drawn_group_by_group() {
    let folder = folder_with(&GROUPS);
    let page = folder.path().join("page.html");
    tauscope("report", folder.path(), &["--out", page.to_str().unwrap()]).success();
    let mut browser = Browser::start();
    crate::report::assert_sound(&mut browser, &page);
    browser.open(&page, 1280);
    // Three figures; g4 has none, and each of the 14 seeds that finished has a dot of its own.
    assert_eq!(browser.count("#figure-delay .panels svg"), 3);
    assert_eq!(browser.count("#figure-delay [data-row]"), 3 * (5 + 14));
    assert_eq!(browser.count("#figure-curves .panels svg"), 2);
    assert_eq!(browser.count("#figure-curves [data-row]"), 2 * 5, "the group of which no run came through is left out");
    assert_eq!(browser.count("#rows tbody tr"), 6);
    browser.hover("#figure-delay .panels svg [data-row][r='2.5'], #figure-delay circle[data-row]");
    let tip = browser.evaluate("document.querySelector('.tip:not([hidden])').textContent");
    assert!(tip.as_str().unwrap().contains("my_noterun 0"), "columns of one's own are shown: {tip}");
    let text = browser.evaluate("document.body.innerText");
    let text = text.as_str().unwrap();
    for part in [
        "At delay 4 the recipe 'shifted m=0.9 ema' is the best, with 94 % test accuracy; paired by seed, 1 other group cannot be told from it: sgd, \
         delay 4; without delay the best is 92 % ('sgd').",
        "sgd: the test accuracy falls from 92 % at delay 0 to 90.33 % at delay 4; paired by seed, a change of -1.67 ± 1.4 points.",
        "lion m=0.9 ema: the test accuracy is 50 % at delay 16; at delay 4 every run diverged.",
        "14 of 18 runs finished, 4 diverged: shifted m=0.9 ema, delay 4 (1 of 3); lion m=0.9 ema, delay 4 (3 of 3).",
        "digits · 100 samples",
        "tauscope train",
        "x86_64",
    ] {
        assert!(text.contains(part), "{part}\nin {text}");
    }
}

#[test]
fn what_did_not_train_is_said_marked_and_not_recommended() {
    let folder = folder_with(&GROUPS);
    // Of shifted at delay 4 both runs that finished are no better than guessing, whatever their accuracy.
    let path = folder.path().join("summary.csv");
    let text = fs::read_to_string(&path).unwrap();
    let rows = text.lines().enumerate().map(|(line, row)| {
        let cell = match line {
            0 => "untrained",
            _ if row.starts_with("g3,") => "2",
            _ => "0",
        };
        format!("{row},{cell}\n")
    });
    fs::write(&path, rows.collect::<String>()).unwrap();
    let page = folder.path().join("page.html");
    tauscope("report", folder.path(), &["--out", page.to_str().unwrap()]).success();
    let mut browser = Browser::start();
    browser.open(&page, 1280);
    let told = |browser: &mut Browser, what: &str| {
        let told = browser
            .evaluate(&format!("[...document.querySelectorAll('{what}')].map((one) => one.textContent).join('|')"));
        told.as_str().unwrap().to_owned()
    };
    let recommended = told(&mut browser, ".recommendation");
    assert!(
        recommended.starts_with("At delay 4 the recipe 'sgd' is the best, with 90.33 % test accuracy"),
        "{recommended}"
    );
    assert!(recommended.contains("no better than guessing: shifted m=0.9 ema, delay 4"), "{recommended}");
    let marked = told(&mut browser, "li.unlearned");
    assert_eq!(
        marked,
        "shifted m=0.9 ema, delay 4: did not train: 94 %; 2 of 3 runs no better than guessing; 1 of 3 runs diverged."
    );
    // The list begins with the group of the sentence; what has no delay stands apart.
    let ranked = told(&mut browser, "#answers ol strong");
    assert!(ranked.starts_with("sgd, delay 4|shifted m=0.9 ema, delay 4|lion m=0.9 ema, delay 4|"), "{ranked}");
    assert!(!ranked.contains("delay 0"), "{ranked}");
    let text = told(&mut browser, "#answers");
    assert!(
        text.contains("2 finished runs are no better than guessing: shifted m=0.9 ema, delay 4 (2 of 3)."),
        "{text}"
    );
}

#[test]
fn the_report_of_an_older_training_opens() {
    for name in ["2026-11-22-edge-of-stability/sgd", "2026-11-22-lenet-beside-pytorch"] {
        let folder = committed(name);
        let page = folder.path().join("page.html");
        tauscope("report", folder.path(), &["--out", page.to_str().unwrap()]).success();
        crate::report::assert_sound(&mut Browser::start(), &page);
    }
}
