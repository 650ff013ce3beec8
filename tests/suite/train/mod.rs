//! `tauscope train` as a user runs it: the real binary, its folder, its exit codes; and trainings on devices that fail.

mod checkpoints;
mod devices;
mod generalised;
mod preconditioned;
mod resume;
mod traces;

use crate::common::{ROUNDING_F64, assert_close};
use crate::folders::{self, outcome, refuse, signal};
use assert_cmd::Command;
use clap::Parser;
use std::f64::consts::PI;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tauscope::cli::{self, Cli};
use tauscope::curvature::{self, Effort};
use tauscope::plan::TrainPlan;
use tauscope::problem::network::{FullBatch, Network};
use tauscope::problem::weights::{self, LoadedWeights, Wanted};
use tauscope::table::{Metric, MetricRow, SummaryRow, TrainRow, TrainStatus, read_csv};
use tauscope::train::Training;

/// A network small enough to train in a moment.
const TINY: [&str; 12] =
    ["--samples", "200", "--test", "100", "--model", "mlp:8", "--epochs", "2", "--batch", "32", "--engine", "cpu"];

/// A dozen steps in f64, in another order of summation.
const STEPS_F64: f64 = 1e-11;

/// Sharpness of a small network hovers so closely above the edge of stability.
const EDGE: f64 = 0.05;

fn train(folder: &Path, out: &str, flags: &[&str]) -> Command {
    let mut command = Command::cargo_bin("tauscope").unwrap();
    command.current_dir(folder).args(["train", "--out", out]).args(flags);
    command
}

/// Trains, which must succeed, and returns the rows of runs.csv.
fn rows(folder: &Path, out: &str, flags: &[&str]) -> Vec<TrainRow> {
    train(folder, out, flags).assert().success();
    read_csv(&folder.join(out).join("runs.csv")).unwrap()
}

fn metrics(folder: &Path, out: &str) -> Vec<MetricRow> {
    read_csv(&folder.join(out).join("metrics.csv")).unwrap()
}

/// What the flags say, laid out.
fn training(flags: &[&str]) -> Training {
    let Ok(Cli { command: cli::Command::Train(args) }) = Cli::try_parse_from(["tauscope", "train"].iter().chain(flags))
    else {
        panic!("the flags say train")
    };
    Training::new(TrainPlan::resolve(&[*args]).unwrap()).unwrap()
}

#[test]
fn a_training_writes_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [&TINY[..], &["--rules", "sgd", "--seeds", "2", "--sharpness", "--save-weights"]].concat();
    let rows = rows(folder.path(), "out", &flags);
    let files = |dir: &Path| {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let out = folder.path().join("out");
    let expected = [
        "curves.png",
        "curves.svg",
        "gap.png",
        "gap.svg",
        "metrics.csv",
        "run.json",
        "runs.csv",
        "summary.csv",
        "weights",
    ];
    assert_eq!(files(&out), expected);
    let header = |name: &str| fs::read_to_string(out.join(name)).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(
        header("runs.csv"),
        "run_id,group_id,data,model,loss,samples,test_samples,weight_decay,rule,momentum,dampening,delay,schedule,lr_scaling,lr,\
         lr_scaled,effective_lr,lr_regime,batch,local_steps,local_lr,local_rule,replicas,fresh_share,overlap,\
         overlap_weight,arrivals,stages,stage_delays,stage_lr,stage_momentum,stage_cuts,stashing,backward_delays,seed,epochs,status,diverged_step,train_loss,test_loss,train_accuracy,\
         test_accuracy,untrained,best_test_accuracy,best_epoch,generalisation_gap,loss_gap,distance_from_init,lambda_max,\
         lambda_residual,lambda_predicted,plateau,plateau_ratio,preconditioned_lambda_max,preconditioned_residual,\
         preconditioned_predicted,preconditioned_plateau,preconditioned_ratio,generalised_sharpness,generalised_bound,steps,engine,adapter,reason"
    );
    assert_eq!(header("metrics.csv"), "run_id,step,epoch,metric,value");
    assert_eq!(
        header("summary.csv"),
        "group_id,data,model,loss,samples,test_samples,weight_decay,rule,momentum,dampening,delay,schedule,lr_scaling,lr,\
         lr_scaled,effective_lr,lr_regime,batch,local_steps,local_lr,local_rule,replicas,fresh_share,overlap,\
         overlap_weight,arrivals,stages,stage_delays,stage_lr,stage_momentum,stage_cuts,stashing,backward_delays,epochs,runs,diverged,untrained,test_accuracy,test_accuracy_low,test_accuracy_high,\
         generalisation_gap,generalisation_gap_low,generalisation_gap_high,test_loss,test_loss_low,test_loss_high,lambda_max,\
         lambda_max_low,lambda_max_high,lambda_predicted,engine,adapter"
    );
    // At delay 0 no scaling changes anything: three groups of two seeds, not four.
    let told: Vec<(Option<u32>, &str, u64)> =
        rows.iter().map(|row| (row.delay, row.lr_scaling.as_str(), row.seed)).collect();
    let groups = [(Some(0), "none"), (Some(31), "none"), (Some(31), "preserve")];
    assert_eq!(told, groups.map(|(delay, scaling)| [(delay, scaling, 0), (delay, scaling, 1)]).concat());
    let mut weights: Vec<String> = rows.iter().map(|row| format!("{}.safetensors", row.run_id)).collect();
    weights.sort();
    assert_eq!(files(&out.join("weights")), weights);
    let seen = metrics(folder.path(), "out");
    for row in &rows {
        assert_eq!((row.status, row.steps, row.samples, row.test_samples), (TrainStatus::Finished, 2 * 6, 200, 100));
        let gain = 2.0 * (PI / (2.0 * (2.0 * f64::from(row.delay.unwrap()) + 1.0))).sin();
        let scaled = if row.lr_scaling == "preserve" { 0.1 * gain / 2.0 } else { 0.1 };
        assert_close("scaled", &[row.lr_scaled, row.lambda_predicted.unwrap()], &[scaled, gain / scaled], 1e-9);
        let own = |metric: Metric| seen.iter().filter(move |one| one.run_id == row.run_id && one.metric == metric);
        assert_eq!(own(Metric::TestAccuracy).map(|one| one.epoch).collect::<Vec<_>>(), [0.0, 1.0, 2.0]);
        assert_eq!(own(Metric::Objective).count(), 2);
        assert_eq!(own(Metric::TestLoss).next_back().map(|one| one.value), row.test_loss);
        assert_eq!(own(Metric::LambdaMax).map(|one| Some(one.value)).collect::<Vec<_>>(), [row.lambda_max]);
        assert_eq!(row.generalisation_gap, Some(row.train_accuracy.unwrap() - row.test_accuracy.unwrap()));
    }
    let summary: Vec<SummaryRow> = read_csv(&out.join("summary.csv")).unwrap();
    assert_eq!(summary.len(), 3);
    // Of two values the interval by Student's t is 12.706 / sqrt(2) deviations, |a - b| / sqrt(2), on either side.
    let (a, b) = (rows[0].test_loss.unwrap(), rows[1].test_loss.unwrap());
    let (mean, half) = (0.5 * (a + b), 12.706_204_7 * 0.5 * (a - b).abs());
    let group = &summary[0];
    let ends = [group.test_loss.unwrap(), group.test_loss_low.unwrap(), group.test_loss_high.unwrap()];
    assert_close("interval", &ends, &[mean, mean - half, mean + half], 1e-8);
    let run: serde_json::Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!((&run["runs"], &run["diverged"], &run["config_steps"]), (&6.into(), &0.into(), &72.into()));
    assert!(
        run["divergence"].as_str().unwrap().contains("1e4") && run["lambda_max"].as_str().unwrap().contains("Lanczos")
    );
    assert_eq!(run["plan"]["task"]["data"], "digits");
}

#[test]
fn the_same_plan_gives_the_same_bytes_and_a_run_alone_the_same_row() {
    let folder = tempfile::tempdir().unwrap();
    let track = ["--track", "sharpness", "--track-every", "4"];
    let flags = [&TINY[..], &track, &["--rules", "sgd,shifted", "--delays", "0,3", "--seeds", "2"]].concat();
    rows(folder.path(), "one", &flags);
    rows(folder.path(), "two", &flags);
    let files =
        ["runs.csv", "metrics.csv", "summary.csv", "curves.svg", "curves.png", "gap.svg", "gap.png", "sharpness.svg"];
    let read = |out: &str, name: &str| fs::read_to_string(folder.path().join(out).join(name)).unwrap_or_default();
    let bytes = |out: &str, name: &str| fs::read(folder.path().join(out).join(name)).unwrap();
    for name in files {
        assert!(bytes("one", name) == bytes("two", name), "{name}");
    }
    let own =
        ["--rules", "shifted", "--dampening", "ema", "--delays", "3", "--seeds", "1..=1", "--lr-scaling", "preserve"];
    let alone = rows(folder.path(), "alone", &[&TINY[..], &track, &own].concat());
    assert_eq!(alone.len(), 1);
    for name in ["runs.csv", "metrics.csv"] {
        let (whole, part) = (read("one", name), read("alone", name));
        assert!(part.lines().count() > 1);
        for line in part.lines() {
            assert!(whole.lines().any(|other| other == line), "{name}: {line}");
        }
    }
    // A scaling that changes nothing has one name, whoever asks for it.
    let synchronous = ["--delays", "0", "--seeds", "1", "--lr-scaling", "preserve", "--rules", "sgd"];
    let alone = rows(folder.path(), "synchronous", &[&TINY[..], &track, &synchronous].concat());
    assert!(read("one", "runs.csv").contains(&alone[0].run_id) && alone[0].lr_scaling == "none");
}

/// Delayed heavy-ball as it is written down: v = m v + g(x[t-tau]), x[t+1] = x[t] - lr[t] v. Objectives, and where it ends.
fn by_hand(network: &Network, start: &[f64], delay: usize, momentum: f64, rates: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut batch = FullBatch::new(network);
    let mut visited = vec![start.to_vec()];
    let (mut velocity, mut gradient) = (vec![0.0; start.len()], vec![0.0; start.len()]);
    let mut objectives = Vec::new();
    for (t, lr) in rates.iter().enumerate() {
        objectives.push(batch.loss_and_gradient(&visited[t.saturating_sub(delay)], &mut gradient));
        let mut x = visited[t].clone();
        for ((x, v), g) in x.iter_mut().zip(&mut velocity).zip(&gradient) {
            *v = momentum * *v + g;
            *x -= lr * *v;
        }
        visited.push(x);
    }
    (objectives, visited.pop().unwrap())
}

#[test]
fn a_training_is_what_its_formula_says_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let problem = ["--samples", "60", "--test", "40", "--model", "mlp:5", "--weight-decay", "0.01", "--batch", "full"];
    let recipe =
        ["--rules", "heavy-ball", "--momentum", "0.5", "--dampening", "0", "--delays", "2", "--seeds", "4..=4"];
    let regime = ["--lr", "0.3", "--lr-scaling", "inverse-delay", "--regime", "steps:0.5@6/9", "--warm-up", "4"];
    let engine = ["--epochs", "12", "--engine", "cpu", "--precision", "f64", "--sharpness", "all", "--save-weights"];
    let flags = [&problem[..], &recipe, &regime, &engine].concat();
    let row = rows(folder.path(), "out", &flags).remove(0);

    let training = training(&flags);
    let network = training.network();
    let start = network.model.init(4);
    let rates: Vec<f64> = (0..12)
        .map(|epoch: i32| {
            let warmth = f64::from((epoch + 1).min(4)) / 4.0;
            let factor = if epoch < 6 {
                1.0
            } else if epoch < 9 {
                0.5
            } else {
                0.25
            };
            0.1 * warmth * factor
        })
        .collect();
    let (objectives, end) = by_hand(network, &start, 2, 0.5, &rates);

    let seen = metrics(folder.path(), "out");
    let of = |metric: Metric| seen.iter().filter(|row| row.metric == metric).map(|row| row.value).collect::<Vec<_>>();
    assert_close("objective", &of(Metric::Objective), &objectives, STEPS_F64);
    let moved = end.iter().zip(&start).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    assert_close("distance", &[row.distance_from_init.unwrap()], &[moved], STEPS_F64);
    // Without its weight decay the objective is the loss; of the test samples too.
    let loss_at = |data: &tauscope::data::Dataset, weights: &[f64]| {
        let other = Network { weight_decay: 0.0, data: data.clone(), ..network.clone() };
        FullBatch::new(&other).loss_and_gradient(weights, &mut vec![0.0; weights.len()])
    };
    let (train, test) = (&network.data, network.test.as_ref().unwrap());
    assert_close("train_loss", &[row.train_loss.unwrap()], &[loss_at(train, &end)], STEPS_F64);
    assert_close("test_loss", &[row.test_loss.unwrap()], &[loss_at(test, &end)], STEPS_F64);
    assert_close("at the start", &[of(Metric::TestLoss)[0]], &[loss_at(test, &start)], STEPS_F64);
    let mut batch = FullBatch::new(network);
    let extremes =
        curvature::extremes(end.len(), Effort::default(), |v, hv| batch.hessian_product(&end, v, hv)).unwrap();
    assert_close("lambda_max", &[row.lambda_max.unwrap()], &[extremes.largest.value], 1e-6);
    assert!(row.lambda_residual.unwrap() <= 1e-3 * row.lambda_max.unwrap(), "{:?}", row.lambda_residual);
    assert_eq!(row.lambda_predicted, None, "the learning rate does not stay what it is");

    // What was kept is where it ended, and another training can start from there.
    let kept = format!("out/weights/{}.safetensors", row.run_id);
    let again = [&problem[..], &recipe, &engine, &["--init", &kept, "--lr", "1e-300", "--lr-scaling", "none"]].concat();
    let again = rows(folder.path(), "again", &again).remove(0);
    assert_close("loss", &[again.train_loss.unwrap()], &[row.train_loss.unwrap()], ROUNDING_F64);
    assert_eq!(again.distance_from_init, Some(0.0));
}

/// The first momentum buffer of PyTorch is the gradient itself, whatever the dampening.
#[test]
fn the_first_step_of_a_training_is_undamped_for_every_worker() {
    let folder = tempfile::tempdir().unwrap();
    let problem = ["--samples", "64", "--test", "20", "--batch", "full", "--model", "mlp:2", "--weight-decay", "0"];
    let grid = ["--rules", "sgd,heavy-ball,shifted", "--momentum", "0.9", "--dampening", "0.9", "--seeds", "1"];
    let more = ["--delays", "0,3", "--lr-scaling", "none", "--lr", "0.5", "--engine", "cpu", "--precision", "f64"];
    let moved = |out, epochs| -> Vec<f64> {
        let flags = [&problem[..], &grid, &more, &["--epochs", epochs]].concat();
        rows(folder.path(), out, &flags).iter().map(|row| row.distance_from_init.unwrap()).collect()
    };
    // An epoch of a full batch is one step. Rows: rule by rule, delay by delay.
    let first = moved("first", "1");
    assert_close("first steps", &first, &[first[0]; 6], ROUNDING_F64);
    // Four workers read the same weights: the mean of equal gradients is their gradient, whoever keeps it.
    let fourth = moved("fourth", "4");
    assert_close("four steps at delay 3", &[fourth[3], fourth[5]], &[fourth[1]; 2], ROUNDING_F64);
}

#[test]
fn training_goes_to_the_edge_of_stability_under_delay_too() {
    let folder = tempfile::tempdir().unwrap();
    let problem = ["--samples", "100", "--batch", "full", "--model", "mlp:8", "--loss", "mse", "--weight-decay", "0"];
    let course = ["--epochs", "2000", "--evaluate-every", "1000", "--track", "sharpness", "--track-every", "50"];
    let grid = ["--delays", "0,2", "--lr", "0.3", "--lr-scaling", "preserve", "--seeds", "1", "--engine", "cpu"];
    let rows = rows(folder.path(), "out", &[&problem[..], &course, &grid].concat());
    // K* of delays 0 and 2 is 2 and 2 sin(pi/10); preserving the minima, both are expected at the same sharpness, 2 / 0.3.
    for row in &rows {
        assert_close("predicted", &[row.lambda_predicted.unwrap()], &[2.0 / 0.3], 1e-9);
        assert_close("plateau", &[row.plateau.unwrap()], &[2.0 / 0.3], EDGE);
    }
    assert_close("lr", &[rows[1].lr_scaled], &[0.3 * (PI / 10.0).sin()], 1e-9);
}

#[test]
fn images_are_augmented_and_norms_keep_their_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let model = "layers:conv(2,3,pad=1),bn,relu,max(2),dense";
    let flags = [&TINY[..4], &["--model", model, "--epochs", "2", "--batch", "32", "--engine", "cpu"]].concat();
    let flags = [&flags[..], &["--delays", "3", "--lr-scaling", "none", "--seeds", "1", "--save-weights"]].concat();
    let plain = rows(folder.path(), "plain", &flags).remove(0);
    let changed = rows(folder.path(), "changed", &[&flags[..], &["--flip", "--crop", "1"]].concat()).remove(0);
    assert!(plain.run_id != changed.run_id && plain.train_loss != changed.train_loss);
    let at_the_start = |out: &str| {
        let seen = metrics(folder.path(), out);
        seen.into_iter().take_while(|row| row.step == 0).map(|row| row.value).collect::<Vec<_>>()
    };
    assert_eq!(at_the_start("plain"), at_the_start("changed"), "evaluations see the images as they are");
    let training = training(&flags);
    let file = folder.path().join(format!("plain/weights/{}.safetensors", plain.run_id));
    let loaded = weights::load(&training.problem, &file, None, Wanted::WithStatistics).unwrap();
    let LoadedWeights { parameters: weights, statistics, .. } = loaded;
    let moved = weights.iter().zip(training.start(0).iter()).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    assert_close("distance", &[plain.distance_from_init.unwrap()], &[moved], ROUNDING_F64);
    let fresh = training.network().model.fresh_statistics();
    assert!(statistics.len() == 4 && statistics.iter().zip(&fresh).all(|(now, then)| now != then), "{statistics:?}");
}

#[test]
fn a_run_that_diverges_is_a_result_and_leaves_the_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [&TINY[..], &["--delays", "3", "--lr-scaling", "none", "--seeds", "2", "--sharpness"]].concat();
    let calm = rows(folder.path(), "calm", &[&flags[..], &["--lr", "0.1", "--loss", "mse"]].concat());
    let both = rows(folder.path(), "both", &[&flags[..], &["--lr", "0.1,1e6", "--loss", "mse"]].concat());
    assert_eq!(calm[..], both[..2]);
    for row in &both[2..] {
        assert_eq!(row.status, TrainStatus::Diverged);
        assert_eq!(row.diverged_step, Some(row.steps));
        assert!(row.steps <= 6, "within the first epoch, not after {} steps", row.steps);
        let known = [row.train_loss, row.test_loss, row.train_accuracy, row.best_test_accuracy];
        assert!(known.iter().all(|value| value.unwrap().is_finite()), "its last finite figures are those of the start");
        assert_eq!((row.best_epoch, row.lambda_max, row.distance_from_init), (Some(0), None, None));
    }
    let summary: Vec<SummaryRow> = read_csv(&folder.path().join("both/summary.csv")).unwrap();
    assert_eq!((summary[1].runs, summary[1].diverged, summary[1].test_accuracy), (2, 2, None));
    let svg = fs::read_to_string(folder.path().join("both/gap.svg")).unwrap();
    assert!(svg.contains("2 of 2 diverged") && !svg.contains("NaN"), "the picture says so");
}

#[test]
fn pictures_are_redrawn_from_the_tables_alone() {
    let folder = tempfile::tempdir().unwrap();
    let track = ["--track", "sharpness", "--track-every", "3", "--seeds", "2", "--rules", "sgd"];
    let rows = rows(folder.path(), "out", &[&TINY[..], &track].concat());
    assert!(rows.iter().all(|row| {
        let ratio = row.plateau.unwrap() / row.lambda_predicted.unwrap();
        row.plateau_ratio == Some(ratio)
    }));
    let seen = metrics(folder.path(), "out");
    let steps = seen.iter().filter(|one| one.run_id == rows[0].run_id && one.metric == Metric::LambdaMax);
    assert_eq!(steps.map(|one| one.step).collect::<Vec<_>>(), [0, 3, 6, 9, 12]);
    let out = folder.path().join("out");
    let names = ["curves.svg", "curves.png", "gap.svg", "gap.png", "sharpness.svg", "sharpness.png"];
    let drawn = names.map(|name| fs::read(out.join(name)).unwrap());
    names.iter().for_each(|name| fs::remove_file(out.join(name)).unwrap());
    fs::remove_file(out.join("run.json")).unwrap();
    let printed: String = names.iter().map(|name| format!("{}\n", out.join(name).display())).collect();
    let plot = || Command::cargo_bin("tauscope").unwrap().arg("plot").arg(&out).assert();
    plot().success().stdout(printed);
    assert!(names.map(|name| fs::read(out.join(name)).unwrap()) == drawn);
    let svg = String::from_utf8(drawn[0].clone()).unwrap();
    for expected in ["delay 31, preserve", "training loss", "test accuracy (%)", "mlp:8 tanh"] {
        assert!(svg.contains(expected), "{expected}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "every coordinate is a number");

    let text = fs::read_to_string(out.join("metrics.csv")).unwrap();
    fs::write(out.join("metrics.csv"), text.replacen("train_loss", "loss", 1)).unwrap();
    let error = String::from_utf8(plot().code(2).get_output().stderr.clone()).unwrap();
    assert!(error.contains("metrics.csv, line 2") && error.contains("`loss`, expected one of objective"), "{error}");
}

#[test]
fn dry_run_and_events() {
    let folder = tempfile::tempdir().unwrap();
    let grid =
        ["--rules", "sgd", "--model", "mlp:8", "--batch", "32,full", "--seeds", "2", "--engine", "cpu", "--dry-run"];
    train(folder.path(), "out", &grid).assert().success();
    let report = train(folder.path(), "out", &[&grid[..], &["--json"]].concat()).assert();
    let report: serde_json::Value = serde_json::from_slice(&report.success().get_output().stdout).unwrap();
    assert_eq!((&report["groups"], &report["runs"]), (&6.into(), &12.into()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");

    let flags = [&TINY[..], &["--rules", "sgd", "--json"]].concat();
    let output = train(folder.path(), "out", &flags).assert().success().get_output().clone();
    let events: Vec<serde_json::Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!(named("start").len() + named("run").len() + named("progress").len() + named("end").len(), events.len());
    let (start, end) = (&events[0], &events[events.len() - 1]);
    assert_eq!((&start["runs"], &start["groups"], &end["runs"]), (&9.into(), &3.into(), &9.into()));
    assert_eq!(named("run").len(), 9);
    assert_eq!(named("progress").last().unwrap()["runs_done"], 9);
}

#[test]
fn the_usual_grid_sets_a_remedy_beside_plain_descent_and_any_other_has_that_alone() {
    let rules = |flags: &[&str]| {
        let training = training(&[&TINY[..], flags].concat());
        let mut names: Vec<&str> = training.plan.groups.iter().map(|group| group.rule.definition().name).collect();
        names.dedup();
        names.join(",")
    };
    for usual in [&[][..], &["--delays", "0,31"], &["--lr", "0.1", "--seeds", "1"], &["--schedule", "round-robin"]] {
        assert_eq!(rules(usual), "sgd,mixing", "{usual:?}");
    }
    let others = [
        &["--rules", "sgd"][..],
        &["--delays", "0,4"],
        &["--lr", "0.1,0.2"],
        &["--lr-scaling", "none"],
        &["--schedule", "random"],
        &["--clip", "1"],
        &["--local-steps", "2", "--local-lr", "0.1"],
    ];
    for other in others {
        assert_eq!(rules(other), "sgd", "{other:?}");
    }
}

#[test]
fn bad_input_is_one_clear_error_with_exit_code_2_and_nothing_written() {
    let folder = tempfile::tempdir().unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--model", "quadratic:1"], &["--model quadratic:1", "no data", "layers:"]),
        (&["--model", "lenet"], &["--model lenet", "window of 5 x 5"]),
        (&["--lr", "0"], &["--lr", "'0'", "above 0"]),
        (&["--lr", "0.1,0.1"], &["--lr", "0.1", "twice"]),
        (&["--lr-scaling", "half"], &["--lr-scaling", "half", "inverse-delay"]),
        (&["--lr-scaling", "none,none"], &["--lr-scaling", "none", "twice"]),
        (&["--rules", "adam", "--lr-scaling", "preserve"], &["--lr-scaling preserve", "adam", "inverse-delay"]),
        (&["--rules", "adam", "--lr-reference", "sgd"], &["--lr-scaling preserve", "adam", "inverse-delay"]),
        (
            &["--schedule", "normal", "--lr-scaling", "none,preserve"],
            &["--lr-scaling preserve", "normal", "inverse-delay"],
        ),
        (&["--rules", "dc-asgd-exact"], &["--rules dc-asgd-exact", "Hessian"]),
        (&["--lr-reference", "sgd", "--lr-scaling", "none"], &["--lr-reference", "preserve"]),
        (&["--rules", "shifted", "--schedule", "iid:geometric", "--lr-scaling", "none"], &["shifted", "no workers"]),
        (&["--batch", "1439"], &["--batch 1439", "1 to 1438"]),
        (&["--batch", "0"], &["--batch", "'full'"]),
        (&["--samples", "1439"], &["--samples 1439", "1438"]),
        (&["--samples", "0"], &["--samples", "'all'"]),
        (&["--test", "0"], &["--test", "0"]),
        (&["--test", "1797"], &["--test 1797", "1796"]),
        (&["--seeds", "0"], &["--seeds", "'0'", "a range"]),
        (&["--seeds", "1,1"], &["--seeds", "1", "twice"]),
        (&["--epochs", "0"], &["--epochs", "0"]),
        (&["--regime", "linear"], &["--regime", "linear", "cosine"]),
        (&["--regime", "steps:0.1@200"], &["--regime steps:0.1@200", "below 200"]),
        (&["--regime", "cosine:after-warm-up"], &["--regime cosine:after-warm-up", "--warm-up 0", "at least 1 epoch"]),
        (&["--regime", "steps:0.1@190:after-warm-up", "--warm-up", "20"], &["after epoch 190 of 180", "below 180"]),
        (&["--warm-up", "201"], &["--warm-up 201", "0 to 200"]),
        (&["--evaluate-every", "0"], &["--evaluate-every", "0"]),
        (&["--weight-decay", "-1"], &["--weight-decay -1", "positive"]),
        (&["--crop", "8"], &["--crop", "8", "accepted: 0 to 7"]),
        (&["--flip", "--batch", "full"], &["--flip", "--batch NUMBER"]),
        (&["--sharpness", "0"], &["--sharpness", "'all'"]),
        (&["--track", "loss"], &["--track", "loss", "sharpness"]),
        (&["--track-every", "5"], &["--track"]),
        (&["--init", "missing.safetensors"], &["--init missing.safetensors", "No such file"]),
        (&["--data", "no-such-data"], &["--data", "no-such-data", "digits"]),
        (&["--precision", "f64", "--engine", "gpu"], &["--precision f64", "--engine cpu"]),
        (&["--delays", "2000000"], &["--delays", "2000000", "1000000"]),
        (&["--resume"], &["--resume"]),
    ];
    for (flags, expected) in cases {
        let mut command = folders::tauscope(folder.path());
        refuse(command.args(["train", "--out", "new"]).args(*flags), expected);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{flags:?} wrote something");
    }
    // A folder that is there stays, unless it is to be replaced.
    let quick = [&TINY[..], &["--quiet", "--seeds", "1", "--delays", "0", "--save-weights"]].concat();
    train(folder.path(), "out", &quick).assert().success();
    train(folder.path(), "out", &quick).assert().code(2);
    train(folder.path(), "out", &[&quick[..], &["--force"]].concat()).assert().success();
    // What a killed training has left is nobody's.
    fs::create_dir_all(folder.path().join("killed.partial/weights")).unwrap();
    fs::write(folder.path().join("killed.partial/lock"), "").unwrap();
    train(folder.path(), "killed", &quick).assert().success();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn what_is_interrupted_leaves_a_checkpoint_and_no_results() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = folders::tauscope(folder.path());
    // Few evaluations: rows of a million epochs would ask the disk for gigabytes.
    command.args(["train", "--out", "out", "--epochs", "1000000", "--evaluate-every", "100000", "--engine", "cpu"]);
    let mut child = command.spawn().unwrap();
    let patience = Instant::now();
    while !folder.path().join("out.partial").exists() {
        assert!(child.try_wait().unwrap().is_none() && patience.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(2));
    }
    signal(&child, "TERM");
    let (code, error) = outcome(&child.wait_with_output().unwrap());
    assert!(code == Some(143) && error.contains("0 of 18 runs") && error.contains("--resume"), "{error}");
    assert!(folder.path().join("out.partial/checkpoint").is_file() && !folder.path().join("out").exists());
}
