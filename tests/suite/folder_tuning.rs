//! Condition numbers that `tune` and `advise` take from the spectrum of a measured folder.
//!
//! Not here: what is made of a condition number (`tuning`).

use crate::printed::{number, rows, stdout, tauscope};
use predicates::prelude::*;
use predicates::str::contains;

#[track_caller]
fn assert_within(what: &str, value: f64, expected: f64, part: f64) {
    // Written so that NaN fails.
    assert!((value / expected - 1.0).abs() <= part, "{what}: {value} is not {expected}");
}

#[test]
fn a_folder_brings_its_largest_curvature_and_the_smallest_that_matters() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("rates");
    // The four largest hold 96.8 % of the trace.
    let sweep = "sweep --model quadratic:8,4,2,1,0.5 --rules sgd --delays 0 --rates 0.1 --engine cpu --quiet --out";
    tauscope(&format!("{sweep} {}", dir.display())).assert().success();
    let tune = format!("tune --delays 1 --rules sgd --folder {}", dir.display());
    let found = rows(&tune);
    assert_within("condition", number(&found[0], "condition"), 16.0, 1e-9);
    assert_within("lr", number(&found[0], "lr"), number(&found[0], "gain") / 8.0, 1e-12);
    let note = ": condition 16";
    tauscope(&tune).assert().success().stderr(contains("stochastic Lanczos").and(contains(note)));
    assert_within("as asked", number(&rows(&format!("{tune} --condition 10"))[0], "condition"), 10.0, 1e-12);
    let refused = tauscope(&format!("{tune} --condition 20")).assert().failure().stdout("");
    refused
        .stderr(contains("--condition 20 with --folder").and(contains("that of condition 16; accepted: up to that")));
    // Rates are no thresholds, from which advice is made.
    let advise = tauscope(&format!("advise --to-delay 1 --folder {}", dir.display())).assert().failure().stdout("");
    let begins = format!("error: --folder {}: it needs", dir.display());
    advise.stderr(
        contains(begins).and(contains("this one has rates").and(contains("`tauscope tune --folder` takes it"))),
    );
    let none = tauscope("tune --folder nowhere").assert().failure();
    none.stderr(contains("--folder nowhere").and(contains("accepted: the folder of a finished `tauscope sweep`")));
}

/// Weight decay adds itself to all curvatures of a linear model with squared loss, and changes nothing else. Six samples span at most six of nine
/// directions of each of the three outputs.
#[test]
fn weight_decay_moves_the_smallest_curvature_that_matters_by_itself_and_its_plateau_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let smallest = |decay: f64| {
        let dir = folder.path().join(decay.to_string());
        let problem = "--data synthetic:clusters:classes=3:shape=1x2x4:samples=6 --samples 6 --model linear --loss mse";
        let flags =
            format!("{problem} --weight-decay {decay} --rules sgd --delays 0 --rates 0.01 --engine cpu --quiet");
        tauscope(&format!("sweep {flags} --out {}", dir.display())).assert().success();
        let tune = format!("tune --delays 1 --rules sgd --folder {}", dir.display());
        let row = &rows(&tune)[0];
        let largest = number(row, "gain") / number(row, "lr");
        (largest / number(row, "condition"), largest, tune)
    };
    let (light, ..) = smallest(0.001);
    // So heavy that the plateau holds more than a hundredth of the trace.
    let (heavy, largest, tune) = smallest(0.3);
    assert_within("smallest", heavy - 0.3, light - 0.001, 1e-4);
    assert!(light > 0.1, "{light}");
    let told = tauscope(&tune).assert().success().get_output().stderr.clone();
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("% of the trace beyond weight decay (stochastic Lanczos)"), "{told}");
    let (_, plateau) = told.split_once("; ").unwrap();
    let (part, plateau) = plateau.split_once(" % of the directions are a plateau at the weight decay 0.3").unwrap();
    // A third of them, as eight random vectors see it.
    assert!((25.0..45.0).contains(&part.parse().unwrap()), "{told}");
    let (_, asked) = plateau.split_once("--condition ").unwrap();
    let asked: f64 = asked.split(' ').next().unwrap().parse().unwrap();
    assert_within("all", asked, largest / 0.3, 0.01);
    tauscope(&format!("{tune} --condition {asked}")).assert().success();
}

/// The recipe that `tune` has for the spectrum of a folder; where it cannot be had, the advice says why and goes on.
#[test]
fn advice_with_a_folder_begins_with_the_fastest_rule_for_its_spectrum() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = |out: &str, model: &str| {
        let dir = folder.path().join(out).display().to_string();
        let flags = "--rules sgd,heavy-ball --dampening 0 --delays 0,4 --engine cpu --quiet";
        tauscope(&format!("sweep --model {model} {flags} --out {dir}")).assert().success();
        dir
    };
    let report = |flags: &str| -> serde_json::Value {
        serde_json::from_str(&stdout(&format!("advise --rule sgd --to-delay 4 --json {flags}"))).unwrap()
    };
    let dir = sweep("many", "quadratic:2,1,0.5,0.1");
    let told = report(&format!("--folder {dir}"));
    let condition = told["condition"].as_f64().unwrap();
    assert!((condition - 20.0).abs() < 1e-6, "{condition}");
    let asked = report("--lambda 2 --condition 20");
    let [own, asked] = [&told, &asked].map(|told| told["tuned"][0].clone());
    assert_eq!(own["rule"], asked["rule"]);
    assert_within("lr", own["lr"].as_f64().unwrap(), asked["lr"].as_f64().unwrap(), 1e-9);
    assert!(told["notes"][0].as_str().unwrap().contains("stochastic Lanczos"), "{}", told["notes"]);
    let wrong = tauscope(&format!("advise --rule sgd --to-delay 4 --condition 50 --folder {dir}")).assert().code(2);
    wrong.stderr(contains("--condition 50 with --folder").and(contains("that of condition 20")));
    let dir = sweep("one", "quadratic:2");
    let told = report(&format!("--folder {dir}"));
    assert_eq!((told["condition"].is_null(), told["tuned"].as_array().unwrap().len()), (true, 0));
    assert!(told["notes"][0].as_str().unwrap().contains("a spectrum of several curvatures"), "{}", told["notes"]);
    assert!(told["recommendation"].is_object());
}
