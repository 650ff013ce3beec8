//! Delay processes against what is known of them without running them: fixed delays and traces exactly, random ones by the
//! distribution that theory or the reference implementation gives, timed workers by a scan of all of them, and all by
//! counting: the delay is what the slots make it.

use super::*;
use crate::theory::DelayPmf;
use proptest::prelude::*;

const SEED: u64 = 11;

fn crew(service: Service, means: &[f64], cap: Option<u32>) -> Schedule {
    Schedule::Workers(Named { name: "workers".into(), value: Crew { service, means: means.into(), cap } })
}

fn iid(pmf: DelayPmf) -> Schedule {
    Schedule::Iid(Named { name: "iid".into(), value: Iid::new(pmf).unwrap() })
}

fn trace(delays: &[u32]) -> Schedule {
    Schedule::Trace(Named { name: "trace".into(), value: Trace::new(delays.to_vec()).unwrap() })
}

/// One of every process, and of every law, with and without a cap.
fn all() -> Vec<Schedule> {
    vec![
        Schedule::RoundRobin { delay: 4 },
        Schedule::Random { workers: 5, cap: None },
        Schedule::Random { workers: 5, cap: Some(6) },
        Schedule::Random { workers: 5, cap: Some(4) },
        Schedule::Random { workers: 1, cap: None },
        Schedule::Normal { workers: 5, cap: None },
        Schedule::Normal { workers: 5, cap: Some(5) },
        crew(Service::Constant, &[1.0; 5], None),
        crew(Service::Constant, &[1.0, 1.0, 2.0], None),
        crew(Service::Constant, &[1.0, 1.0, 9.0], Some(5)),
        crew(Service::Exponential, &[1.0; 5], None),
        crew(Service::Exponential, &[1.0, 3.0], None),
        crew(Service::Exponential, &[1.0; 5], Some(4)),
        crew(Service::Lognormal { shape: 1.0 }, &[1.0; 5], Some(9)),
        crew(Service::Pareto { shape: 1.5 }, &[1.0; 5], None),
        iid(DelayPmf::uniform(0, 8).unwrap()),
        iid(DelayPmf::uniform(3, 3).unwrap()),
        Schedule::Hybrid { workers: 15, delay: 4 },
        trace(&[3, 0, 5, 5]),
        trace(&[2, 2]),
    ]
}

fn slots(mut process: Process, steps: u64) -> Vec<Slots> {
    (0..steps).map(|_| process.next()).collect()
}

/// The version each step reads, by running the slots: version v is the weights after v updates.
fn versions(schedule: &Schedule, steps: u64) -> Vec<u64> {
    let mut held = vec![0; schedule.slots() as usize];
    let mut read = vec![];
    for (step, slots) in (0..).zip(slots(schedule.start(SEED), steps)) {
        read.push(held[slots.read as usize]);
        held[slots.write as usize] = step + 1;
    }
    read
}

fn statistics(schedule: &Schedule, steps: u64) -> (f64, f64) {
    let delays = schedule.realised(SEED, steps);
    (delays.mean().unwrap(), delays.std().unwrap())
}

proptest! {
    /// The definition of delay: step t applies the gradient at x[t - delay].
    #[test]
    fn workers_in_turn_read_the_version_of_delay_updates_ago(delay in 0u32..50, group in 1u32..5, steps in 1u64..300) {
        let expected: Vec<u64> = (0..steps).map(|t| t.saturating_sub(delay.into())).collect();
        let round_robin = Schedule::RoundRobin { delay };
        let at: Vec<Slots> = (0..steps).map(|t| round_robin.at(t)).collect();
        prop_assert_eq!(&at, &slots(round_robin.start(0), steps));
        let workers = delay + 1;
        let hybrid = Schedule::Hybrid { workers: workers * group, delay };
        prop_assert_eq!((hybrid.workers(), hybrid.group(), hybrid.slots()), (Some(workers * group), group, workers));
        let means = vec![0.1; workers as usize];
        let tightest = Schedule::Random { workers, cap: Some(delay) };
        let capped = crew(Service::Pareto { shape: 1.2 }, &means, Some(delay));
        for schedule in [round_robin, hybrid, crew(Service::Constant, &means, None), tightest, capped] {
            prop_assert_eq!(&versions(&schedule, steps), &expected, "{:?}", schedule);
            prop_assert_eq!(schedule.mean_delay(), f64::from(delay));
            prop_assert_eq!(schedule.theory(), Some(DelayProcess::Fixed(delay as usize)));
            prop_assert_eq!(&slots(schedule.start(1), steps), &at);
        }
    }

    #[test]
    fn a_trace_is_replayed_exactly_and_over_again(
        delays in prop::collection::vec(0u32..20, 1..40), steps in 1u64..200,
    ) {
        let recorded = delays.iter().cycle().map(|delay| u64::from(*delay));
        let expected: Vec<u64> = (0..steps).zip(recorded).map(|(t, delay)| t.saturating_sub(delay)).collect();
        prop_assert_eq!(versions(&trace(&delays), steps), expected);
        prop_assert_eq!(trace(&delays).slots(), delays.iter().max().unwrap() + 1);
    }

    /// Whatever the process, no snapshot gets older than its cap; not even those of the start.
    #[test]
    fn no_worker_exceeds_its_cap(schedule in capped_workers(), seed in any::<u64>()) {
        let (schedule, cap) = schedule;
        let mut process = schedule.start(seed);
        let mut held = vec![0; schedule.slots() as usize];
        for step in 0..2000u64 {
            if step == 1000 {
                process.reseed(seed ^ 1);
            }
            let slot = process.next().read as usize;
            prop_assert!(step - held[slot] <= cap.into(), "step {} reads version {}", step, held[slot]);
            held[slot] = step + 1;
        }
        prop_assert!(schedule.realised(seed, 2000).max().unwrap() <= cap.into());
    }

    /// The mean needs no model of the process: see the module.
    #[test]
    fn every_process_of_n_workers_has_mean_delay_n_minus_one(schedule in workers(), seed in any::<u64>()) {
        let n = f64::from(schedule.slots());
        let delays = schedule.realised(seed, 20_000);
        prop_assert_eq!(schedule.mean_delay(), n - 1.0);
        let mean = delays.mean().unwrap();
        prop_assert!((mean - (n - 1.0)).abs() <= 0.05 * n, "mean delay {} of {} workers", mean, n);
        // With the snapshots that are out at the end nothing is missing, but for the first arrivals.
        let arrivals = delays.count();
        prop_assert!(arrivals <= 20_000 - 1 && arrivals >= 20_000 - u64::from(schedule.slots()));
    }

    /// A scan of all workers and all deadlines, with none of the queue's or the line's bookkeeping. Whole numbers, so that
    /// workers finish together.
    #[test]
    fn the_queue_agrees_with_a_scan_of_all_workers(
        means in prop::collection::vec(1u32..6, 1..7), slack in prop::option::of(0u32..6),
    ) {
        let n = means.len();
        let means: Vec<f64> = means.into_iter().map(f64::from).collect();
        let cap = slack.map(|slack| n as u32 - 1 + slack);
        let (mut now, mut finish, mut held) = (0.0f64, means.clone(), vec![0u64; n]);
        let mut expected = vec![];
        for step in 0..300u64 {
            let mut deadlines: Vec<u64> = held.iter().map(|version| version + u64::from(cap.unwrap_or(1000))).collect();
            deadlines.sort_unstable();
            let must = (step..).zip(&deadlines).any(|(at, deadline)| at == *deadline);
            let oldest = *held.iter().min().unwrap();
            let candidates = (0..n).filter(|worker| !must || held[*worker] == oldest);
            let worker = candidates.min_by(|a, b| finish[*a].total_cmp(&finish[*b])).unwrap();
            now = now.max(finish[worker]);
            finish[worker] = now + means[worker];
            held[worker] = step + 1;
            expected.push(step - held[worker].min(step));
            expected.push(worker as u64);
        }
        let mut rng = rand_chacha::rand_core::SeedableRng::seed_from_u64(0);
        let mut clock = workers::Clock::new(&Crew { service: Service::Constant, means: means.into(), cap }, &mut rng);
        let reports: Vec<u64> = (0..300).map(|step| clock.next(step, &mut rng).into()).collect();
        prop_assert_eq!(reports, expected.into_iter().skip(1).step_by(2).collect::<Vec<u64>>());
    }
}

fn service() -> impl Strategy<Value = Service> {
    prop_oneof![
        Just(Service::Constant),
        Just(Service::Exponential),
        (0.1..1.0).prop_map(|shape| Service::Lognormal { shape }),
        (2.0..9.0).prop_map(|shape| Service::Pareto { shape }),
    ]
}

/// Worker processes of up to 8 workers that are not too different, with their cap or `u32::MAX`.
fn with_cap(cap: impl Strategy<Value = Option<u32>>) -> impl Strategy<Value = (Schedule, u32)> {
    let crews = (service(), prop::collection::vec(1.0..4.0, 2..9));
    (cap, 0..3, crews).prop_map(|(slack, which, (service, means))| {
        let workers = means.len() as u32;
        let cap = slack.map(|slack| workers - 1 + slack);
        let schedule = match which {
            0 => Schedule::Random { workers, cap },
            1 => Schedule::Normal { workers, cap },
            _ => crew(service, &means, cap),
        };
        (schedule, cap.unwrap_or(u32::MAX))
    })
}

fn capped_workers() -> impl Strategy<Value = (Schedule, u32)> {
    with_cap((0u32..20).prop_map(Some))
}

fn workers() -> impl Strategy<Value = Schedule> {
    with_cap(prop::option::of(0u32..20)).prop_map(|(schedule, _)| schedule)
}

/// `realised` keeps versions by slot; a worker's delay is also the number of other reports since its last one.
#[test]
fn delays_are_the_reports_of_others_in_between() {
    let schedule = Schedule::Random { workers: 6, cap: Some(12) };
    let reports: Vec<u32> = slots(schedule.start(SEED), 500).iter().map(|slots| slots.read).collect();
    let mut expected = Delays::default();
    for (step, worker) in reports.iter().enumerate() {
        if let Some(since) = reports[..step].iter().rev().position(|other| other == worker) {
            expected.add(since as u64);
        }
    }
    assert_eq!(schedule.realised(SEED, 500), expected);
}

/// Random picks leave a worker alone for a geometric time: variance (1-p)/p^2 with p = 1/N, that is N (N-1). So do
/// exponential service times, whose next to finish is anybody.
#[test]
fn random_and_memoryless_workers_have_geometric_delays() {
    for n in [2u32, 8, 20] {
        let exponential = crew(Service::Exponential, &vec![2.0; n as usize], None);
        for schedule in [Schedule::Random { workers: n, cap: None }, exponential] {
            let (mean, std) = statistics(&schedule, 400_000);
            let n = f64::from(n);
            assert!((mean - (n - 1.0)).abs() < 0.01 * n, "{schedule:?}: mean {mean}");
            assert!((std / (n * (n - 1.0)).sqrt() - 1.0).abs() < 0.02, "{schedule:?}: standard deviation {std}");
            let expected = DelayProcess::RandomWorkers(n as usize);
            assert_eq!(schedule.theory(), Some(expected));
        }
    }
}

/// Standard deviations simulated with the weights of the reference implementation.
#[test]
fn normal_workers_have_the_delays_of_the_reference_implementation() {
    for (workers, expected) in [(8, 1.5), (16, 3.4), (32, 7.3)] {
        let (mean, std) = statistics(&Schedule::Normal { workers, cap: None }, 200_000);
        assert!((mean - f64::from(workers - 1)).abs() < 1e-2, "{workers} workers: mean {mean}");
        assert!((std - expected).abs() < 0.07, "{workers} workers: standard deviation {std}, {expected} expected");
    }
}

#[test]
fn independent_delays_follow_their_distribution() {
    const STEPS: u64 = 300_000;
    for pmf in [DelayPmf::uniform(2, 9), DelayPmf::geometric(0.7), DelayPmf::new(vec![0.25, 0.0, 0.75])] {
        let pmf = pmf.unwrap();
        let delays = iid(pmf.clone()).realised(SEED, STEPS);
        let seen: std::collections::HashMap<u64, u64> = delays.iter().collect();
        for (delay, p) in (0..).zip(pmf.probabilities()) {
            let share = *seen.get(&delay).unwrap_or(&0) as f64 / delays.count() as f64;
            // Five standard errors, and one event where hardly any is expected.
            let error = 5.0 * (p * (1.0 - p) / STEPS as f64).sqrt() + 1.0 / STEPS as f64;
            assert!((share - p).abs() <= error, "delay {delay}: share {share}, probability {p}");
        }
        assert!(delays.max().unwrap() <= pmf.longest() as u64);
        assert!((delays.mean().unwrap() - pmf.mean()).abs() < 0.03);
    }
}

/// A slow worker is late by its own clock: with one worker S times as slow, one of its gradients takes as long as S of each
/// of the others.
#[test]
fn slow_workers_bring_old_gradients() {
    let schedule = crew(Service::Constant, &[1.0, 1.0, 1.0, 10.0], None);
    let delays = schedule.realised(SEED, 31 * 100);
    assert_eq!((delays.median(), delays.max()), (Some(2), Some(30)));
    // One in 31 updates comes from the slow worker, and the three around it see one report more.
    let counts: Vec<(u64, u64)> = delays.iter().collect();
    assert_eq!(counts.iter().map(|(delay, _)| *delay).collect::<Vec<_>>(), [2, 3, 30]);
    assert!(counts[2].1 == 99 && (296..=300).contains(&counts[1].1), "{counts:?}");
}

#[test]
fn a_seed_gives_one_stream_and_another_where_the_process_is_random() {
    for schedule in all() {
        let of_seed = |seed| slots(schedule.start(seed), 300);
        assert_eq!(of_seed(1), of_seed(1), "{schedule:?}");
        assert_eq!(of_seed(1) != of_seed(2), schedule.is_random(), "{schedule:?}");
        assert_eq!(schedule.realised(1, 300) == schedule.realised(1, 300), true);
    }
}

#[test]
fn a_new_seed_keeps_the_past_and_changes_the_future() {
    for schedule in all() {
        let mut process = schedule.start(1);
        let past: Vec<Slots> = (0..40).map(|_| process.next()).collect();
        assert_eq!(past, slots(schedule.start(1), 40));
        let future = |seed: Option<u64>| {
            let mut process = process.clone();
            seed.into_iter().for_each(|seed| process.reseed(seed));
            slots(process, 300)
        };
        assert_eq!(future(Some(2)), future(Some(2)));
        assert_eq!(future(None) != future(Some(2)), schedule.is_random(), "{schedule:?}");
        assert_eq!(future(Some(3)) != future(Some(2)), schedule.is_random(), "{schedule:?}");
    }
    // Gradients on their way arrive when they would have: the next to finish is not drawn again.
    for seed in 0..20 {
        let mut process = crew(Service::Exponential, &[1.0; 50], None).start(1);
        let mut changed = process.clone();
        changed.reseed(seed);
        assert_eq!(process.next(), changed.next());
    }
}

/// Delays and minibatches of one seed must not be made of the same random numbers.
#[test]
fn delays_are_drawn_from_a_stream_of_their_own() {
    use rand::RngExt;
    let mut batches = rand_chacha::ChaCha8Rng::seed_from_u64(SEED);
    use rand_chacha::rand_core::SeedableRng;
    let drawn: Vec<u32> = (0..100).map(|_| batches.random_range(0..1000)).collect();
    let workers = Schedule::Random { workers: 1000, cap: None };
    assert_ne!(drawn, slots(workers.start(SEED), 100).iter().map(|slots| slots.read).collect::<Vec<u32>>());
}

#[test]
fn theory_knows_a_process_or_says_nothing() {
    let pmf = DelayPmf::uniform(0, 8).unwrap();
    for (schedule, expected) in [
        (Schedule::Random { workers: 5, cap: Some(9) }, None),
        (Schedule::Random { workers: 1, cap: None }, Some(DelayProcess::Fixed(0))),
        (Schedule::Normal { workers: 5, cap: None }, None),
        (crew(Service::Exponential, &[1.0, 2.0], None), None),
        (crew(Service::Exponential, &[1.0; 2], Some(9)), None),
        (crew(Service::Constant, &[1.0, 2.0], None), None),
        (iid(pmf.clone()), Some(DelayProcess::Independent(pmf))),
        (iid(DelayPmf::uniform(3, 3).unwrap()), Some(DelayProcess::Fixed(3))),
        (trace(&[3, 0]), None),
        (trace(&[3, 3]), Some(DelayProcess::Fixed(3))),
    ] {
        assert_eq!(schedule.theory(), expected, "{schedule:?}");
    }
}

#[test]
fn content_is_all_that_counts() {
    for (schedule, json) in [
        (Schedule::RoundRobin { delay: 4 }, r#"{"name":"round-robin","delay":4}"#),
        (Schedule::Random { workers: 5, cap: Some(9) }, r#"{"name":"random","workers":5,"cap":9}"#),
        (Schedule::Normal { workers: 5, cap: None }, r#"{"name":"normal","workers":5,"cap":null}"#),
        (Schedule::Hybrid { workers: 8, delay: 3 }, r#"{"name":"hybrid","workers":8,"delay":3}"#),
        (
            crew(Service::Pareto { shape: 1.5 }, &[1.0, 2.0], None),
            r#"{"name":"workers","service":"pareto","shape":1.5,"means":[1.0,2.0],"cap":null}"#,
        ),
        (crew(Service::Constant, &[1.0], None), r#"{"name":"workers","service":"constant","means":[1.0],"cap":null}"#),
        (iid(DelayPmf::new(vec![0.5, 0.5]).unwrap()), r#"{"name":"iid","probabilities":[0.5,0.5]}"#),
        (trace(&[1, 0]), r#"{"name":"trace","delays":[1,0]}"#),
    ] {
        assert_eq!(serde_json::to_string(&schedule).unwrap(), json);
    }
    let schedules = all();
    for (i, a) in schedules.iter().enumerate() {
        for (j, b) in schedules.iter().enumerate() {
            let same = serde_json::to_string(a).unwrap() == serde_json::to_string(b).unwrap();
            assert_eq!((a == b, same), (i == j, i == j), "{a:?}, {b:?}");
        }
    }
}
