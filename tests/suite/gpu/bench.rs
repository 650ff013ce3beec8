//! The kernels that say what an adapter can do, those that `tauscope bench` times, and its clock.

use super::lanes::{nan, read, uniform};
use crate::common::{EXACT, KERNEL_F32, assert_close, gpu};
use tauscope::bench::kernels::{CASES, Gradient, NETWORKS, on_adapter};
use tauscope::engine::Engine;
use tauscope::engine::gpu::device::{Buffer, Device};
use tauscope::engine::gpu::{BenchmarkSteps, Paths};
use tauscope::kernels::{LaneStep, copy, peak};

/// One lane, which is idle unless `busy`.
fn lane_steps(device: &Device, busy: u32) -> Buffer {
    device.buffer_of("lane_steps", &[LaneStep { busy, ..LaneStep::default() }])
}

#[test]
fn a_copy_is_whole_and_an_idle_lane_copies_nothing() {
    let device = gpu().device();
    let stride = 2 * copy::WORKGROUP;
    for elements in [1, stride - 1, stride, stride + 1, 3 * stride + 7] {
        let source = uniform(1, 4 * elements);
        // One more, which is to stay.
        let copied = nan(device, 4 * elements + 4);
        let params = copy::Params { step: 0, lanes: 1, elements: elements as u32, stride: stride as u32 };
        for busy in [0, 1] {
            let buffers = [&lane_steps(device, busy), &device.buffer_of("source", &source), &copied];
            device.run(&[device.bind(copy::call(&params, buffers))], 1);
            let found = read(&copied, 4 * elements + 4);
            let (inside, beyond) = found.split_at(4 * elements);
            assert!(beyond.iter().all(|x| x.is_nan()));
            if busy == 0 {
                assert!(inside.iter().all(|x| x.is_nan()));
            } else {
                assert_close("copy", inside, &source, EXACT);
            }
        }
    }
}

#[test]
fn the_chains_of_peak_are_all_computed() {
    let device = gpu().device();
    let (links, factor, groups) = (3, 0.99, 2);
    let invocations = groups * peak::WORKGROUP;
    let sums = nan(device, 4 * invocations);
    let params = peak::Params { step: 0, lanes: 1, links, factor };
    device.run(&[device.bind(peak::call(&params, groups as u32, [&lane_steps(device, 1), &sums]))], 1);
    // x_n = 1 - (1 - x_0) factor^n, from x_0 = 0.01 and 0.02; a multiply-add is two operations, eight of them abreast.
    let length = peak::flops(links) / (2 * 8);
    let factor = f64::from(factor);
    let chain = |start: f64| 1.0 - (1.0 - start * (1.0 - factor)) * factor.powi(length as i32);
    let expected = vec![chain(1.0) + chain(2.0); 4 * invocations];
    assert_close("chains", &read(&sums, 4 * invocations), &expected, KERNEL_F32);
}

#[test]
fn every_case_of_the_benchmarks_agrees_with_its_twin_and_is_timed() {
    let device = gpu().device();
    for case in CASES.iter().filter(|case| case.work(4).bytes < 2_000_000) {
        let on_device = case.on_device(device, 2);
        let mut twin = case.twin::<f64>();
        twin.run();
        let length = twin.result().len();
        let times = device.time(&vec![on_device.dispatch.clone(); 3]).unwrap();
        assert!(times.len() == 3 && times.iter().all(|seconds| (0.0..60.0).contains(seconds)), "{times:?}");
        (on_device.reset)(device);
        device.run(std::slice::from_ref(&on_device.dispatch), 1);
        for lane in 0..2 {
            let found: Vec<f32> = device.read(&on_device.result, lane * length, length).unwrap();
            assert_close(&case.name(), &found, twin.result(), KERNEL_F32);
        }
    }
}

#[test]
fn a_fused_step_is_a_share_of_one_dispatch_and_a_layered_one_is_all_of_its_dispatches() {
    let [narrow, _, wide] = NETWORKS;
    let rehearse = |paths, most| {
        let workload = narrow.workload(2);
        let BenchmarkSteps { dispatches, steps } =
            gpu().with_paths(paths).benchmark_steps(workload.spec(2, 8), workload.runs(), most).unwrap();
        let times = gpu().device().time(&dispatches).unwrap();
        assert!(times.len() == dispatches.len() && times.iter().all(|seconds| (0.0..60.0).contains(seconds)));
        (dispatches.len(), steps)
    };
    assert_eq!(rehearse(Paths::Fused, 3), (1, 3));
    let (dispatches, steps) = rehearse(Paths::Layered, 3);
    assert!(dispatches > 8 && steps == 1, "{dispatches} dispatches");

    let subjects = on_adapter(gpu()).unwrap();
    for network in [narrow, wide] {
        let (name, path) = (network.name(), gpu().path(&network.workload(1).spec(1, 1)).unwrap());
        let row = subjects.iter().find(|subject| subject.name == format!("whole step {name}")).unwrap();
        assert_eq!(row.path, Some(path));
    }
    let timed = subjects[0].time().unwrap();
    assert!(timed.lanes > 1 && (0.0..60.0).contains(&timed.seconds), "{timed:?}");
}

#[test]
fn a_timed_gradient_is_that_of_each_minibatch_in_turn() {
    for network in NETWORKS {
        let workload = network.workload(1);
        let (mut fused, mut oracle) = (Gradient::<f32>::new(&workload), Gradient::<f64>::new(&workload));
        let mut before = Vec::new();
        for turn in 0..13 {
            fused.run();
            oracle.run();
            assert_close(&network.name(), &fused.result(), &oracle.result(), KERNEL_F32);
            let same = before == oracle.result();
            assert_eq!(same, turn > 0 && network.batch.is_none(), "{} turn {turn}", network.name());
            before = oracle.result();
        }
    }
}
