//! Weights that PyTorch wrote, in every form in which users have them (tests/data/weights.py made files and numbers), and
//! what is said of files that leave a doubt.

use crate::common::assert_close;
use assert_cmd::Command;
use predicates::prelude::predicate;
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tauscope::data::Dataset;
use tauscope::layer::traits::Mode;
use tauscope::math::{Activation, Loss, Shape};
use tauscope::model::layers::Layers;
use tauscope::model::{Backprop, Model};
use tauscope::problem::weights::{self, LoadedWeights, Wanted, WeightMap};
use tauscope::problem::{Network, Problem};

/// Two programs in f64 agree.
const SAME_F64: f64 = 1e-12;

const MAPPINGS: [(&str, Option<&str>); 15] = [
    ("plain.safetensors", None),
    ("double.safetensors", None),
    ("bf16.safetensors", None),
    ("f16.safetensors", None),
    ("compiled.safetensors", Some("_orig_mod.0 -> 0, _orig_mod.2 -> 2")),
    ("data-parallel.safetensors", Some("module.0 -> 0, module.2 -> 2")),
    ("ddp.safetensors", Some("module.0 -> 0, module.2 -> 2")),
    ("compiled-ddp.safetensors", Some("_orig_mod.module.0 -> 0, _orig_mod.module.2 -> 2")),
    ("checkpointing.safetensors", Some("0._checkpoint_wrapped_module -> 0, 2._checkpoint_wrapped_module -> 2")),
    ("fc.safetensors", Some("fc1 -> 0, fc2 -> 2")),
    ("named.safetensors", Some("hidden -> 0, output -> 2")),
    ("backbone.safetensors", Some("backbone.0 -> 0, backbone.2 -> 2")),
    ("state-dict.pt", None),
    ("legacy.pth", None),
    ("whole-model.pt", None),
];

fn problem(model: Model, shape: Shape, classes: usize) -> Problem {
    let data = Dataset { inputs: vec![0.0; shape.elements()], labels: vec![0], shape, classes };
    Problem::Network(Network::new(model, Loss::Ce, 0.0, data))
}

/// The perceptron of weights.py.
fn perceptron() -> Problem {
    problem(Model::mlp(6, &[4], 3, Activation::Tanh), Shape::vector(6), 3)
}

fn of_pytorch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/weights").join(name)
}

/// As `numbers` in weights.py.
fn numbers(count: usize, stream: u64) -> Vec<f64> {
    let number = |i: u64| (i * 2_654_435_761 + stream * 40_503 * 65_537 + 12_345) % (1 << 32);
    (0..count as u64).map(|i| number(i) as f64 / 2f64.powi(31) - 1.0).collect()
}

fn outputs(weights: &[f64]) -> Vec<f64> {
    let Problem::Network(network) = perceptron() else { unreachable!() };
    let mut pass = Backprop::<f64>::new(&network.model.graph, Loss::Ce, 3);
    pass.forward(weights, &numbers(18, 1000), Mode::Training).to_vec()
}

#[test]
fn every_file_of_pytorch_computes_what_it_computes_there() {
    let mut expected: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut reader = csv::Reader::from_path(of_pytorch("outputs.csv")).unwrap();
    for row in reader.deserialize() {
        let (file, _, _, value): (String, usize, usize, f64) = row.unwrap();
        expected.entry(file).or_default().push(value);
    }
    let load = |name: &str| weights::load(&perceptron(), &of_pytorch(name), None, Wanted::WithStatistics).unwrap();
    for (file, expected) in &expected {
        let LoadedWeights { parameters, statistics, .. } = load(file);
        assert_close(file, &outputs(&parameters), expected, SAME_F64);
        assert!(statistics.is_empty());
    }
    for (file, mapping) in MAPPINGS {
        assert!(expected.contains_key(file), "{file}");
        assert_eq!(load(file).mapping.as_deref(), mapping, "{file}");
    }
    // Both wrappers are named.
    let both = load("fsdp-checkpointing.safetensors").mapping.unwrap();
    assert!(both.starts_with("_fsdp_wrapped_module.0._checkpoint_wrapped_module -> 0, "), "{both}");
    // A checkpoint with its optimiser.
    let checkpoint = load("checkpoint.pt").mapping.unwrap();
    assert!(checkpoint.starts_with("model.0 -> 0, model.2 -> 2; not used: optimizer."), "{checkpoint}");
    assert!(checkpoint.contains("exp_avg_sq"), "{checkpoint}");
    assert_eq!(expected.len(), MAPPINGS.len() + 2, "every file is looked at");
}

/// A file of tensors that count up, by name and shape.
fn file(folder: &Path, tensors: &[(&str, &[usize])]) -> PathBuf {
    let bytes: Vec<Vec<u8>> = (0_u8..)
        .zip(tensors)
        .map(|(first, (_, shape))| {
            let count: usize = shape.iter().product();
            (0..count).flat_map(|i| (f32::from(first) + i as f32 / 64.0).to_le_bytes()).collect()
        })
        .collect();
    let view = |((name, shape), bytes): (&(&str, &[usize]), &'static [u8])| {
        (name.to_string(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    };
    let bytes: &'static Vec<Vec<u8>> = Box::leak(Box::new(bytes));
    let views: Vec<_> = tensors.iter().zip(bytes.iter().map(|bytes| &bytes[..])).map(view).collect();
    let path = folder.join("weights.safetensors");
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

/// First numbers of the perceptron's tensors, which [`file`] counts, and the mapping; or the error.
fn read(tensors: &[(&str, &[usize])], map: Option<&str>) -> Result<(Vec<f64>, Option<String>), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), tensors);
    let map = map.map(|map| map.parse::<WeightMap>().unwrap());
    let read = weights::load(&perceptron(), &path, map.as_ref(), Wanted::Parameters);
    let read = read.map_err(|error| error.to_string())?;
    Ok(([0, 24, 28, 40].map(|first| read.parameters[first]).to_vec(), read.mapping))
}

const W1: &[usize] = &[4, 6];
const B1: &[usize] = &[4];
const W2: &[usize] = &[3, 4];
const B2: &[usize] = &[3];

#[test]
fn names_come_before_shapes_and_what_is_not_used_is_named() {
    for (tensors, map, firsts, mapping) in [
        // Behind a flatten, in any order.
        (
            vec![("3.weight", W2), ("1.weight", W1), ("1.bias", B1), ("3.bias", B2)],
            None,
            [1, 2, 0, 3],
            "1 -> 0, 3 -> 2",
        ),
        // A module of the same name stays itself.
        (
            vec![("0.weight", W1), ("0.bias", B1), ("3.weight", W2), ("3.bias", B2)],
            None,
            [0, 1, 2, 3],
            "0 -> 0, 3 -> 2",
        ),
        (
            vec![("0.weight", W1), ("0.bias", B1), ("2.weight", W2), ("2.bias", B2), ("head.weight", B2)],
            None,
            [0, 1, 2, 3],
            "not used: head.weight",
        ),
        (
            vec![("a.w", W1), ("a.b", B1), ("module.b.weight", W2), ("module.b.bias", B2)],
            Some("a.w=0.weight,a.b=0.bias,b=2"),
            [0, 1, 2, 3],
            "a.w -> 0.weight, a.b -> 0.bias, module.b -> 2",
        ),
        // What the map names goes before what has the name already.
        (
            vec![("0.weight", W1), ("0.bias", B1), ("2.weight", B1), ("6.weight", W2), ("6.bias", B2)],
            Some("6=2"),
            [0, 1, 3, 4],
            "0 -> 0, 6 -> 2; not used: 2.weight",
        ),
        (
            vec![
                ("net.0.weight", W1),
                ("net.0.bias", B1),
                ("net.2.weight", W2),
                ("net.2.bias", B2),
                ("ema.0.weight", W1),
                ("ema.0.bias", B1),
                ("ema.2.weight", W2),
                ("ema.2.bias", B2),
            ],
            Some("ema="),
            [4, 5, 6, 7],
            "ema.0 -> 0, ema.2 -> 2; not used: net.0.bias, net.0.weight, net.2.bias, net.2.weight",
        ),
    ] {
        let (found, said) = read(&tensors, map).unwrap();
        assert_eq!((found, said.as_deref()), (firsts.map(f64::from).to_vec(), Some(mapping)), "{tensors:?}");
    }
}

#[test]
fn what_leaves_a_doubt_is_refused_with_the_map_that_would_end_it() {
    let both = |prefix: &'static str| -> Vec<(&'static str, &'static [usize])> {
        let names: [&'static str; 4] = match prefix {
            "a" => ["a.0.weight", "a.0.bias", "a.2.weight", "a.2.bias"],
            _ => ["b.0.weight", "b.0.bias", "b.2.weight", "b.2.bias"],
        };
        names.into_iter().zip([W1, B1, W2, B2]).collect()
    };
    for (tensors, map, parts) in [
        ([both("a"), both("b")].concat(), None, &["below 'a', 'b'", "accepted: --map 'a='"][..]),
        (
            vec![("0.weight", W1), ("0.bias", B1), ("5.weight", W2)],
            None,
            &["no tensor '2.weight' [3, 4], '2.bias' [3]; the file has '5.weight' [3, 4]; accepted: --map"],
        ),
        (
            vec![("0.weight", W2), ("0.bias", B1), ("2.weight", W2), ("2.bias", B2)],
            None,
            &["tensor '0.weight' has shape [3, 4]; this model needs [4, 6]"],
        ),
        (
            vec![("0.weight", W1), ("module.0.weight", W1), ("0.bias", B1), ("2.weight", W2), ("2.bias", B2)],
            None,
            &["'0.weight' and 'module.0.weight' both stand for '0.weight'"],
        ),
        (both("a"), Some("c=0"), &["--map c=0: no tensor is called so; the file has 'a.0.bias', 'a.0.weight'"]),
        (both("a"), Some("a.0=1"), &["--map a.0=1: the model has no '1'; accepted: 0, 2"]),
        (both("a"), Some("a.0=2"), &["no tensor '0.weight' [4, 6]"]),
        (vec![("_flat_param", &[43])], None, &["FSDP", "FULL_STATE_DICT"]),
    ] {
        let error = read(&tensors, map).unwrap_err();
        assert!(error.contains("weights.safetensors: ") && error.lines().count() == 1, "{error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
    }
    for wrong in ["", "fc1", "=0", "a=0,a=1"] {
        assert!(wrong.parse::<WeightMap>().unwrap_err().contains("accepted: "), "{wrong}");
    }
}

/// Layers of one shape are told apart by the numbers in their names alone.
#[test]
fn layers_of_one_shape_go_by_the_numbers_in_their_names_or_not_at_all() {
    let deep = problem(Model::mlp(2, &[2, 2, 2], 2, Activation::Tanh), Shape::vector(2), 2);
    let read = |names: [&str; 4]| {
        let names = names.map(|name| [format!("{name}.weight"), format!("{name}.bias")]);
        let tensors: Vec<(&str, &[usize])> =
            names.iter().flat_map(|[weight, bias]| [(&weight[..], &[2, 2][..]), (&bias[..], &[2][..])]).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), &tensors);
        let read = weights::load(&deep, &path, None, Wanted::Parameters);
        read.map(|read| [0, 6, 12, 18].map(|first| read.parameters[first])).map_err(|error| error.to_string())
    };
    assert_eq!(read(["fc10", "fc2", "fc1", "fc9"]), Ok([4.0, 2.0, 6.0, 0.0]));
    assert_eq!(read(["block.0.fc1", "block.1.fc0", "block.0.fc0", "block.1.fc1"]), Ok([4.0, 0.0, 2.0, 6.0]));
    let in_no_order = read(["query", "key", "value", "output"]).unwrap_err();
    let expected = "0, 2, 4, 6 of the model could be any of ";
    assert!(in_no_order.contains(expected) && in_no_order.contains("accepted: --map 'NAME=0'"), "{in_no_order}");
    // By numbers 2 would be 0 and 4 would be 2, by names they would be themselves.
    assert!(read(["2", "4", "6", "8"]).unwrap_err().contains("could be any of 2, 4, 6, 8"));
}

#[test]
fn batch_norms_bring_their_statistics_under_other_names_too() {
    let shape = Shape::new(1, 4, 4);
    let layers = "conv(2,3,pad=1),bn,relu,dense".parse::<Layers>().unwrap().graph(shape, 3).unwrap();
    let network = problem(layers.into(), shape, 3);
    let norm: &[usize] = &[2];
    let tensors: [(&str, &[usize]); 9] = [
        ("conv1.weight", &[2, 1, 3, 3]),
        ("conv1.bias", norm),
        ("bn1.weight", norm),
        ("bn1.bias", norm),
        ("bn1.running_mean", norm),
        ("bn1.running_var", norm),
        ("bn1.num_batches_tracked", &[]),
        ("fc.weight", &[3, 32]),
        ("fc.bias", &[3]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), &tensors);
    let LoadedWeights { statistics, mapping, .. } =
        weights::load(&network, &path, None, Wanted::WithStatistics).unwrap();
    assert_eq!(statistics, [4.0, 4.0 + 1.0 / 64.0, 5.0, 5.0 + 1.0 / 64.0]);
    let mapping = mapping.unwrap();
    assert!(mapping.contains("bn1 -> ") && !mapping.contains("not used"), "{mapping}");
    let without = file(
        folder.path(),
        &tensors
            .map(|(name, shape)| (name, shape))
            .into_iter()
            .filter(|(name, _)| !name.contains("running_mean"))
            .collect::<Vec<_>>(),
    );
    assert!(weights::load(&network, &without, None, Wanted::Parameters).is_ok());
    let error = weights::load(&network, &without, None, Wanted::WithStatistics).unwrap_err().to_string();
    assert!(error.contains("running_mean' [2]"), "{error}");
}

/// A job is bound to every number that it starts from.
#[test]
fn other_running_statistics_in_the_file_of_init_make_another_job() {
    let folder = tempfile::tempdir().unwrap();
    let norm: &[usize] = &[2];
    let hash = |out: &str, statistics: [&str; 2]| {
        let tensors: [(&str, &[usize]); 8] = [
            ("conv1.weight", &[2, 1, 3, 3]),
            ("conv1.bias", norm),
            ("bn1.weight", norm),
            ("bn1.bias", norm),
            (statistics[0], norm),
            (statistics[1], norm),
            ("fc.weight", &[3, 32]),
            ("fc.bias", &[3]),
        ];
        file(folder.path(), &tensors);
        let flags = "train --engine cpu --data synthetic:clusters:classes=3:shape=1x4x4:samples=30:test=6 --model \
                     layers:conv(2,3,pad=1),bn,relu,dense --epochs 1 --batch 10 --delays 0 --lr-scaling none --seeds 1 \
                     --quiet --init weights.safetensors --out";
        let mut command = Command::cargo_bin("tauscope").unwrap();
        command.current_dir(folder.path()).args(flags.split_whitespace()).arg(out).assert().success();
        let run = fs::read_to_string(folder.path().join(out).join("run.json")).unwrap();
        let run: serde_json::Value = serde_json::from_str(&run).unwrap();
        run["data_hash"].as_str().unwrap().to_owned()
    };
    let [mean, var] = ["bn1.running_mean", "bn1.running_var"];
    assert_ne!(hash("a", [mean, var]), hash("b", [var, mean]));
}

/// Paths are bytes.
#[cfg(unix)]
#[test]
fn the_binary_starts_from_a_file_whose_name_is_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"w\xe9.pt");
    fs::copy(of_pytorch("state-dict.pt"), folder.path().join(name)).unwrap();
    train(folder.path(), &["--init".as_ref(), name]).success();
    let run = fs::read_to_string(folder.path().join("out/run.json")).unwrap();
    assert!(run.contains("\"init\": \"w\u{fffd}.pt\""), "{run}");
    let wrong = train(folder.path(), &["--init".as_ref(), std::ffi::OsStr::from_bytes(b"n\xe9.pt")]).code(2);
    wrong.stderr(predicate::str::contains("error: --init n\u{fffd}.pt: No such file"));
}

/// Loads, or says in one line what is wrong with the file.
fn loads_or_says(path: &Path) {
    if let Err(error) = weights::load(&perceptron(), path, None, Wanted::WithStatistics) {
        let message = error.to_string();
        assert!(message.contains(path.to_str().unwrap()) && message.lines().count() == 1, "{message:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_damage_makes_a_file_of_weights_panic(
        name in prop::sample::select(vec!["plain.safetensors", "state-dict.pt", "checkpoint.pt", "legacy.pth", "whole-model.pt"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut content = fs::read(of_pytorch(name)).unwrap();
        for (place, byte) in changes {
            let place = place.index(content.len());
            content[place] = byte;
        }
        if let Some(end) = end {
            content.truncate(end.index(content.len()));
        }
        fs::write(&path, content).unwrap();
        loads_or_says(&path);
    }
}

/// The real binary on weights of the perceptron, in a folder with data for it.
fn train(folder: &Path, flags: &[&std::ffi::OsStr]) -> assert_cmd::assert::Assert {
    let usual = "train --engine cpu --precision f64 --data synthetic:clusters:classes=3:features=6:samples=40:test=10 --model \
                 mlp:4 --epochs 1 --batch full --delays 0 --lr-scaling none --seeds 1 --out out --force";
    let mut command = Command::cargo_bin("tauscope").unwrap();
    command.current_dir(folder).args(usual.split(' ')).args(flags).assert()
}

#[test]
fn the_binary_prints_what_became_of_the_names() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(of_pytorch("fc.safetensors"), folder.path().join("fc.safetensors")).unwrap();
    let flags = |more: &'static str| -> Vec<&std::ffi::OsStr> { more.split(' ').map(AsRef::as_ref).collect() };
    let said = |text: &'static str| predicate::str::contains(text);
    train(folder.path(), &flags("--init fc.safetensors")).success().stderr(said("weights  fc1 -> 0, fc2 -> 2\n"));
    let same = "--init fc.safetensors --map fc1=0,fc2=2";
    train(folder.path(), &flags(same)).success().stderr(said("weights  fc1 -> 0, fc2 -> 2\n"));
    let wrong = train(folder.path(), &flags("--init fc.safetensors --map fc1=2")).code(2);
    wrong.stderr(said("error: --init fc.safetensors: no tensor '0.weight' [4, 6]"));
    train(folder.path(), &flags("--map fc1=0")).code(2).stderr(said("--init <FILE>"));
    fs::write(folder.path().join("broken.pt"), b"PK\x03\x04 no archive").unwrap();
    let broken = train(folder.path(), &flags("--init broken.pt")).code(2);
    broken.stderr(said("save_file(model.state_dict(), 'weights.safetensors')"));
    fs::write(folder.path().join("text.pt"), b"no tensors").unwrap();
    train(folder.path(), &flags("--init text.pt")).code(2).stderr(said("files of safetensors, or of PyTorch's"));
}
