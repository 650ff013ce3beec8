//! `tauscope sweep --preconditioner`: thresholds with second moments that stand still, beside theory; the files it reads, and those
//! it refuses.

use crate::common::gpu;
use crate::folders::{self, refuse, succeed};
use safetensors::tensor::{Dtype, TensorView};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tauscope::delay::Schedule;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{Engine, Needs, Run, WaveSpec};
use tauscope::problem::{Problem, Quadratic};
use tauscope::rule::{Rule, RuleKind};
use tauscope::table::{Status, ThresholdRow, read_csv};

/// A bracket of 1 % and its middle.
const THRESHOLD: f64 = 0.01;

/// Writes tensors of f64 by name.
fn write(path: &Path, tensors: &[(&str, Vec<usize>, Vec<f64>)]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (*name, TensorView::new(Dtype::F64, shape.clone(), bytes).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Runs what must succeed; what it says.
fn told(folder: &Path, words: &str) -> String {
    succeed(folders::tauscope(folder).args(words.split(' ')))
}

fn sweep(folder: &Path, flags: &str) -> Vec<ThresholdRow> {
    told(folder, &format!("sweep --out out --force {flags}"));
    read_csv(&folder.join("out/thresholds.csv")).unwrap()
}

/// Curvatures 1, 4, 2 under P = .5, 8, .25 (and epsilon 1e-8): eigenvalues 2, .5, 8, in another order than the plain ones.
#[test]
fn thresholds_of_a_quadratic_are_those_of_its_preconditioned_curvature() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("moments.safetensors");
    write(&file, &[("x", vec![3], vec![0.25, 64.0, 0.0625])]);
    let flags = "--model quadratic:1,4,2 --precision f64 --preconditioner moments.safetensors --rules adam,nadam --momentum 0,0.9 --delays 0,1,4";
    let rows = sweep(folder.path(), flags);
    assert_eq!(rows.len(), 2 * 2 * 3);
    for row in &rows {
        assert!((row.lambda_max / 8.0 - 1.0).abs() < 1e-6, "{}", row.lambda_max);
        assert_eq!((row.status, row.criterion.as_str()), (Status::Measured, "mean"));
        assert!((row.ratio.unwrap() - 1.0).abs() < THRESHOLD, "{row:?}");
    }
    // 2 (1+m)/(1-m) and (1-m)/(1-m).
    let of = |momentum: f64, delay: u32| {
        let row = rows
            .iter()
            .find(|row| row.rule.starts_with("adam") && row.momentum == momentum && row.delay == Some(delay));
        row.unwrap().lr_theory.unwrap() * 8.0
    };
    for (momentum, delay, expected) in [(0.0, 0, 2.0), (0.9, 0, 38.0), (0.9, 1, 1.0), (0.0, 1, 1.0)] {
        assert!((of(momentum, delay) / expected - 1.0).abs() < 1e-6, "{momentum} {delay}");
    }
    let run: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("out/run.json")).unwrap()).unwrap();
    let facts = &run["preconditioner"];
    assert_eq!((&facts["zeros"], &facts["lambda_max"]["converged"]), (&0.into(), &true.into()));
    // An extrapolated look ahead, whose N is of degree 2: roots of the written-out polynomial, by NumPy.
    let ahead = "--model quadratic:1,4,2 --precision f64 --preconditioner moments.safetensors --rules nadam+extrapolate=1 --momentum 0.9 --delays 1,4";
    for (row, gain) in sweep(folder.path(), ahead).iter().zip([3.450, 0.4365]) {
        assert!((row.lr_theory.unwrap() * 8.0 / gain - 1.0).abs() < 5e-4, "{row:?}");
        assert!((row.ratio.unwrap() - 1.0).abs() < THRESHOLD, "{row:?}");
    }
}

/// The minimum of a small network, with the second moments that a training of it leaves.
#[test]
fn thresholds_of_a_network_are_those_of_theory_under_the_second_moments_of_a_training() {
    let folder = tempfile::tempdir().unwrap();
    let problem =
        "--data synthetic:clusters:classes=3:shape=1x1x5:samples=40 --samples 40 --model mlp:4 --weight-decay 0.01";
    let train = "--rules adam --delays 0 --lr 0.01 --lr-scaling none --batch full --epochs 200 --seeds 1 --save-state --out trained";
    told(folder.path(), &format!("train {problem} {train}"));
    let kept = fs::read_dir(folder.path().join("trained/state")).unwrap().next().unwrap().unwrap().path();
    fs::copy(kept, folder.path().join("moments.safetensors")).unwrap();
    let rules = "--rules adam,nadam --momentum 0.9 --delays 0,2 --precision f64 --gradient-tolerance 1e-10 --preconditioner moments.safetensors";
    let rows = sweep(folder.path(), &format!("{problem} {rules}"));
    let measured: Vec<f64> = rows.iter().map(|row| row.ratio.unwrap()).collect();
    assert!(measured.iter().all(|ratio| (ratio - 1.0).abs() < THRESHOLD), "{measured:?}");
}

/// Adam whose second moment stays at s: x' = x - lr v / (sqrt(s) + 1e-8), v = .9 v + .1 h x, with no correction of either.
#[test]
fn frozen_second_moments_stay_what_they_are_on_every_engine() {
    let (h, s, lr, delay) = ([1.0, 2.0], [0.25, 4.0], 0.1, 1);
    let problem = Arc::new(Problem::Quadratic(Quadratic { eigenvalues: h.to_vec() }));
    let schedule = Schedule::round_robin(delay);
    let rule = Rule::new(RuleKind::Adam, 0.9, 0.9);
    let spec = WaveSpec {
        problem,
        batch: None,
        sampling: tauscope::batch::Sampling::Epochs,
        minimum: Arc::new(vec![0.0; 2]),
        direction: Arc::new(vec![1.0, 0.0]),
        lanes: 2,
        together: 1,
        needs: Needs::of(&rule, &schedule, false),
        block: 8,
    };
    let run = Run {
        rule,
        lr: lr.into(),
        schedule,
        seed: 0,
        start: Arc::new(vec![1.0, -3.0]),
        statistics: None,
        centred: false,
        undamped_start: false,
        second_moment: Some(Arc::new(s.to_vec())),
        outer: tauscope::outer::OuterLoop::default(),
        stages: [].into(),
    };
    let mut visited = vec![vec![1.0, -3.0]];
    let mut v = [0.0; 2];
    for t in 0..20_usize {
        let read = visited[t.saturating_sub(delay as usize)].clone();
        let mut x = visited[t].clone();
        for i in 0..2 {
            v[i] = 0.9 * v[i] + 0.1 * h[i] * read[i];
            x[i] -= lr * v[i] / (s[i].sqrt() + 1e-8);
        }
        visited.push(x);
    }
    let engines: [(&dyn Engine, f64); 3] =
        [(&Cpu::<f64>::default(), 1e-13), (&Cpu::<f32>::default(), 1e-5), (gpu(), 1e-5)];
    for (engine, tolerance) in engines {
        let mut wave = engine.open(spec.clone()).unwrap();
        wave.start(1, run.clone()).unwrap();
        for _ in 0..4 {
            wave.advance(5).unwrap();
        }
        let weights = wave.weights(1).unwrap();
        let expected = &visited[20];
        let close = weights.iter().zip(expected).all(|(x, y)| (x - y).abs() <= tolerance * y.abs().max(1e-2));
        assert!(close, "{}: {weights:?} where {expected:?} is expected", engine.info().engine);
        let kept = wave.second_moment(1).unwrap();
        assert!(kept.iter().zip(s).all(|(kept, s)| (kept - s).abs() <= 1e-6 * s), "{kept:?}");
    }
}

#[test]
fn files_and_rules_that_do_not_go_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, tensors: &[(&str, Vec<usize>, Vec<f64>)]| write(&folder.path().join(name), tensors);
    file("good", &[("x", vec![2], vec![0.0, 1.0])]);
    file(
        "torch",
        &[
            ("x.exp_avg_sq", vec![2], vec![0.0, 1.0]),
            ("x.exp_avg", vec![2], vec![-5.0, 1.0]),
            ("x.step", vec![1], vec![9.0]),
        ],
    );
    file("before", &[("exp_avg_sq.x", vec![2], vec![0.0, 1.0])]);
    file("negative", &[("x", vec![2], vec![1.0, -1e-3])]);
    file("nan", &[("x", vec![2], vec![1.0, f64::NAN])]);
    file("marked", &[("x.exp_avg_sq", vec![2], vec![-2.0, 1.0])]);
    file("both", &[("x", vec![2], vec![1.0; 2]), ("x.exp_avg_sq", vec![2], vec![1.0; 2])]);
    file("twice", &[("exp_avg_sq.x", vec![2], vec![1.0; 2]), ("x.exp_avg_sq", vec![2], vec![1.0; 2])]);
    file("long", &[("x", vec![3], vec![1.0; 3])]);
    file("zeros", &[("x", vec![2], vec![0.0; 2])]);
    let quadratic = "sweep --model quadratic:1,2 --delays 0 --quiet --out new --preconditioner";
    let cases: &[(&str, &[&str])] = &[
        (
            "negative --rules adam",
            &["--preconditioner negative", "tensor 'x' has -1e-3 at [1]", "accepted: finite numbers of 0 or more"],
        ),
        ("nan --rules adam", &["--preconditioner nan", "tensor 'x' has NaN at [1]", "finite numbers of 0 or more"]),
        ("marked --rules adam", &["--preconditioner marked", "tensor 'x.exp_avg_sq' has -2e0 at [0]"]),
        (
            "both --rules adam",
            &["tensors 'x' and 'x.exp_avg_sq' are both there for parameter 'x'", "one second moment"],
        ),
        ("twice --rules adam", &["tensors 'exp_avg_sq.x' and 'x.exp_avg_sq' are both there", "accepted: one"]),
        ("long --rules adam", &["--preconditioner long", "shape [3]", "needs [2]"]),
        ("missing --rules adam", &["--preconditioner missing", "No such file"]),
        ("good --rules sgd", &["--preconditioner with --rules sgd", "accepted: --rules adam, adamw, nadam, nadamw"]),
        ("good --rules lion", &["--preconditioner with --rules lion", "accepted: --rules adam"]),
        ("good --rules nadam:torch", &["--rules nadam:torch", "constant coefficients"]),
        ("good --rules adam --schedule random --delays 2", &["--schedule random", "accepted: a fixed delay"]),
        ("good --rules adam --criterion escape", &["--criterion escape", "accepted: mean"]),
        ("good --rules adam,nadam+eps=1", &["epsilons 1e-8 and 1e0", "accepted: one epsilon"]),
        ("good --rules adam --eps 1e-8,1e-3", &["epsilons 1e-8 and 1e-3", "accepted: one epsilon"]),
        ("good --rules adam --rates 0.1", &["--preconditioner", "--rates"]),
    ];
    for (flags, expected) in cases {
        let mut command = folders::tauscope(folder.path());
        refuse(command.args(quadratic.split(' ')).args(flags.split(' ')), expected);
    }
    let decay =
        "sweep --samples 20 --model linear --weight-decay 0.1 --rules adamw --delays 0 --out new --preconditioner good";
    refuse(
        folders::tauscope(folder.path()).args(decay.split(' ')),
        &["--weight-decay 0.1", "accepted: --weight-decay 0"],
    );
    // Numbers of an optimizer's state dict are parameters in the model's order.
    file(
        "numbered",
        &[("state.0.exp_avg_sq", vec![10, 64], vec![1.0; 640]), ("state.1.exp_avg_sq", vec![3], vec![1.0; 3])],
    );
    let numbered = "sweep --samples 20 --model linear --rules adam --delays 0 --out new --preconditioner numbered";
    refuse(folders::tauscope(folder.path()).args(numbered.split(' ')), &["bias", "shape [3]", "needs [10]"]);
    // An element of a matrix is told by row and column.
    let mut matrix = vec![1.0; 640];
    matrix[2 * 64 + 3] = f64::INFINITY;
    file("matrix", &[("state.0.exp_avg_sq", vec![10, 64], matrix), ("state.1.exp_avg_sq", vec![10], vec![1.0; 10])]);
    let flags = "sweep --samples 20 --model linear --rules adam --delays 0 --out new --preconditioner matrix";
    refuse(
        folders::tauscope(folder.path()).args(flags.split(' ')),
        &[
            "--preconditioner matrix",
            "tensor 'state.0.exp_avg_sq' has inf at [2, 3]",
            "accepted: finite numbers of 0 or more",
        ],
    );
    // An epsilon of 0 divides by the roots alone.
    file("positive", &[("x", vec![2], vec![1.0, 0.0625])]);
    let row = sweep(
        folder.path(),
        "--model quadratic:1,2 --precision f64 --delays 1 --rules adam --eps 0 --preconditioner positive",
    )
    .remove(0);
    assert!((row.lambda_max / 8.0 - 1.0).abs() < 1e-6 && (row.ratio.unwrap() - 1.0).abs() < THRESHOLD, "{row:?}");
    // Zeros are allowed, and told of; so are the names of torch.optim.
    for (name, lambda) in [("good", 1e8), ("torch", 1e8), ("before", 1e8), ("zeros", 2e8)] {
        let flags = format!("--model quadratic:1,2 --precision f64 --delays 1 --rules adam --preconditioner {name}");
        let row = sweep(folder.path(), &flags).remove(0);
        assert!((row.lambda_max / lambda - 1.0).abs() < 1e-6, "{name}: {}", row.lambda_max);
        assert!((row.ratio.unwrap() - 1.0).abs() < THRESHOLD, "{name}: {row:?}");
    }
    let run: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("out/run.json")).unwrap()).unwrap();
    assert_eq!(run["preconditioner"]["zeros"], 2);
    let text =
        told(folder.path(), "sweep --model quadratic:1,2 --delays 1 --rules adam --preconditioner good --out told");
    assert!(text.contains("1 of 2 of them 0 (epsilon alone counts)"), "{text}");
}
