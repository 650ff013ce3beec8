//! `tauscope theory` and `tauscope advise` as a user runs them.

use crate::printed::{number, rows, stdout, tauscope};
use predicates::prelude::*;
use predicates::str::contains;
use std::f64::consts::PI;

fn assert_close(value: f64, expected: f64) {
    // Written so that NaN fails.
    assert!((value / expected - 1.0).abs() <= 1e-9, "{value} is not {expected}");
}

/// Refused with exit code 2 and a message on stderr that holds each of these, with nothing on stdout.
fn refused(arguments: &str, words: &[&str]) {
    let mut assert = tauscope(arguments).assert().code(2).stdout("");
    for word in words {
        assert = assert.stderr(contains(*word));
    }
    assert.stderr(contains("panicked").not());
}

#[test]
fn the_table_has_its_columns_in_order() {
    let text = stdout("theory --rules sgd --delays 0");
    let header = "rule,momentum,dampening,delay,schedule,criterion,relative_variance,threshold_gain,effective_gain,\
                  crossing_angle,fresh_share,stages,stage_delays,stage_energies,local_steps,local_gain,overlap,overlap_weight,coverage,\
                  threshold_outer_gain,threshold_lr,decoupled_decay";
    assert_eq!(text.lines().next(), Some(header));
    assert_eq!(
        text.lines().nth(1),
        Some(format!("sgd,0.0,0.0,0.0,round-robin,mean,0.0,2.0,2.0,{PI},,,,,,,,,,,,").as_str())
    );
}

#[test]
fn lists_ranges_and_series_expand() {
    let delays = |flag: &str| -> Vec<f64> {
        let rows = rows(&format!("theory --rules sgd --delays {flag}"));
        rows.iter().map(|row| number(row, "delay")).collect()
    };
    assert_eq!(delays("0..3,5,7..=8"), [0.0, 1.0, 2.0, 5.0, 7.0, 8.0]);
    assert_eq!(delays("logspace:1:100:3"), [1.0, 10.0, 100.0]);
    assert_eq!(delays("0..=10000").len(), 10_001);
    let momenta = rows("theory --rules heavy-ball --delays 1 --momentum 0,linspace:0.1:0.3:3 --dampening 0,ema");
    // Without momentum both dampenings are the same rule.
    assert_eq!(momenta.len(), 1 + 2 * 3);
    for row in &momenta {
        // At a delay of 1 the threshold is (1-m)/(1-d), so the effective gain is 1 whatever the momentum.
        assert_close(number(row, "effective_gain"), 1.0);
    }
}

#[test]
fn extreme_coefficients_answer() {
    let rows = rows("theory --rules heavy-ball,shifted,nesterov --delays 0,100000 --momentum 0,0.999999999");
    assert_eq!(rows.len(), 12);
    for row in rows {
        assert!(number(&row, "threshold_gain") > 0.0, "{row:?}");
    }
}

#[test]
fn noise_and_random_delays_have_rows() {
    let rows = rows(
        "theory --rules sgd --delays 1,7 --schedule round-robin,random,iid:uniform,iid:uniform:0..=2 \
         --relative-variance 0,1",
    );
    let cell = |schedule: &str, delay: f64, criterion: &str, variance: f64| {
        let mut found = rows.iter().filter(|row| {
            row["schedule"] == schedule
                && number(row, "delay") == delay
                && row["criterion"] == criterion
                && number(row, "relative_variance") == variance
        });
        let gain = number(found.next().unwrap(), "threshold_gain");
        assert!(found.next().is_none());
        gain
    };
    assert_close(cell("round-robin", 1.0, "mean", 0.0), 1.0);
    assert_close(cell("round-robin", 1.0, "mean-square", 1.0), (5_f64.sqrt() - 1.0) / 2.0);
    // From 0 to twice the delay of 1, whichever way it is said; a distribution of its own comes once for all delays.
    assert_close(cell("iid:uniform:0..=2", 1.0, "mean", 0.0), 1.5);
    assert_eq!(cell("iid:uniform", 1.0, "mean", 0.0), cell("iid:uniform:0..=2", 1.0, "mean", 0.0));
    assert_eq!(rows.iter().filter(|row| row["schedule"] == "iid:uniform:0..=2").count(), 3);
    // Eight workers have a mean delay of 7.
    assert_close(cell("random", 7.0, "mean", 0.0), 15.0);
    assert!((cell("random", 7.0, "mean-square", 0.0) - 0.566).abs() < 5e-4);
}

/// The picture that `tauscope theory` draws of this table.
fn picture(arguments: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("theory.svg");
    tauscope(&format!("theory {arguments} --svg")).arg(&file).assert().success();
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.starts_with("<svg") && !text.contains("NaN") && !text.contains("inf"));
    text
}

/// The texts of a picture.
fn texts(svg: &str) -> Vec<&str> {
    svg.lines().filter(|line| !line.starts_with('<')).collect()
}

/// The points of every line of data, which are the only paths of this width.
fn lines(svg: &str) -> Vec<Vec<(f64, f64)>> {
    let attribute = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let point = |pair: &str| {
        let (x, y) = pair.split_once(',').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    };
    svg.lines()
        .filter(|line| line.starts_with("<polyline") && attribute(line, "stroke-width").as_deref() == Some("7"))
        .map(|line| attribute(line, "points").unwrap().split_whitespace().map(point).collect())
        .collect()
}

#[test]
fn a_picture_says_what_it_draws() {
    let table = "--rules sgd,shifted --dampening ema --momentum 0.5,0.9,0.95 --delays 0..=40";
    let svg = picture(table);
    let words = texts(&svg);
    for word in [
        "delay τ (updates), on a logarithmic scale of τ + 1",
        "momentum m",
        "threshold gain (learning rate × curvature)",
        "sgd",
        "shifted m=0.9 ema",
        "shifted ema, τ=40",
        "40",
        "Drawn at 4 of 41 delays: 0, 2, 11, 40.",
    ] {
        assert!(words.contains(&word), "no {word} in {words:?}");
    }
    assert_eq!(svg, picture(table), "the same table gives the same bytes");
    assert!(!picture("--rules shifted --momentum 0.5,0.9").contains("momentum m"), "two momenta are not a curve");
}

#[test]
fn lines_run_from_left_to_right() {
    for (table, count) in [
        ("--rules sgd --delays 0..=10000", 1),
        ("--rules sgd,heavy-ball --delays 16,0,4,4,1 --relative-variance 0.1,1", 6),
        // In the upper panel, both forms are one rule without momentum.
        ("--rules heavy-ball --delays 0,8 --momentum 0.9,0,0.5 --dampening 0,ema", 5 + 2 * 2),
        ("--rules shifted --delays 0,1,2,4,8,16 --momentum linspace:0:0.99:50 --dampening ema", 50 + 4),
    ] {
        let lines = lines(&picture(table));
        assert_eq!(lines.len(), count, "{table}");
        for line in lines {
            assert!(line.len() > 1 && line.windows(2).all(|pair| pair[0].0 < pair[1].0), "{table}: {line:?}");
        }
    }
}

#[test]
fn every_one_of_many_series_is_drawn_and_named() {
    let svg = picture("--rules heavy-ball --momentum linspace:0:0.9:20,0.99 --delays 0,1");
    let words = texts(&svg);
    let names = words.iter().filter(|word| word.starts_with("heavy-ball m=")).count();
    assert_eq!(names, 21, "every series stands in the key of a small panel: {words:?}");
    assert!(!picture("--rules sgd").contains("series drawn"));
}

#[test]
fn what_is_not_a_line_of_delays_is_drawn_as_marks() {
    let svg = picture("--rules sgd,heavy-ball --delays 3");
    assert!(lines(&svg).is_empty() && texts(&svg).contains(&"heavy-ball m=0.9") && svg.contains("<polygon"));
    let svg = picture("--rules sgd --delays 1,3,7 --schedule round-robin,random,iid:uniform:0..=8");
    assert_eq!(lines(&svg).len(), 1);
    for word in ["sgd, random workers", "sgd, iid:uniform:0..=8, r=0", "Random delays: marks at their mean delay."] {
        assert!(texts(&svg).contains(&word), "no {word}");
    }
}

#[test]
fn wrong_input_is_refused_in_one_line() {
    refused("theory --delays 5..3", &["--delays", "5..3", "accepted"]);
    refused("theory --delays -1", &["--delays", "-1", "accepted"]);
    refused("theory --delays logspace:0:10:3", &["--delays", "logspace:0:10:3", "accepted"]);
    refused("theory --momentum 1", &["--momentum", "'1'", "accepted"]);
    refused("theory --momentum NaN", &["--momentum", "NaN", "accepted"]);
    refused("theory --dampening 1.5", &["--dampening", "1.5", "accepted"]);
    refused("theory --dampening 1 --rules heavy-ball", &["--dampening 1", "heavy-ball", "less than 1"]);
    refused("theory --rules lion", &["--rules lion", "no characteristic equation", "accepted: sgd, heavy-ball,"]);
    refused("theory --rules nadam:torch", &["--rules nadam:torch", "no characteristic equation", "nadam, nadamw"]);
    refused("theory --rules adamw --decoupled-decay 1", &["--decoupled-decay", "'1'", "below 1"]);
    refused("theory --rules adam --decoupled-decay 0.1", &["--decoupled-decay", "--rules adamw or nadamw"]);
    refused(
        "theory --rules adamw --decoupled-decay 0.1 --schedule random --delays 2",
        &["--rules adamw", "a decay apart from the gradient"],
    );
    refused("theory --rules adamant", &["--rules", "adamant", "accepted: sgd, heavy-ball,"]);
    refused("theory --rules ringmaster:4 --delays 4", &["--rules ringmaster:4", "a fixed delay"]);
    refused("theory --relative-variance -1", &["--relative-variance", "-1", "accepted"]);
    refused("theory --schedule robin", &["--schedule", "no process 'robin'", "accepted: round-robin, random[:cap=C],"]);
    refused(
        "theory --schedule normal",
        &["--schedule normal", "does not know its delays", "accepted: those like round-robin, random"],
    );
    refused("theory --schedule random:cap=9 --delays 7", &["--schedule random:cap=9", "does not know"]);
    refused("theory --schedule iid:uniform:3..=1", &["--schedule", "uniform:3..=1", "accepted"]);
    refused("theory --schedule iid:missing.csv", &["--schedule iid:missing.csv", "accepted"]);
    refused("theory --schedule trace:missing.csv", &["--schedule trace:missing.csv", "accepted"]);
    refused("theory --schedule hybrid:8 --delays 2", &["--schedule hybrid:8 at delay 2", "divisor of 8"]);
    refused("theory --rules shifted --schedule iid:uniform:0..=3", &["--rules shifted", "fixed delay"]);
    refused(
        "theory --schedule iid:uniform:0..=3",
        &["--rules shifted", "fixed delay, or --rules without it: sgd,heavy-ball"],
    );
    refused(
        "sweep --model quadratic:1 --schedule iid:uniform:0..=3",
        &["--rules shifted", "accepted: --rules without shifted, as --rules sgd,heavy-ball, or --schedule round-robin"],
    );
    refused("theory --rules weight-prediction --schedule random", &["--rules weight-prediction", "fixed delay"]);
    refused("advise --lr 0 --to-delay 3", &["--lr", "'0'", "accepted"]);
    refused("advise --lr 0.1", &["--to-delay UPDATES", "--schedule", "iid:FILE"]);
    refused("advise --lr 0.1 --schedule iid:uniform:0..=3 --to-delay 1", &["iid:uniform:0..=3", "its own delays"]);
    refused("advise --lr 0.1 --schedule normal --to-delay 1", &["--schedule normal", "does not know its delays"]);
    refused("advise --lr 0.1 --rule lion --to-delay 1", &["--rule lion", "accepted: sgd, heavy-ball,"]);
    refused("advise --to-delay 1", &["accepted: --lr", "--lambda CURVATURE", "--folder DIR"]);
    refused(
        "advise --rule adam --dampening 0 --lr 1 --to-delay 1",
        &["--dampening 0: the first moment of adam is an EMA", "without --dampening"],
    );
    refused("advise --to-delay 8 --lambda 1 --condition 1", &["--condition", "accepted: numbers above 1, up to 1e6"]);
    refused("advise --to-delay 65 --lambda 1 --condition 100", &["a delay of 65", "accepted: delays from 0 to 64"]);
    refused(
        "advise --to-delay 8 --lambda 1 --condition 100 --schedule random",
        &["--condition with --schedule random", "accepted: --schedule round-robin"],
    );
    refused(
        "advise --rule adam --to-delay 8 --lambda 1 --condition 100",
        &["--condition with --rule adam", "without --condition"],
    );
    for (flag, value) in [("--data", "mnist"), ("--loss", "mse"), ("--weight-decay", "0.1"), ("--samples", "5")] {
        refused(&format!("sweep --model quadratic:1 {flag} {value}"), &[&format!("{flag} {value}: quadratic:1 is")]);
    }
    refused("train --model linear --activation relu", &["--activation relu: linear brings its own"]);
    refused("advise --lambda 1 --folder here --to-delay 1", &["--lambda", "--folder"]);
    refused("advise --folder missing --to-delay 1", &["--folder", "needs a results folder with a thresholds.csv"]);
    refused("advise --rule adam --folder missing --to-delay 1", &["--folder with --rule adam", "accepted: --lambda"]);
    refused(
        "advise --lr 1 --to-delay 1 --criterion mean --relative-variance 1",
        &["--relative-variance with --criterion mean", "accepted: one of the two"],
    );
    refused("train --relative-variance 1 --lr-scaling none", &["--relative-variance", "with --lr-scaling preserve"]);
}

#[test]
fn numbers_near_the_edge_are_answered_with_numbers_or_refused() {
    for value in ["0", "-1", "5e-324", "1e308", "inf", "nan", "1e400"] {
        refused(
            &format!("advise --to-delay 4 --lr={value}"),
            &["--lr", value, "accepted: numbers from 1e-100 to 1e100"],
        );
    }
    for value in ["-1", "inf", "nan", "1e308"] {
        refused(
            &format!("theory --relative-variance={value}"),
            &["--relative-variance", value, "from 1e-100 to 1e100"],
        );
    }
    // What is accepted is answered in numbers, at every corner.
    let noise = ["", " --relative-variance 1e100", " --relative-variance 1e-100"];
    for (lr, momentum) in
        [("1e-100", "0"), ("1e100", "0.9999999999999999"), ("1e100", "0"), ("1e-100", "0.9999999999999999")]
    {
        for noise in noise {
            for delays in ["--to-delay 0 --from-delay 1000", "--to-delay 1000"] {
                let output =
                    tauscope(&format!("advise --lr {lr} --momentum {momentum} {delays}{noise}")).output().unwrap();
                let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
                let in_full = output.status.code() == Some(0);
                assert!(in_full || said.contains("too small for f64 in full precision; accepted: "), "{said}");
                let words = said.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
                assert!(words.into_iter().all(|word| word != "NaN" && word != "inf"), "{said}");
            }
        }
    }
}

#[test]
fn flags_that_would_not_be_used_are_refused_and_named_as_the_command_has_them() {
    refused(
        "theory --rules sgd --delays 4 --schedule iid:geometric:0.5",
        &["--delays", "brings its own delays", "without --delays"],
    );
    refused(
        "train --engine cpu --delays 3 --schedule iid:geometric:0.5",
        &["--delays", "brings its own delays", "without --delays"],
    );
    refused("sweep --model quadratic:1 --delays 3 --schedule iid:uniform:1..=5", &["--delays", "without --delays"]);
    for command in ["sweep --model quadratic:1", "theory", "train"] {
        let trace = format!("{command} --rules sgd --delays 3 --schedule trace:recorded.csv");
        refused(&trace, &["--delays", "brings its own delays", "without --delays"]);
    }
    refused("advise --lr 1 --to-delay 3 --schedule iid:geometric:0.5", &["accepted: without --to-delay"]);
    // One process that takes delays is enough.
    let rows = rows("theory --rules sgd --delays 4 --schedule iid:geometric,iid:geometric:0.5");
    // The delay that was asked for, whose law is cut far out in its tail.
    assert_eq!((rows[0]["delay"].as_str(), rows[2]["schedule"].as_str()), ("4.0", "iid:geometric:0.5"));
}

#[test]
fn a_histogram_is_read_and_its_faults_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("delays.csv");
    let ask = |text: &str| {
        std::fs::write(&file, text).unwrap();
        tauscope("theory --rules sgd --schedule").arg(format!("iid:{}", file.display())).assert()
    };
    // Always a delay of 1: the fixed delay's threshold.
    ask("delay,count\n1,40\n").success().stdout(contains(",mean,0.0,1.0,"));
    // A recorded trace has a theory where its delay never changes.
    std::fs::write(&file, "1\n1\n").unwrap();
    let trace = || tauscope("theory --rules sgd --schedule").arg(format!("trace:{}", file.display())).assert();
    trace().success().stdout(contains(",mean,0.0,1.0,"));
    std::fs::write(&file, "1\n2\n").unwrap();
    trace()
        .code(2)
        .stderr(contains("does not know its delays").and(contains("iid:FILE with the histogram of a trace")));
    ask("delay,probability\n0,0.5\n1,0.4\n").code(2).stderr(contains("sum to 0.9"));
    ask("delay,count\n0,3\nx,4\n").code(2).stderr(contains("line 3").and(contains("'x'")));
    ask("lag,count\n0,3\n").code(2).stderr(contains("no column delay"));
}

/// `--from-delay 0 --to-delay 1`, worked by hand. Heavy-ball with m = 0.9, d = 0 has the threshold 2 (1+m)/(1-d) = 3.8 at
/// delay 0 and (1-m)/(1-d) = 0.1 at delay 1; sgd has 1, the EMA of the server 0.1/0.1 = 1, and the shifted EMA
/// 0.19/0.1 = 1.9.
#[test]
fn advice_for_one_step_of_delay_is_the_hand_calculation() {
    let text = stdout("advise --rule heavy-ball --lr 0.1 --momentum 0.9 --from-delay 0 --to-delay 1 --json");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_close(report["from"]["threshold_gain"].as_f64().unwrap(), 3.8);
    assert_close(report["from"]["accessible_curvature"].as_f64().unwrap(), 38.0);
    assert_close(report["unchanged_curvature"].as_f64().unwrap(), 1.0);
    // Heavy-ball in EMA form is the same rule, rescaled, and is not listed beside it.
    let expected = [("same rule", 0.1, 10.0), ("momentum off", 1.0, 1.0), ("shifted EMA", 1.9, 1.0)];
    let choices = report["choices"].as_array().unwrap();
    assert_eq!(choices.len(), expected.len());
    for (choice, (name, threshold, factor)) in choices.iter().zip(expected) {
        assert_eq!(choice["choice"], name);
        assert_close(choice["gain_ratio"].as_f64().unwrap(), threshold / 3.8);
        assert_close(choice["lr"].as_f64().unwrap(), 0.1 * threshold / 3.8);
        assert_close(choice["effective_lr"].as_f64().unwrap(), factor * 0.1 * threshold / 3.8);
    }
    let best = &report["recommendation"];
    assert_eq!(
        (best["rule"].as_str(), best["momentum"].as_f64(), best["dampening"].as_f64()),
        (Some("shifted"), Some(0.9), Some(0.9))
    );
    assert_close(best["lr"].as_f64().unwrap(), 0.05);
    assert_close(best["accessible_curvature"].as_f64().unwrap(), 38.0);
    let notes = report["notes"].to_string();
    assert!(notes.contains("lr 0.05 with dampening 0.9 and lr 0.005 with dampening 0 are the same run"), "{notes}");
}

/// The recipe of mixing at 0.8 of its best learning rate is that of `tune`. The 53.1 updates with a slow worker come from the eigenvalues of
/// the matrix of a period, in numpy.
#[test]
fn advice_with_a_condition_number_is_the_fastest_rule_of_tune_and_says_what_it_bears() {
    let text = stdout("advise --to-delay 4 --lambda 5 --condition 100 --json");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let tuned = report["tuned"].as_array().unwrap();
    let of_tune = rows("tune --rules mixing:0.5 --delays 4 --condition 100 --lr-factor 0.8").remove(0);
    let best = &tuned[0];
    assert_eq!(best["rule"], "mixing:0.5");
    let float = |value: &serde_json::Value| value.as_f64().unwrap();
    assert_close(float(&best["lr"]), number(&of_tune, "gain") / 5.0);
    assert_close(float(&best["momentum"]), number(&of_tune, "momentum"));
    assert_close(float(&best["updates_per_efold"]), number(&of_tune, "updates_per_efold"));
    assert!((float(&best["updates_per_efold"]) - 34.0).abs() < 1.5, "{best}");
    let borne: Vec<f64> = best["tolerated"].as_array().unwrap().iter().map(|pair| float(&pair[1])).collect();
    assert_eq!(borne.len(), 5);
    assert!((borne[0] / 53.08 - 1.0).abs() < 0.01, "one slow worker: {borne:?}");
    assert!(borne.iter().all(|updates| *updates >= float(&best["bound"])), "{borne:?}");
    // Two horizons do not bear a delay that is longer than they were tuned for.
    let second = tuned.iter().find(|one| one["rule"].as_str().unwrap().starts_with("prediction-2:")).unwrap();
    assert!(second["tolerated"].as_array().unwrap().iter().any(|pair| pair[1].is_null()), "{second}");
    // Without a curvature learning rates are gains.
    let bare: serde_json::Value = serde_json::from_str(&stdout("advise --to-delay 4 --condition 100 --json")).unwrap();
    assert_eq!((bare["tuned"][0]["lr"].is_null(), bare["curvature"].is_null()), (true, true));
    assert_eq!(bare["tuned"][0]["gain"], best["gain"]);
    assert!(bare["notes"][0].as_str().unwrap().contains("the largest counts as 1"), "{}", bare["notes"]);
    let recipe: serde_json::Value =
        serde_json::from_str(&stdout("advise --to-delay 4 --lr 0.1 --condition 100 --json")).unwrap();
    assert_eq!(recipe["tuned"][0]["gain"], best["gain"]);
    let told = stdout("advise --to-delay 4 --lr 0.1 --condition 100");
    assert!(told.contains(" / the largest curvature, momentum "), "{told}");
    let told = stdout("advise --to-delay 4 --lambda 5 --condition 100");
    assert!(
        told.starts_with("Recommended: the fastest at delay 4 (round-robin) at condition number 100: mixing:0.5, lr "),
        "{told}"
    );
    // One recommendation, and what else is there is called an alternative.
    assert_eq!(told.matches("Recommended").count(), 1, "{told}");
    assert!(told.contains("\nAlternative, not for speed but "), "{told}");
}

/// At a delay of 31 sgd's threshold is 2 sin(pi/126) = 0.0498614, so its learning rate is 0.1 * 0.0498614 / 3.8 =
/// 1.31214e-3. On the circle heavy-ball's `-D/N` has the phase `3 pi/2 + 30.5 w + arg(e^{iw} - 0.9)`, which first makes a
/// full turn at w = 0.0391762, where its modulus `2 sin(w/2) |e^{iw} - 0.9|` is 0.00417915.
#[test]
fn advice_for_a_long_delay_is_the_hand_calculation() {
    let text = stdout("advise --rule heavy-ball --lr 0.1 --momentum 0.9 --from-delay 0 --to-delay 31 --json");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let lr = |index: usize| report["choices"][index]["lr"].as_f64().unwrap();

    let plain = 2.0 * (PI / 126.0).sin();
    assert_close(lr(1), 0.1 * plain / 3.8);
    assert!((lr(1) - 1.31214e-3).abs() < 1e-8);

    let phase = |w: f64| 30.5 * w + w.sin().atan2(w.cos() - 0.9) - PI / 2.0;
    let (mut low, mut high) = (0.0, 0.1);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if phase(middle) < 0.0 { low = middle } else { high = middle }
    }
    let ball = 2.0 * (0.5 * low).sin() * modulus(low);
    assert!((low - 0.0391762).abs() < 1e-7 && (ball - 0.00417915).abs() < 1e-8);
    assert_close(lr(0), 0.1 * ball / 3.8);
    let note = report["notes"][0].as_str().unwrap();
    let percent = 100.0 * (1.0 - 10.0 * ball / plain);
    assert!(note.contains("Momentum hurts") && note.contains(&format!("{percent:.1} % less")), "{note}");
}

/// `|e^{iw} - 0.9|`
fn modulus(w: f64) -> f64 {
    (w.cos() - 0.9).hypot(w.sin())
}

#[test]
fn advice_takes_schedules_and_noise() {
    // 32 workers at random: in mean square N K^2 - K - 2 = 0, in the mean K = 2N - 1, and 2 without delay.
    let advice = |flags: &str| -> serde_json::Value {
        let text = stdout(&format!("advise --rule sgd --lr 0.1 --to-delay 31 --schedule random --json {flags}"));
        serde_json::from_str(&text).unwrap()
    };
    let report = advice("");
    assert!((report["choices"][0]["lr"].as_f64().unwrap() / (0.05 * (1.0 + 257f64.sqrt()) / 64.0) - 1.0).abs() < 1e-6);
    assert_eq!((report["criterion"].as_str(), report["warnings"].as_array().unwrap().len()), (Some("mean-square"), 0));
    let by_theory = rows("theory --rules sgd --delays 31 --schedule random");
    let threshold = by_theory.iter().find(|row| row["criterion"] == "mean-square").unwrap();
    let gain = number(threshold, "threshold_gain");
    assert_close(report["choices"][0]["threshold_gain"].as_f64().unwrap(), gain);
    let report = advice("--criterion mean");
    assert_close(report["choices"][0]["lr"].as_f64().unwrap(), 0.1 * 63.0 / 2.0);
    assert!(report["warnings"][0].as_str().unwrap().contains("the mean returns long after the variance has left"));
    // A rule that independent delays leave undefined is listed as such.
    let text = stdout("advise --rule shifted --lr 0.1 --schedule iid:uniform:0..=4");
    assert!(
        text.contains("same rule: Not available: one velocity per worker") && text.starts_with("Recommended"),
        "{text}"
    );
    // Every rule with an equation: four gradients averaged without delay keep sgd's threshold.
    let text = stdout("advise --rule rennala:4 --lr 0.1 --from-delay 7 --to-delay 31 --json");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_close(report["from"]["threshold_gain"].as_f64().unwrap(), 2.0);
    assert_eq!(report["choices"][0]["rule"], "rennala:4");
    // sgd at r = 1 has half its threshold left: 2 / (1 + r).
    tauscope("advise --rule sgd --lr 0.1 --to-delay 1 --relative-variance 1").assert().success().stdout(
        contains("warning: Your recipe is already limited by gradient noise")
            .and(contains("1 in mean square, 50 % of the 2 of its mean")),
    );
}

#[test]
fn advice_takes_a_trace_as_its_histogram_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("trace.csv"), "0\n2\n1\n1\n").unwrap();
    std::fs::write(folder.path().join("pmf.csv"), "delay,count\n0,1\n1,2\n2,1\n").unwrap();
    let advice = |schedule: &str| {
        let mut command = tauscope("advise --rule sgd --lr 0.1 --json --schedule");
        let output = command.arg(schedule).current_dir(folder.path()).assert().success().get_output().clone();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let (trace, pmf) = (advice("trace:trace.csv"), advice("iid:pmf.csv"));
    assert_eq!(trace["choices"], pmf["choices"]);
    assert!(trace["notes"][0].as_str().unwrap().contains("as if they were drawn independently"));
    assert!(!pmf["notes"].to_string().contains("recorded delays"));
}

#[test]
fn advice_for_a_curvature_is_half_the_threshold_and_adam_is_an_average_of_gradients() {
    let report = |flags: &str| -> serde_json::Value {
        serde_json::from_str(&stdout(&format!("advise --json --to-delay 1 {flags}"))).unwrap()
    };
    // Sgd's threshold gain is 1 at a delay of 1.
    let best = &report("--rule sgd --momentum 0 --lambda 4")["recommendation"];
    assert_close(best["lr"].as_f64().unwrap(), 0.125);
    assert_close(best["share_of_threshold"].as_f64().unwrap(), 0.5);
    // Of Adam with beta1 = 0.9: 2 (1 + 0.9) / (1 - 0.9) = 38 without delay, 1 with or without momentum after it.
    let adam = report("--rule adam --lr 0.19");
    let lrs: Vec<f64> = (0..2).map(|index| adam["choices"][index]["lr"].as_f64().unwrap()).collect();
    lrs.iter().for_each(|lr| assert_close(*lr, 0.19 / 38.0));
    assert!(adam["notes"][0].as_str().unwrap().contains("This assumes that the second moment changes little"));
    // What remains of AdamW's 38 at one late update, by rule and beta1; nadamw's by nesterov without dampening.
    let adamw = report("--rule adamw --lr 0.001");
    let rows = adamw["tolerances"].as_array().unwrap();
    let of = |rule: &str, beta1: f64| rows.iter().find(|row| row["rule"] == rule && row["beta1"] == beta1).unwrap();
    for beta1 in [0.0, 0.5, 0.9, 0.95, 0.99] {
        let row = of("adamw", beta1);
        assert_close(row["threshold_gain"].as_f64().unwrap(), 1.0);
        assert_close(row["share_kept"].as_f64().unwrap(), 1.0 / 38.0);
        assert_close(row["lr"].as_f64().unwrap(), 0.001 / 38.0);
    }
    let nesterov = self::rows("theory --rules nesterov --momentum 0.9 --delays 1");
    assert_close(of("nadamw", 0.9)["threshold_gain"].as_f64().unwrap(), 10.0 * number(&nesterov[0], "threshold_gain"));
    // The best of the weights that are tried, by theory of each.
    let ahead = |beta1: f64| {
        let best = |row: &&serde_json::Value| {
            row["rule"].as_str().unwrap().starts_with("adamw+extrapolate=") && row["beta1"] == beta1
        };
        let row = rows.iter().find(best).unwrap();
        (row["rule"].as_str().unwrap().to_owned(), row["threshold_gain"].as_f64().unwrap())
    };
    for beta1 in ["0.9", "0.95"] {
        let (rule, gain) = ahead(beta1.parse().unwrap());
        let of_weight = |weight: &str| {
            let command = format!("theory --rules adamw+extrapolate={weight} --momentum {beta1} --delays 1");
            number(&self::rows(&command)[0], "threshold_gain")
        };
        let most = ["0.25", "0.5", "1", "2", "4", "8"].map(of_weight).into_iter().fold(0.0, f64::max);
        assert_close(gain, most);
        assert_close(gain, of_weight(rule.split_once('=').unwrap().1));
        assert!(gain > 1.0, "{rule}: {gain}");
    }
    // Around nadam N is of degree 2: roots of the written-out polynomial, by NumPy, at A = 1 and delays 0 to 8.
    let table =
        self::rows("theory --rules nadam+extrapolate=1,nadamw+extrapolate=1 --momentum 0.9 --delays 0,1,2,3,4,8");
    let expected = [4.524, 3.450, 1.566, 0.7102, 0.4365, 0.1736];
    for (row, expected) in table.iter().zip([expected; 2].concat()) {
        assert!((number(row, "threshold_gain") / expected - 1.0).abs() < 5e-4, "{row:?}");
    }
    let ahead = rows.iter().find(|row| row["rule"] == "nadamw+extrapolate=0.5" && row["beta1"] == 0.9).unwrap();
    assert!((ahead["threshold_gain"].as_f64().unwrap() / 3.864 - 1.0).abs() < 5e-4, "{ahead}");
    assert!(report("--rule sgd --lr 0.1")["tolerances"].is_null(), "of rules of Adam's kind alone");
    let text = stdout("advise --rule adamw --lr 0.001 --to-delay 1");
    assert!(text.contains("Of the learning rates that your recipe tolerates") && text.contains("nadamw"), "{text}");
    let held = report("--rule sgd --lr 1 --lambda 4")["warnings"][0].as_str().unwrap().to_owned();
    assert!(held.contains("does not keep a minimum of this curvature: its learning rate is 200 % of"), "{held}");
}

#[test]
fn advice_takes_measured_thresholds_where_a_folder_has_them() {
    use crate::folders::threshold_row;
    use tauscope::table::{ThresholdRow, write_csv};
    let row = |rule: &str, delay: u32, lr: f64| ThresholdRow {
        rule: rule.into(),
        delay: Some(delay),
        lr_threshold: Some(lr),
        lambda_max: 2.0,
        ..threshold_row()
    };
    let batch = |row: ThresholdRow| ThresholdRow { batch: "16".into(), criterion: "mean-square".into(), ..row };
    let advice = |rows: &[ThresholdRow], flags: &str| {
        let folder = tempfile::tempdir().unwrap();
        write_csv(&folder.path().join("thresholds.csv"), rows).unwrap();
        tauscope(&format!("advise --rule sgd --to-delay 4 --json {flags} --folder")).arg(folder.path()).assert()
    };
    let report = |rows: &[ThresholdRow], flags: &str| -> serde_json::Value {
        serde_json::from_slice(&advice(rows, flags).success().get_output().stdout).unwrap()
    };
    // Measured without delay and after it; shifted momentum is left to theory.
    let full = report(&[row("sgd", 0, 0.9), row("sgd", 4, 0.15)], "--lr 0.3");
    assert_close(full["choices"][0]["lr"].as_f64().unwrap(), 0.3 * 0.15 / 0.9);
    assert_close(full["from"]["share_of_threshold"].as_f64().unwrap(), 1.0 / 3.0);
    let sources: Vec<&str> = (0..3).map(|index| full["choices"][index]["threshold_from"].as_str().unwrap()).collect();
    assert_eq!(sources, ["measured", "theory", "theory"]);
    // Under minibatches nothing is left to theory.
    let noisy = report(&[batch(row("sgd", 0, 0.5)), batch(row("sgd", 4, 0.1))], "");
    assert_eq!(noisy["criterion"], "mean-square");
    assert_close(noisy["recommendation"]["lr"].as_f64().unwrap(), 0.05);
    assert!(noisy["choices"][1]["cost"].as_str().unwrap().contains("no measured threshold of heavy-ball m=0.9 ema"));
    advice(&[batch(row("sgd", 4, 0.1))], "")
        .code(2)
        .stderr(contains("no measured threshold of sgd under round-robin at delay 0"));
    advice(&[row("sgd", 0, 0.9), batch(row("sgd", 4, 0.1))], "")
        .code(2)
        .stderr(contains("accepted: a sweep of one batch"));
}

#[test]
fn a_long_geometric_law_is_that_of_synchronous_momentum() {
    // P = (1-q) z/(z-q): heavy-ball of momentum q whose gain is scaled by 1-q, 2 (1+q)/(1-q).
    let table = rows("theory --rules sgd --schedule iid:geometric:0.99 --relative-variance 0,0.5");
    assert_close(number(&table[0], "threshold_gain"), 2.0 * 1.99 / 0.01);
    assert_close(number(&table[0], "effective_gain"), number(&table[0], "threshold_gain"));
    assert!(
        (number(&table[1], "threshold_gain") / 0.141_752_780_818 - 1.0).abs() < 1e-9,
        "by the recursion of 3900 rounds"
    );
}

#[test]
fn a_rule_whose_drift_depends_on_the_gradient_has_no_effective_gain() {
    let table = rows("theory --rules clipped,dc-asgd,nesterov --delays 3 --momentum 0.9 --dampening 0.9");
    assert_eq!([&table[0]["effective_gain"], &table[1]["effective_gain"]], ["", ""]);
    assert_close(number(&table[2], "effective_gain"), 1.9 * number(&table[2], "threshold_gain"));
}

#[test]
fn every_rule_with_an_equation_has_a_row() {
    let rules = tauscope::rule::names_with_equation();
    let table = rows(&format!("theory --rules {} --delays 1 --momentum 0.5", rules.join(",")));
    assert_eq!(table.len(), rules.len());
    for (row, rule) in table.iter().zip(rules) {
        assert_eq!(row["rule"].split(':').next(), Some(rule));
        assert!(number(row, "threshold_gain") > 0.0, "{row:?}");
    }
    // Gradients divided by their age bear twice the learning rate at a delay of 2, and move the weights as far.
    let table = rows("theory --rules heavy-ball,staleness-scaled --delays 2 --momentum 0.5");
    assert_close(number(&table[1], "threshold_gain"), 2.0 * number(&table[0], "threshold_gain"));
    assert_close(number(&table[1], "effective_gain"), number(&table[0], "effective_gain"));
}

/// The polynomial `(z - 1 + shrink)(z - m) z^tau + K N(z)` by its companion matrix, and the gain at which its largest root is 1, by
/// bisection: no line in common with the search of the crate.
fn gain_by_roots(numerator: [f64; 2], m: f64, shrink: f64, tau: usize) -> f64 {
    use nalgebra::DMatrix;
    let [high, low] = numerator;
    let radius = |gain: f64| {
        // Coefficients from the highest power on, the first of them 1.
        let mut c = vec![0.0; tau + 3];
        (c[0], c[1], c[2]) = (1.0, -(m + 1.0 - shrink), m * (1.0 - shrink));
        c[tau + 1] += gain * high;
        c[tau + 2] += gain * low;
        let size = tau + 2;
        let companion = DMatrix::from_fn(size, size, |i, j| match (i, j) {
            (0, j) => -c[j + 1],
            (i, j) if i == j + 1 => 1.0,
            _ => 0.0,
        });
        companion.complex_eigenvalues().iter().map(|root| root.norm()).fold(0.0, f64::max)
    };
    let (mut low, mut high) = (1e-3, 1e-3);
    while radius(high) < 1.0 {
        high *= 1.05;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if radius(middle) < 1.0 { low = middle } else { high = middle }
    }
    low
}

#[test]
fn adam_has_the_thresholds_of_the_roots_of_its_polynomial() {
    let command =
        "theory --rules adam,nadam,adamw --delays 0,1,2,3,4 --momentum 0.9,0.95 --decoupled-decay 0.02 --dampening 0";
    let assert = tauscope(command).assert().success().stderr(contains("as if the second moment stood still"));
    drop(assert);
    let rows = rows(command);
    assert_eq!(rows.len(), 3 * 2 * 5, "dampening has no meaning for them");
    for row in &rows {
        let (m, tau) = (number(row, "momentum"), number(row, "delay") as usize);
        let (numerator, shrink) = match row["rule"].as_str() {
            "nadam:0.999" => ([(1.0 - m) * (1.0 + m), -(1.0 - m) * m], 0.0),
            "adamw:0.999" => ([1.0 - m, 0.0], 0.02),
            _ => ([1.0 - m, 0.0], 0.0),
        };
        let expected = gain_by_roots(numerator, m, shrink, tau);
        let found = number(row, "threshold_gain");
        assert!((found / expected - 1.0).abs() < 1e-6, "{row:?}: {expected}");
        assert_close(number(row, "effective_gain"), found);
    }
    let adam: Vec<f64> = rows[..5].iter().map(|row| number(row, "threshold_gain")).collect();
    for (found, told) in adam.iter().zip([38.0, 1.0, 0.5125, 0.3478, 0.265]) {
        assert!((found / told - 1.0).abs() < 1e-3, "{adam:?}");
    }
}
