//! Muon on late gradients: beside its formula written out over plain matrices, with learning rates and words of its own, and where it
//! has nothing to do.
//!
//! The oracle is in `data/muon.py`: gradients by PyTorch, the update in NumPy, both in float64.

use crate::common::{assert_close, gpu};
use assert_cmd::Command;
use std::path::Path;
use std::sync::Arc;
use tauscope::batch::Sampling;
use tauscope::data::Dataset;
use tauscope::delay::Schedule;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{Engine, Needs, Run, WaveSpec};
use tauscope::math::{Activation, Loss, Shape};
use tauscope::model::Model;
use tauscope::model::layers::Layers;
use tauscope::outer::OuterLoop;
use tauscope::problem::{Network, Problem};
use tauscope::rule::RuleSpec;
use tauscope::update::Matrix;

/// Agreement of 100 updates in f64, whose sums run in another order.
const TRAJECTORY: f64 = 1e-10;

/// The same in f32: signs of AdamW's first steps where a gradient is near 0.
const TRAJECTORY_F32: f64 = 1e-2;

const ROWS: usize = 21;
const CLASSES: usize = 4;
const EVERY: usize = 25;

/// As `numbers` in muon.py.
fn numbers(count: usize, stream: u64) -> impl Iterator<Item = f64> {
    (0..count as u64).map(move |i| {
        ((i * 2_654_435_761 + stream * 40_503 * 65_537 + 12_345) % (1 << 32)) as f64 / 2f64.powi(31) - 1.0
    })
}

fn problem(name: &str) -> Problem {
    let (shape, model) = match name {
        "mlp" => (Shape::vector(7), Model::mlp(7, &[6, 9, 5], CLASSES, Activation::Tanh)),
        _ => {
            let (shape, layers) =
                (Shape::new(2, 6, 6), "conv(5,3,pad=1),tanh,conv(6,3,pad=1),tanh,conv(9,1),tanh,max(2),dense");
            (shape, layers.parse::<Layers>().unwrap().graph(shape, CLASSES).unwrap().into())
        }
    };
    let data = Dataset {
        inputs: numbers(ROWS * shape.elements(), 77).map(|x| x as f32).collect(),
        labels: (0..ROWS as u32).map(|row| (row * row + 1) % CLASSES as u32).collect(),
        shape,
        classes: CLASSES,
    };
    Problem::Network(Network::new(model, Loss::Ce, 0.01, data))
}

/// The case of a row: its kind of wave, and its run.
fn case(record: &csv::StringRecord) -> (WaveSpec, Run) {
    let number = |column: usize| record[column].parse::<f64>().unwrap();
    let problem = Arc::new(problem(&record[0]));
    let (spec, schedule) = (record[1].parse::<RuleSpec>().unwrap(), Schedule::round_robin(record[3].parse().unwrap()));
    let (rule, dimension) = (spec.with(number(2), number(2)), problem.dimension());
    let wave = WaveSpec {
        problem,
        batch: None,
        sampling: Sampling::Epochs,
        minimum: Arc::new(vec![0.0; dimension]),
        direction: Arc::new(vec![0.0; dimension]),
        lanes: 1,
        together: 1,
        needs: Needs::of(&rule, &schedule, false),
        block: EVERY,
    };
    let run = Run {
        rule,
        lr: 0.02.into(),
        schedule,
        seed: 0,
        start: Arc::new(numbers(dimension, 5).map(|x| 0.4 * x).collect()),
        statistics: None,
        second_moment: None,
        centred: false,
        undamped_start: true,
        outer: OuterLoop::default(),
        stages: [].into(),
    };
    (wave, run)
}

fn check(engine: &dyn Engine, tolerance: f64) {
    let mut reader = csv::Reader::from_reader(include_bytes!("../data/muon.csv").as_slice());
    let mut cases = 0;
    for record in reader.records().map(Result::unwrap) {
        let number = |column: usize| record[column].parse::<f64>().unwrap();
        let (spec, run) = case(&record);
        let dimension = spec.problem.dimension();
        let mut wave = engine.open(spec).unwrap();
        wave.start(0, run).unwrap();
        let mut seen = Vec::new();
        for _ in 0..4 {
            wave.advance(EVERY).unwrap();
            let weights = wave.weights(0).unwrap();
            seen.extend((0..24).map(|k| weights[k * (dimension - 1) / 23]));
            seen.push(weights.iter().map(|x| x * x).sum::<f64>().sqrt());
        }
        let expected: Vec<f64> = (4..record.len()).map(number).collect();
        assert_close(&format!("{:?}", record.iter().take(4).collect::<Vec<_>>()), &seen, &expected, tolerance);
        cases += 1;
    }
    assert_eq!(cases, 18);
}

#[test]
fn muon_is_its_formula_on_dense_layers_and_convolutions_at_delays_0_1_and_4() {
    check(&Cpu::<f64>::default(), TRAJECTORY);
}

#[test]
fn muon_in_f32_follows() {
    check(&Cpu::<f32>::default(), TRAJECTORY_F32);
}

#[test]
fn muon_on_a_device_follows() {
    check(gpu(), TRAJECTORY_F32);
}

#[test]
fn a_saved_run_goes_on_with_the_same_bits() {
    let text = include_str!("../data/muon.csv");
    let (spec, run) = case(&csv::Reader::from_reader(text.as_bytes()).records().last().unwrap().unwrap());
    let engine = Cpu::<f32>::default();
    let (mut whole, mut begun, mut resumed) =
        (engine.open(spec.clone()).unwrap(), engine.open(spec.clone()).unwrap(), engine.open(spec).unwrap());
    for wave in [&mut whole, &mut begun] {
        wave.start(0, run.clone()).unwrap();
        wave.advance(9).unwrap();
    }
    let mut state = Vec::new();
    begun.save(0, &mut state).unwrap();
    resumed.restore(0, run, 9, &mut &state[..]).unwrap();
    for wave in [&mut whole, &mut resumed] {
        wave.advance(11).unwrap();
    }
    assert_eq!(whole.weights(0).unwrap(), resumed.weights(0).unwrap());
}

#[test]
fn hidden_matrices_are_all_weights_but_the_first_and_the_last() {
    let of = |name: &str| problem(name).hidden_matrices();
    let first = 7 * 6 + 6;
    let matrices = [Matrix { first, rows: 9, columns: 6 }, Matrix { first: first + 9 * 6 + 9, rows: 5, columns: 9 }];
    assert_eq!(of("mlp"), matrices);
    let first = 5 * 2 * 9 + 5;
    let filters = [Matrix { first, rows: 6, columns: 45 }, Matrix { first: first + 6 * 45 + 6, rows: 9, columns: 6 }];
    assert_eq!(of("conv"), filters);
    for hidden in [&[][..], &[3]] {
        assert_eq!(Model::mlp(7, hidden, CLASSES, Activation::Tanh).hidden_matrices(), []);
    }
}

fn tauscope(folder: &Path, words: &[&str]) -> (bool, String) {
    let output = Command::cargo_bin("tauscope").unwrap().current_dir(folder).args(words).output().unwrap();
    let texts = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.success(), texts.concat())
}

const TRAIN: [&str; 15] = [
    "train",
    "--samples",
    "64",
    "--test",
    "32",
    "--seeds",
    "1",
    "--epochs",
    "2",
    "--batch",
    "16",
    "--lr",
    "0.02",
    "--lr-scaling",
    "none",
];

#[test]
fn tables_name_the_learning_rate_of_adamw_on_either_engine() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--model",
        "mlp:8-8",
        "--rules",
        "muon,adamw",
        "--muon-adam-lr",
        "1e-3,3e-3",
        "--delays",
        "0,1",
        "--out",
        "out",
    ];
    for (engine, folder) in [("cpu", folder.path().join("cpu")), ("gpu", folder.path().join("gpu"))] {
        std::fs::create_dir(&folder).unwrap();
        let (done, said) = tauscope(&folder, &[&TRAIN[..], &flags, &["--engine", engine]].concat());
        assert!(done, "{said}");
        let runs = std::fs::read_to_string(folder.join("out/runs.csv")).unwrap();
        for (name, count) in [("muon+adam-lr=1e-3", 2), ("muon+adam-lr=3e-3", 2), ("adamw:0.999", 2)] {
            assert_eq!(runs.matches(&format!(",{name},")).count(), count, "{engine}, {name}: {runs}");
        }
    }
}

#[test]
fn muon_is_refused_where_it_has_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = ["sweep", "--rules", "muon", "--delays", "0", "--out", "out"];
    let cases: [(&[&str], &[&str], &str); 7] = [
        (&TRAIN, &["--model", "mlp:8", "--rules", "muon"], "no hidden matrix"),
        (&sweep, &["--model", "mlp:8", "--samples", "64"], "no hidden matrix"),
        (&sweep, &["--model", "quadratic:1,0.3"], "moves matrices of a network"),
        (&TRAIN, &["--model", "mlp:8-8", "--rules", "muon", "--stages", "2"], "--stages 2"),
        (&TRAIN, &["--model", "mlp:8-8", "--rules", "muon", "--replicas", "2"], "--replicas"),
        (&TRAIN, &["--model", "mlp:8-8", "--rules", "adamw", "--muon-adam-lr", "1e-3"], "--muon-adam-lr 0.001"),
        (&TRAIN, &["--model", "mlp:8-8", "--rules", "muon", "--muon-adam-lr=-1"], "--muon-adam-lr -1"),
    ];
    for (command, flags, expected) in cases {
        let (done, said) = tauscope(folder.path(), &[command, flags].concat());
        assert!(!done && said.contains(expected) && said.contains("accepted:"), "{flags:?}: {said}");
    }
}

#[test]
fn a_sweep_in_which_adamw_alone_leaves_the_minimum_says_which_flag_stills_it() {
    let folder = tempfile::tempdir().unwrap();
    let flags =
        ["sweep", "--rules", "muon", "--model", "mlp:8-8", "--samples", "64", "--delays", "1", "--engine", "cpu"];
    let run = |more: &[&str]| {
        let (done, said) = tauscope(folder.path(), &[&flags[..], more, &["--force", "--out", "out"]].concat());
        assert!(done, "{said}");
        std::fs::read_to_string(folder.path().join("out/thresholds.csv")).unwrap()
    };
    let table = run(&["--tolerance", "0.1"]);
    assert!(table.contains("every learning rate was unstable") && table.contains("--muon-adam-lr, or 0"), "{table}");
    let table = run(&["--tolerance", "0.1", "--muon-adam-lr", "0"]);
    assert!(table.contains(",measured,") && !table.contains("undecided"), "{table}");
}
