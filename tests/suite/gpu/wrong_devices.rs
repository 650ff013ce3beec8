//! Devices that compute wrong numbers are refused: any driver, with a layer of our own over it that makes it lie.
//!
//! The layer (tests/layer/lying_driver.c) is compiled here; whoever can link Rust on Linux has a compiler of C.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The folder of the layer and its manifest.
fn layer() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layer/lying_driver.c");
        let library = folder.path().join("liblying_driver.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]).args([&library, &source]);
        assert!(compiler.status().unwrap().success(), "{compiler:?}");
        let layer = serde_json::json!({
            "name": "VK_LAYER_TAUSCOPE_lying", "type": "GLOBAL", "library_path": library, "api_version": "1.3.0",
            "implementation_version": "1", "description": "makes a driver lie",
        });
        let manifest = serde_json::json!({"file_format_version": "1.1.2", "layer": layer});
        std::fs::write(folder.path().join("lying_driver.json"), manifest.to_string()).unwrap();
        folder
    });
    folder.path()
}

/// The program on a driver that lies in the given way.
fn lying(how: &str, cache: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("tauscope"));
    command.env("VK_LAYER_PATH", layer()).env("VK_INSTANCE_LAYERS", "VK_LAYER_TAUSCOPE_lying");
    command.env("LYING_DRIVER", how).env("TAUSCOPE_CACHE", cache);
    command
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

fn self_test(how: &str) -> (bool, Vec<String>) {
    let output = lying(how, "off").args(["devices", "--self-test"]).output().unwrap();
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect();
    assert!(!lines.is_empty(), "no adapter: {}", text(&output));
    (output.status.success(), lines)
}

#[test]
fn a_driver_that_computes_nothing_half_or_nonsense_is_refused_by_the_numbers_of_the_moment() {
    for how in ["nothing", "second", "zeros", "nan"] {
        let (passed, lines) = self_test(how);
        assert!(!passed);
        for line in lines {
            assert!(line.contains(": refused: elementwise: ") && line.contains("is expected"), "{how}: {line}");
        }
    }
}

#[test]
fn a_single_kernel_that_is_wrong_is_named_and_none_where_all_is_well() {
    for kernel in ["norm", "matmul", "spectral"] {
        let (passed, lines) = self_test(&format!("kernel:{kernel}"));
        assert!(!passed);
        for line in lines {
            assert!(line.contains(&format!(": refused: {kernel}: ")) && line.contains("element"), "{line}");
        }
    }
    let (passed, lines) = self_test("honest");
    assert!(passed && lines.iter().all(|line| line.contains(": passed in ") && line.ends_with(" ms")), "{lines:?}");
}

const SWEEP: [&str; 9] = ["sweep", "--model", "quadratic:1", "--rules", "sgd", "--delays", "0", "--out", "folder"];

/// Whatever was passed before: the kept result stands for the driver as it was.
#[test]
fn a_device_that_no_longer_computes_is_refused_and_auto_takes_the_processor_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let cache = cache.to_str().unwrap();
    let run = |how: &str, engine: &str| {
        let mut command = lying(how, cache);
        command.current_dir(folder.path()).args(SWEEP).args(["--engine", engine]).env("LYING_DISCRETE", "yes");
        command.output().unwrap()
    };
    let honest = run("honest", "gpu");
    assert!(honest.status.success(), "{}", text(&honest));
    let kept = std::fs::read_dir(cache)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("self-test-"));
    assert_eq!(kept.count(), 1);
    std::fs::remove_dir_all(folder.path().join("folder")).unwrap();

    let refused = run("nothing", "gpu");
    let message = text(&refused);
    assert!(!refused.status.success(), "{message}");
    for part in ["adapter '", "fails its self-test: elementwise: ", "is expected"] {
        assert!(message.contains(part), "'{part}' in: {message}");
    }
    assert!(!folder.path().join("folder").exists(), "nothing is left of it");

    let fallen_back = run("nothing", "auto");
    let message = text(&fallen_back);
    assert!(fallen_back.status.success() && message.contains("fails its self-test: elementwise: "), "{message}");
    let written = std::fs::read_to_string(folder.path().join("folder/run.json")).unwrap();
    assert!(written.contains("fails its self-test: elementwise: "), "{written}");
}

/// A driver that refuses a pipeline may cost the device without a word of which it was.
#[test]
fn a_pipeline_that_cannot_be_made_is_named() {
    for kernel in ["elementwise", "norm"] {
        let (passed, lines) = self_test(&format!("pipeline:{kernel}"));
        assert!(!passed);
        for line in lines {
            assert!(line.contains(&format!("the pipeline of the kernel '{kernel}' cannot be made")), "{line}");
        }
    }
}

/// On hardware whose memory is known less is planned; where it is in pieces less is tried.
#[test]
fn a_benchmark_takes_fewer_lanes_where_there_is_no_memory_for_all_and_says_so() {
    let words = [
        "bench",
        "step",
        "--engine",
        "gpu",
        "--model",
        "mlp:64",
        "--samples",
        "64",
        "--batch",
        "16",
        "--slots",
        "9",
        "--steps",
        "4",
        "--rounds",
        "1",
        "--lanes",
        "2000",
        "--json",
    ];
    for (variable, bytes, why) in
        [("LYING_HEAP", 20_000_000, "18000000 bytes are free"), ("LYING_ROOM", 80_000_000, "out of memory")]
    {
        let mut command = lying("honest", "off");
        let output =
            command.args(words).env("LYING_DISCRETE", "yes").env(variable, bytes.to_string()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let (lanes, fewer) = (report["lanes"].as_u64().unwrap(), report["fewer"].as_array().unwrap());
        assert!(lanes < 2000 && report["lanes_asked"] == 2000, "{report}");
        let told = fewer.last().unwrap().as_str().unwrap();
        assert!(told.contains(why) && told.contains(&format!("{lanes} lanes instead of ")), "{told}");
    }
}
