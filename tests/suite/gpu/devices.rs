//! Which adapter is taken, and that nothing that goes wrong on it becomes a panic.

use crate::common::{checks, gpu};
use std::time::Duration;
use tauscope::engine::gpu::device::Limits;
use tauscope::engine::gpu::{AdapterChoice, Checks, Gpu, Options, Paths, SelfTest, adapters};
use tauscope::engine::{Engine, EngineError};
use tauscope::kernels::{Call, Kernel, ShaderFile, copy};
use tauscope::math::{Activation, Loss};

/// A device that no other test sees, and that none of them doubts.
fn own(options: Options) -> Gpu {
    Gpu::open_with(&AdapterChoice::Any, Options { self_test: SelfTest::Never, ..options }).unwrap()
}

#[test]
fn an_unknown_adapter_is_refused_with_those_there_are() {
    let error = Gpu::open(&AdapterChoice::Named("no such adapter".into())).unwrap_err();
    let EngineError::Unavailable(message) = error else { panic!("{error}") };
    assert!(message.contains("no such adapter") && message.contains(&gpu().info().adapter), "{message}");
}

#[test]
fn adapters_are_opened_by_index_and_by_uuid_and_say_which_they_are() {
    let listed = adapters().unwrap();
    for adapter in listed.iter().filter(|adapter| adapter.missing.is_none()) {
        let by = |text: String| Gpu::open(&AdapterChoice::Named(text)).unwrap();
        let place = format!("adapter {} of {}", adapter.index, listed.len());
        for found in std::iter::once(by(adapter.index.to_string())).chain(adapter.uuid.clone().map(by)) {
            assert_eq!(found.info().adapter, adapter.name);
            assert!(found.device().place().starts_with(&place), "{}, not {place}", found.device().place());
        }
    }
}

#[test]
fn the_adapter_that_was_taken_is_told_and_none_is_not_one() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "sweep",
        "--engine",
        "gpu",
        "--model",
        "quadratic:1",
        "--rules",
        "sgd",
        "--delays",
        "0",
        "--dry-run",
        "--adapter",
    ];
    let run = |adapter: &str| {
        let mut command = assert_cmd::Command::cargo_bin("tauscope").unwrap();
        let output = command.current_dir(folder.path()).args(flags).arg(adapter).output().unwrap();
        (output.status.code(), [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat())
    };
    let (code, text) = run("0");
    assert!(code == Some(0) && text.contains("(asked for, adapter 0 of "), "{text}");
    let (code, text) = run(" ");
    assert!(code == Some(2) && text.contains("the index of an adapter, or a part of its name"), "{text}");
}

#[test]
fn a_software_adapter_is_never_taken_for_hardware() {
    let there_is_hardware = adapters().unwrap().iter().any(|adapter| !adapter.is_software());
    match Gpu::open(&AdapterChoice::Hardware) {
        Ok(gpu) => assert_ne!(gpu.info().device_type, "Cpu"),
        Err(EngineError::Unavailable(message)) => {
            assert!(!there_is_hardware && message.contains("no hardware GPU"), "{message}");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_adapter_is_among_those_listed() {
    let info = gpu().info();
    let listed = adapters().unwrap().into_iter().find(|adapter| adapter.name == info.adapter).unwrap();
    assert_eq!(
        (listed.driver, listed.device_type, listed.missing),
        (info.driver.clone(), info.device_type.clone(), None)
    );
    assert_eq!((info.engine.as_str(), info.precision.as_str()), ("gpu", "f32"));
}

/// On a device of its own, whose faults no other test can see.
#[test]
fn a_fault_is_an_error_once_and_no_panic() {
    let gpu = own(Options { cache: None, ..Options::default() });
    let device = gpu.device();
    let too_large = device.buffer("too large", device.limits().max_buffer_size + 16);
    assert!(matches!(device.read::<f32>(&too_large, 0, 1), Err(EngineError::Device(_))));
    assert!(device.check().is_ok(), "a fault that was told is over");
    let sound = device.buffer_of("sound", &[1.0f32, 2.0]);
    assert_eq!(device.read::<f32>(&sound, 1, 1).unwrap(), [2.0]);
}

/// The loss of a device is reported at every check, and the engine can be opened again.
#[test]
fn a_lost_device_stays_lost_and_can_be_opened_again() {
    let gpu = own(Options { cache: None, ..Options::default() });
    let device = gpu.device();
    let buffer = device.buffer_of("buffer", &[1.0f32, 2.0]);
    device.unplug();
    for _ in 0..2 {
        let error = device.read::<f32>(&buffer, 0, 1).unwrap_err();
        assert!(matches!(error, EngineError::Lost(_)), "{error}");
    }
    let again = gpu.reopen().unwrap();
    assert_eq!(again.info(), gpu.info());
}

/// A submit that takes longer than one is allowed to is named. The limit is lowered here, not the device slowed down.
#[test]
fn a_wave_that_hangs_is_named_with_its_kernels() {
    let gpu = own(Options { cache: None, paths: Paths::Layered, ..Options::default() });
    // A fast device is done with few lanes before it is asked.
    let hangs = [64, 512, 4096].into_iter().find_map(|lanes| {
        gpu.device().set_patience(Duration::from_secs(120));
        let (mut wave, spec) = super::waves::busy_wave(&gpu, lanes);
        gpu.device().set_patience(Duration::from_nanos(1));
        wave.advance(spec.block).err().map(|error| (error, spec))
    });
    let Some((EngineError::Device(message), spec)) = hangs else { panic!("nothing is done in no time") };
    for part in ["has not answered", &format!("{} lanes", spec.lanes), "6 slots", "matmul", "step", "observe"] {
        assert!(message.contains(part), "'{part}' in: {message}");
    }
    gpu.device().set_patience(Duration::from_secs(120));
    gpu.device().wait().unwrap();
}

/// What every device of WebGPU has, and what most have. The self-test compares all kernels there, whose parameters lie in buffers
/// where immediates are few.
#[test]
fn every_kernel_computes_within_webgpus_limits_and_the_fused_one_with_ten_buffers() {
    let least = Limits { max_immediate_size: 64, ..Limits::default() };
    let buffers = Limits { max_storage_buffers_per_shader_stage: 10, ..least.clone() };
    let larger = Limits { max_compute_workgroup_storage_size: 32 << 10, ..buffers };
    for (limits, path) in [(least, "layered"), (larger, "fused")] {
        let options = Options { limits: Some(limits), cache: None, self_test: SelfTest::Always, ..Options::default() };
        let gpu = Gpu::open_with(&AdapterChoice::Any, options).unwrap();
        let network = super::waves::network(&[6], Activation::Tanh, Loss::Ce);
        assert_eq!(gpu.path(&super::waves::spec(network, None, 4)).unwrap(), path);
    }
}

/// Every index is where it should be, checked or not, so that the checks change no bit.
#[test]
fn checked_and_trusted_shaders_give_the_same_bits() {
    let [checked, trusted] =
        [Checks::Bounds, Checks::Trusted].map(|checks| own(Options { checks, cache: None, ..Options::default() }));
    assert_eq!((checked.info().checks.as_str(), trusted.info().checks.as_str()), ("bounds", "trusted"));
    assert_eq!(gpu().info().checks, <&str>::from(checks()), "the shaders that the tests are asked to run");
    let expected = super::waves::short_waves(&checked);
    assert!(expected.len() > 100 && expected.iter().all(|bits| bits.len() > 100));
    assert_eq!(super::waves::short_waves(&trusted), expected);
}

/// What a driver makes is kept, found again, and never trusted when it is damaged.
#[test]
fn pipelines_are_kept_between_devices_and_a_damaged_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("made when it is needed");
    let wave = || {
        let gpu = own(Options { cache: Some(directory.clone()), ..Options::default() });
        let (mut wave, _) = super::waves::busy_wave(&gpu, 64);
        wave.advance(1).unwrap().lane(0)[0]
    };
    let kept = || {
        let files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
        let [file] = &files.collect::<Vec<_>>()[..] else { panic!("one file for one adapter") };
        (file.clone(), std::fs::read(file).unwrap())
    };
    let first = wave();
    let adapter = adapters().unwrap().into_iter().find(|adapter| adapter.name == gpu().info().adapter).unwrap();
    if !adapter.features.contains(&"pipeline-cache".into()) {
        assert!(!directory.exists(), "there is nothing to keep");
        return;
    }
    let (file, bytes) = kept();
    assert_eq!(blake3::hash(&bytes[32..]).as_bytes(), &bytes[..32]);
    assert_eq!(wave(), first);
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for other in [damaged, b"short".to_vec()] {
        std::fs::write(&file, &other).unwrap();
        assert_eq!(wave(), first);
        assert_ne!(kept().1, other, "a damaged file is written anew");
    }
    // A directory that cannot be made is no error.
    let nowhere = own(Options { cache: Some(file.join("below a file")), ..Options::default() });
    super::waves::busy_wave(&nowhere, 64).0.advance(1).unwrap();
}

/// The copy with a name that nothing declares, behind lines that are unrolled.
const BROKEN: Kernel = Kernel {
    name: "copy",
    files: &[ShaderFile {
        name: "broken.wgsl",
        text: "// unrolled N\nfn f_0() {}\n// end\nfn g() { unheard_of(); }\n",
    }],
    codes: &[],
    variants: &["N"],
    ..copy::KERNEL
};

#[test]
fn a_shader_that_does_not_compile_is_reported_with_its_file_its_line_and_its_joined_text() {
    let gpu = own(Options { cache: None, ..Options::default() });
    let device = gpu.device();
    let buffers = [16; 3].map(|bytes| device.buffer("stub", bytes));
    let params = copy::Params::default();
    let call = Call::new(&BROKEN, &[("N", 3.0)], buffers.iter().collect::<Vec<_>>(), &params, [1, 1, 1], 0);
    device.bind(call);
    let error = device.check().unwrap_err().to_string();
    assert!(
        error.contains("shader 'copy'") && error.contains("broken.wgsl:4: ") && error.contains("unheard_of"),
        "{error}"
    );
    assert!(error.contains("broken.wgsl:2: fn f_2() {}\n"), "{error}");
}

/// Files that Vulkan's loader passes over in silence are named, and those over which it loses all drivers.
#[cfg(target_os = "linux")]
#[test]
fn a_machine_without_an_adapter_names_the_file_that_is_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let library =
        r#"{"file_format_version": "1.0.0", "ICD": {"library_path": "libnowhere.so.0", "api_version": "1.3.0"}}"#;
    for (text, causes) in [("{ broken", ["cannot be parsed", "hide"]), (library, ["libnowhere.so.0", "does not load"])]
    {
        let file = folder.path().join("icd.json");
        std::fs::write(&file, text).unwrap();
        let run = |words: &[&str]| {
            let mut command = assert_cmd::Command::cargo_bin("tauscope").unwrap();
            command.env("VK_DRIVER_FILES", &file).env("VK_ICD_FILENAMES", &file).current_dir(folder.path()).args(words);
            let output = command.output().unwrap();
            (output.status.code(), [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat())
        };
        let sweep = ["sweep", "--model", "quadratic:1", "--rules", "sgd", "--delays", "0", "--dry-run", "--engine"];
        let devices = run(&["devices"]);
        let [gpu, auto] = ["gpu", "auto"].map(|engine| run(&[&sweep[..], &[engine]].concat()));
        assert_eq!([devices.0, gpu.0, auto.0], [Some(0), Some(2), Some(0)]);
        for (_, told) in [devices, gpu, auto] {
            for part in causes.into_iter().chain([file.to_str().unwrap(), "no adapter"]) {
                assert!(told.contains(part), "'{part}' in: {told}");
            }
        }
    }
}

#[test]
fn a_backend_that_is_left_out_is_named_as_the_cause_and_nothing_to_test_is_an_error() {
    let run = |flags: &[&str]| {
        let mut command = assert_cmd::Command::cargo_bin("tauscope").unwrap();
        let output = command.env("WGPU_BACKEND", "metal").args(flags).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), text)
    };
    let cause = "WGPU_BACKEND=metal leaves other backends out";
    let (code, [told, _]) = run(&["devices"]);
    assert!(code == Some(0) && told.contains(cause), "{told}");
    let (code, [json, told]) = run(&["devices", "--json"]);
    assert!(code == Some(0) && json.trim() == "[]" && told.contains(cause), "{json} {told}");
    for flags in [&["devices", "--self-test"][..], &["devices", "--self-test", "--json"]] {
        let (code, [_, told]) = run(flags);
        assert!(code == Some(2) && told.contains("there is no adapter to test") && told.contains(cause), "{told}");
    }
}

#[test]
fn backends_without_kernels_are_refused_by_name() {
    let mut command = assert_cmd::Command::cargo_bin("tauscope").unwrap();
    let output = command.env("WGPU_BACKEND", "gl").arg("devices").output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && message.contains("WGPU_BACKEND=gl: 'gl' has no kernels"), "{message}");
}
