//! `tauscope bench` through the binary: what it counts, what it exports, and what it refuses. No speed is judged.

use crate::common::{ROUNDING_F64, STEPS_F32, assert_close};
use crate::folders::{outcome, tauscope};
use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tauscope::data::Dataset;
use tauscope::math::{Activation, Loss};
use tauscope::model::Model;
use tauscope::problem::Network;
use tauscope::problem::network::FullBatch;

/// A workload of a few milliseconds.
const TINY: [&str; 8] = ["--samples", "50", "--slots", "3", "--lanes", "5", "--steps", "7"];

/// Instructions of another architecture.
const ELSEWHERE: &str = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };

/// Those steps alone are timed, however short that is.
const SHORT: [&str; 2] = ["--round-seconds", "0"];

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = tauscope(folder.path()).args(arguments).output().unwrap();
    let (code, error) = outcome(&output);
    (code, String::from_utf8(output.stdout).unwrap(), error)
}

fn step(flags: &[&str]) -> Value {
    let (code, stdout, error) =
        run(&[&["bench", "step", "--rounds", "2", "--json"], &TINY[..], &SHORT, flags].concat());
    assert_eq!(code, Some(0), "{error}");
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn a_round_repeats_its_steps_until_it_is_long_enough() {
    let flags = ["bench", "step", "--engine", "cpu", "--rounds", "1", "--round-seconds", "0.02", "--json"];
    let (code, stdout, error) = run(&[&flags[..], &["--batch", "12"], &TINY].concat());
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let (steps, rate) = (report["steps"].as_f64().unwrap(), report["config_steps_per_s"].as_f64().unwrap());
    // Seven steps at a time; how long they take on a busy machine is another matter.
    assert!(steps % 7.0 == 0.0 && steps > 7.0 && rate > 0.0, "{report}");
}

#[test]
fn a_report_says_what_ran_and_how_it_is_counted() {
    let report =
        step(&["--engine", "cpu", "--batch", "12", "--model", "mlp:6-4", "--activation", "relu", "--loss", "mse"]);
    let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name} in {report}"));
    let text = |name: &str| report[name].as_str().unwrap_or_else(|| panic!("{name} in {report}")).to_owned();

    // 64-6-4-10 on 12 rows: forward and weight gradients 2 * 2 * 12 * (384 + 24 + 40), backward 2 * 12 * (24 + 40).
    assert_eq!(number("flops_per_config_step"), 21_504.0 + 1_536.0);
    assert_eq!(number("parameters"), 384.0 + 6.0 + 24.0 + 4.0 + 40.0 + 10.0);
    let rate = number("config_steps_per_s");
    assert!(number("config_steps_per_s_min") <= rate && rate <= number("config_steps_per_s_max"));
    assert!(rate > 0.0 && number("peak_gflops") > 0.0 && number("copy_gb_per_s") > 0.0);
    assert_close("gflops", &[number("gflops")], &[rate * 23_040.0 / 1e9], ROUNDING_F64);
    let fraction = number("gflops") / number("peak_gflops");
    assert_close("fraction", &[number("fraction_of_peak")], &[fraction], ROUNDING_F64);
    assert!(number("planned_bytes") >= 5.0 * 3.0 * 468.0 * 4.0 && report["resident_bytes"].is_number());
    assert_eq!([number("lanes"), number("slots"), number("steps"), number("rounds")], [5.0, 3.0, 7.0, 2.0]);
    assert_eq!([text("engine"), text("precision"), text("batch"), text("rule")], ["cpu", "f32", "12", "sgd"]);
    assert_eq!(text("path"), "fused");
    assert_eq!(step(&["--engine", "cpu", "--precision", "f64", "--batch", "12"])["path"], "layered");
    assert!(number("threads") >= 1.0 && !text("commit").is_empty() && !text("adapter").is_empty());
    assert_eq!(text("driver"), "");
}

#[test]
fn steps_are_timed_with_the_instructions_that_are_asked_for() {
    let report = step(&["--engine", "cpu", "--batch", "12", "--instructions", "scalar"]);
    assert!(report["adapter"].as_str().unwrap().ends_with(" scalar"), "{report}");
}

/// The exported file holds data, order, start and outcome, and does not name the model.
#[test]
fn a_perceptron_is_one_model_however_it_is_typed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("outcome");
    for [one, other] in [["mlp:16", "layers:dense(16),tanh,dense"], ["linear", "layers:flatten,dense"]] {
        let outcomes = [one, other].map(|model| {
            let flags = ["--engine", "cpu", "--batch", "12", "--model", model, "--export", file.to_str().unwrap()];
            assert_eq!(step(&flags)["path"], "fused", "{model}");
            let bytes = std::fs::read(&file).unwrap();
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let tensor = |name: &str| (name.to_owned(), tensors.tensor(name).unwrap().data().to_vec());
            tensors.names().into_iter().map(tensor).collect::<BTreeMap<_, _>>()
        });
        assert!(outcomes[0]["weights"].len() > 5 * 640 * 4);
        assert_eq!(outcomes[0], outcomes[1], "{one} and {other}");
    }
}

/// A delayed run in f64, from nothing but the exported file: x_{t+1} = x_t - lr grad f_t(x_{t-2}).
struct Exported {
    network: Network,
    batch: Vec<Vec<usize>>,
    start: Vec<f64>,
    lr: Vec<f64>,
    weights: Vec<f64>,
    loss: Vec<f64>,
}

fn exported(path: &Path) -> Exported {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let f64s = |name: &str| -> Vec<f64> {
        file.tensor(name).unwrap().data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let words = |name: &str| -> Vec<[u8; 4]> {
        file.tensor(name).unwrap().data().chunks_exact(4).map(|b| b.try_into().unwrap()).collect()
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let about = header.metadata().clone().unwrap();
    assert_eq!([&about["widths"], &about["activation"], &about["slots"]], ["64-5-10", "tanh", "3"]);
    let data = Dataset {
        inputs: words("x").into_iter().map(f32::from_le_bytes).collect(),
        labels: words("y").into_iter().map(u32::from_le_bytes).collect(),
        shape: tauscope::math::Shape::vector(64),
        classes: 10,
    };
    assert_eq!(file.tensor("x").unwrap().shape(), [50, 64]);
    let batch = match file.tensor("order") {
        Ok(order) => {
            let rows: Vec<usize> = words("order").into_iter().map(|b| u32::from_le_bytes(b) as usize).collect();
            rows.chunks_exact(order.shape()[1]).map(<[usize]>::to_vec).collect()
        }
        Err(_) => vec![(0..50).collect(); 7],
    };
    let model = Model::mlp(64, &[5], 10, Activation::Tanh);
    let weight_decay = about["weight_decay"].parse().unwrap();
    Exported {
        network: Network::new(model, Loss::Ce, weight_decay, data),
        batch,
        start: f64s("start"),
        lr: f64s("lr"),
        weights: f64s("weights"),
        loss: f64s("loss"),
    }
}

fn check_export(flags: &[&str], tolerance: f64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("workload.safetensors");
    step(&[&["--model", "mlp:5", "--export", path.to_str().unwrap()], flags].concat());
    let Exported { network, batch, start, lr, weights, loss } = exported(&path);
    let (parameters, lanes, steps) = (start.len(), lr.len(), batch.len());
    assert_eq!((parameters, lanes, steps), (network.dimension(), 5, 7));

    let (mut expected, mut expected_loss) = (Vec::new(), vec![0.0; steps * lanes]);
    for (lane, lr) in lr.iter().enumerate() {
        let mut visited = vec![start.clone()];
        for (step, rows) in batch.iter().enumerate() {
            let alone = Network { data: network.data.select(rows), ..network.clone() };
            let mut gradient = vec![0.0; parameters];
            // Three slots: a gradient is two updates old, and at the start as old as there are weights.
            let read = &visited[step.saturating_sub(2)];
            expected_loss[step * lanes + lane] = FullBatch::new(&alone).loss_and_gradient(read, &mut gradient);
            visited.push(visited[step].iter().zip(&gradient).map(|(x, g)| x - lr * g).collect());
        }
        expected.extend(visited.pop().unwrap());
    }
    assert_close("weights", &weights, &expected, tolerance);
    assert_close("loss", &loss, &expected_loss, tolerance);
    // What moved, beside which rounding is larger.
    let moved =
        |weights: &[f64]| -> Vec<f64> { weights.iter().enumerate().map(|(i, x)| x - start[i % parameters]).collect() };
    assert_close("displacements", &moved(&weights), &moved(&expected), 1e3 * tolerance);
}

#[test]
fn exported_weights_are_those_of_a_loop_written_out_by_hand() {
    check_export(&["--engine", "cpu", "--precision", "f64", "--batch", "12"], 1e-12);
    check_export(&["--engine", "cpu", "--precision", "f64", "--batch", "full"], 1e-12);
    check_export(&["--engine", "cpu", "--batch", "50", "--seed", "3", "--weight-decay", "0"], STEPS_F32);
    check_export(&["--engine", "gpu", "--batch", "12"], STEPS_F32);
}

#[test]
fn a_table_is_for_people() {
    let (code, stdout, error) =
        run(&[&["bench", "step", "--engine", "cpu", "--batch", "12", "--rounds", "1"], &TINY[..], &SHORT].concat());
    assert_eq!(code, Some(0), "{error}");
    for part in ["cpu f32 on", "fused", "config-steps/s", "useful", "planned", "sgd at delay 2"] {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
}

#[test]
fn a_flag_that_makes_no_benchmark_is_refused_with_what_would_be_accepted() {
    for (flags, parts) in [
        (&["--lanes", "0"][..], &["--lanes", "0", "accepted: 1 to"][..]),
        (&["--slots", "0"], &["--slots", "0", "accepted: 1 to"]),
        (&["--rounds", "0"], &["--rounds", "accepted: 1 to"]),
        (&["--samples", "50", "--batch", "51"], &["--batch 51", "50 samples", "full"]),
        (&["--samples", "1798"], &["--samples 1798", "1 to 1797"]),
        (&["--model", "vgg"], &["--model", "vgg", "mlp:WIDTHS"]),
        (&["--model", "quadratic:1,2"], &["--model quadratic:1,2", "no model of data"]),
        (&["--model", "lenet"], &["--model lenet", "6 x 4 x 4"]),
        (&["--model", "layers:dense(nobias)", "--export", "x"], &["--export", "layers:dense(nobias)", "mlp:WIDTHS"]),
        (&["--momentum", "0.5"], &["--momentum 0.5", "sgd"]),
        (&["--rule", "heavy-ball", "--momentum", "1"], &["--momentum 1", "less than 1"]),
        (&["--rule", "dc-asgd-exact"], &["--rule dc-asgd-exact", "Hessian"]),
        (&["--weight-decay", "-1"], &["--weight-decay", "-1"]),
        (&["--engine", "gpu", "--precision", "f64"], &["--precision f64", "--engine cpu"]),
        (&["--adapter", "x"], &["--adapter", "--engine gpu"]),
        (&["--engine", "gpu", "--adapter", "no such thing"], &["no such thing"]),
        (&["--instructions", "scalar"], &["--instructions scalar", "--engine cpu"]),
        (&["--engine", "cpu", "--precision", "f64", "--instructions", "scalar"], &["--instructions scalar", "f32"]),
        (&["--engine", "cpu", "--instructions", ELSEWHERE], &["--instructions", ELSEWHERE, "accepted", "scalar"]),
        (&["--lanes", "16777216", "--slots", "1000001"], &["bytes", "accepted"]),
        (
            &["--engine", "cpu", "--lanes", "1", "--steps", "1", "--rounds", "1", "--export", "/no/where"],
            &["/no/where"],
        ),
    ] {
        let (code, stdout, error) = run(&[&["bench", "step", "--json"], flags].concat());
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{flags:?}: {error}");
        for part in parts {
            assert!(error.contains(part), "{flags:?}: '{part}' in {error}");
        }
    }
}

/// The one row whose name contains `only`, beside its report.
fn row(only: &str, flags: &[&str]) -> (Value, Value) {
    let (code, stdout, error) = run(&[&["bench", "--json", "--only", only], flags].concat());
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let [row] = report["kernels"].as_array().unwrap().as_slice() else { panic!("{report}") };
    (row.clone(), report)
}

#[test]
fn kernels_and_whole_networks_are_placed_under_the_roofline() {
    // 2 * 128 * 64 * 32 operations; reads 128 x 64 inputs, weights and biases, writes value and slope.
    let product = [524_288, 128 * 64 + (64 * 32 + 32) + 2 * 128 * 32];
    // 4 * 128 * (64 * 32 + 32 * 10) + 2 * 128 * 32 * 10 operations; reads 128 rows of 64 inputs, their labels and numbers,
    // and weights and biases; writes as many.
    let batch = 128 * (64 + 2);
    let parameters = 64 * 32 + 32 + 32 * 10 + 10;
    let gradient = [1_294_336, batch + 2 * parameters];
    // Of weights and biases: a version, the server's, the minimum and a direction, and the first two written.
    let step = [1_294_336, batch + 6 * parameters];
    let (matmul, network) = ("matmul forward 128 x 64 x 32", "64-32-10, 128 rows");
    for (only, [flops, words], flags, path, word) in [
        (matmul, product, &["--engine", "gpu"][..], None, 4),
        (matmul, product, &["--engine", "cpu", "--precision", "f64"], None, 8),
        (network, gradient, &["--engine", "cpu"], Some("fused"), 4),
        (network, gradient, &["--engine", "cpu", "--precision", "f64"], Some("layered"), 8),
        (network, step, &["--engine", "gpu"], Some("fused"), 4),
    ] {
        let (row, report) = row(only, flags);
        let number = |value: &Value, name: &str| value[name].as_f64().unwrap_or_else(|| panic!("{name} in {value}"));
        let lanes_per_ns = number(&row, "lanes") / (1e3 * number(&row, "microseconds"));
        let (flops, bytes) = (f64::from(flops), f64::from(word * words));
        assert_close("GFLOP/s", &[number(&row, "gflops")], &[flops * lanes_per_ns], ROUNDING_F64);
        assert_close("GB/s", &[number(&row, "gb_per_s")], &[bytes * lanes_per_ns], ROUNDING_F64);
        let of_peak = number(&row, "gflops") / number(&report, "peak_gflops");
        let of_copy = number(&row, "gb_per_s") / number(&report, "copy_gb_per_s");
        assert_close("of peak", &[number(&row, "fraction_of_peak")], &[of_peak], ROUNDING_F64);
        assert_close("of copy", &[number(&row, "fraction_of_copy")], &[of_copy], ROUNDING_F64);
        assert_eq!(row["bound_by"], if of_peak > of_copy { "compute" } else { "memory" });
        assert_eq!([report["engine"].as_str(), row["path"].as_str()], [Some(flags[1]), path], "{row}");
        let clocks = if flags[1] == "gpu" { &["device", "host"][..] } else { &["host"] };
        assert!(clocks.contains(&report["clock"].as_str().unwrap()));
    }
}

/// In f32 the products are parts of one pass on the processor: a row of them would be of what never runs.
#[test]
fn only_what_the_engine_runs_is_timed() {
    let (code, stdout, error) = run(&["bench", "--engine", "cpu", "--only", "matmul"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{error}");
    for part in ["--only matmul", "cpu in f32", "gradient 64-32-10, 128 rows", "step 2410 parameters"] {
        assert!(error.contains(part), "'{part}' in {error}");
    }
    let (code, _, error) = run(&["bench", "--engine", "cpu", "--precision", "f64", "--only", "convolution"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("--only convolution") && error.contains("matmul forward"), "{error}");
    let (update, _) = row("step 2410 parameters", &["--engine", "cpu"]);
    assert!(update["path"].is_null(), "{update}");
}
