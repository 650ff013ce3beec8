//! Delay processes against what is known of them without running them: fixed delays and traces exactly, independent ones by
//! their distribution, and all by counting: the delay is what the slots make it. Processes of workers have a file of their
//! own.

mod grammar;
mod workers;

use super::*;
use crate::theory::{DelayLaw, DelayPmf};
use proptest::prelude::*;

const SEED: u64 = 11;

fn workers_of(service: Service, means: &[f64], cap: Option<u32>) -> Schedule {
    Schedule::new("workers", Process::Workers(Workers { service, means: means.into(), cap }))
}

fn iid(pmf: DelayPmf) -> Schedule {
    Schedule::new("iid", Process::Iid(Iid::new(pmf).unwrap()))
}

fn trace(delays: &[u32]) -> Schedule {
    Schedule::new("trace", Process::Trace(Trace::new(delays.to_vec()).unwrap()))
}

fn random(workers: u32, cap: Option<u32>) -> Schedule {
    Schedule::new("random", Process::Random(Random { workers, cap }))
}

fn normal(workers: u32, cap: Option<u32>) -> Schedule {
    Schedule::new("normal", Process::Normal(Normal { workers, cap }))
}

fn hybrid(workers: u32, delay: u32) -> Schedule {
    Schedule::new("hybrid", Process::Hybrid(Hybrid { workers, delay }))
}

/// One of every process, and of every law, with and without a cap.
fn all() -> Vec<Schedule> {
    let mut all: Vec<Schedule> = vec![
        Schedule::round_robin(4),
        random(5, None),
        random(5, Some(6)),
        random(5, Some(4)),
        random(1, None),
        normal(5, None),
        normal(5, Some(5)),
        workers_of(Service::Constant, &[1.0; 5], None),
        workers_of(Service::Constant, &[1.0, 1.0, 2.0], None),
        workers_of(Service::Constant, &[1.0, 1.0, 9.0], Some(5)),
        workers_of(Service::Exponential, &[1.0; 5], None),
        workers_of(Service::Exponential, &[1.0, 3.0], None),
        workers_of(Service::Exponential, &[1.0; 5], Some(4)),
        workers_of(Service::Lognormal { shape: 1.0 }, &[1.0; 5], Some(9)),
        workers_of(Service::Pareto { shape: 1.5 }, &[1.0; 5], None),
        iid(DelayPmf::uniform(0, 8).unwrap()),
        iid(DelayPmf::uniform(3, 3).unwrap()),
        hybrid(15, 4),
        trace(&[3, 0, 5, 5]),
        trace(&[2, 2]),
    ];
    // What the registry has beyond them.
    let examples = ScheduleSpec::examples().into_iter().map(|text| text.parse::<ScheduleSpec>().unwrap().example());
    examples.for_each(|schedule| {
        if !all.contains(&schedule) {
            all.push(schedule)
        }
    });
    all
}

fn slots(mut stream: SlotStream, steps: u64) -> Vec<Slots> {
    (0..steps).map(|_| stream.next()).collect()
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

proptest! {
    /// The definition of delay: step t applies the gradient at x[t - delay].
    #[test]
    fn workers_in_turn_read_the_version_of_delay_updates_ago(delay in 0u32..50, group in 1u32..5, steps in 1u64..300) {
        let expected: Vec<u64> = (0..steps).map(|t| t.saturating_sub(delay.into())).collect();
        let round_robin = Schedule::round_robin(delay);
        let turn = |t: u64| (t % (u64::from(delay) + 1)) as u32;
        let at: Vec<Slots> = (0..steps).map(|t| Slots { read: turn(t), write: turn(t) }).collect();
        let workers = delay + 1;
        let hybrid = hybrid(workers * group, delay);
        prop_assert_eq!((hybrid.workers(), hybrid.group(), hybrid.slots()), (Some(workers * group), group, workers));
        let means = vec![0.1; workers as usize];
        let tightest = random(workers, Some(delay));
        let capped = workers_of(Service::Pareto { shape: 1.2 }, &means, Some(delay));
        for schedule in [round_robin, hybrid, workers_of(Service::Constant, &means, None), tightest, capped] {
            prop_assert_eq!(&versions(&schedule, steps), &expected, "{:?}", schedule);
            prop_assert_eq!(schedule.mean_delay(), f64::from(delay));
            prop_assert_eq!(schedule.theory(), Some(DelayLaw::Fixed(delay as usize)));
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
}

/// `realised` keeps versions by slot; a worker's delay is also the number of other reports since its last one.
#[test]
fn delays_are_the_reports_of_others_in_between() {
    let schedule = random(6, Some(12));
    let reports: Vec<u32> = slots(schedule.start(SEED), 500).iter().map(|slots| slots.read).collect();
    let mut expected = Delays::default();
    for (step, worker) in reports.iter().enumerate() {
        if let Some(since) = reports[..step].iter().rev().position(|other| other == worker) {
            expected.add(since as u64);
        }
    }
    assert_eq!(schedule.realised(SEED, 500), expected);
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

#[test]
fn a_seed_gives_one_stream_and_another_where_the_process_is_random() {
    for schedule in all() {
        let of_seed = |seed| slots(schedule.start(seed), 300);
        assert_eq!(of_seed(1), of_seed(1), "{schedule:?}");
        assert_eq!(of_seed(1) != of_seed(2), schedule.is_random(), "{schedule:?}");
        assert_eq!(schedule.realised(1, 300), schedule.realised(1, 300));
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
        let mut process = workers_of(Service::Exponential, &[1.0; 50], None).start(1);
        let mut changed = process.clone();
        changed.reseed(seed);
        assert_eq!(process.next(), changed.next());
    }
}

/// Delays and minibatches of one seed must not be made of the same random numbers.
#[test]
fn delays_are_drawn_from_a_stream_of_their_own() {
    use rand::RngExt;
    use rand_chacha::rand_core::SeedableRng;
    let mut batches = rand_chacha::ChaCha8Rng::seed_from_u64(SEED);
    let drawn: Vec<u32> = (0..100).map(|_| batches.random_range(0..1000)).collect();
    let thousand = random(1000, None);
    assert_ne!(drawn, slots(thousand.start(SEED), 100).iter().map(|slots| slots.read).collect::<Vec<u32>>());
}

#[test]
fn theory_knows_a_process_or_says_nothing() {
    let pmf = DelayPmf::uniform(0, 8).unwrap();
    for (schedule, expected) in [
        (random(5, Some(9)), None),
        (random(1, None), Some(DelayLaw::Fixed(0))),
        (normal(5, None), None),
        (workers_of(Service::Exponential, &[1.0, 2.0], None), None),
        (workers_of(Service::Exponential, &[1.0; 2], Some(9)), None),
        (workers_of(Service::Constant, &[1.0, 2.0], None), None),
        (iid(pmf.clone()), Some(DelayLaw::Independent(pmf))),
        (iid(DelayPmf::uniform(3, 3).unwrap()), Some(DelayLaw::Fixed(3))),
        (trace(&[3, 0]), None),
        (trace(&[3, 3]), Some(DelayLaw::Fixed(3))),
    ] {
        assert_eq!(schedule.theory(), expected, "{schedule:?}");
    }
}

#[test]
fn content_is_all_that_counts() {
    for (schedule, json) in [
        (Schedule::round_robin(4), r#"{"name":"round-robin","delay":4}"#),
        (random(5, Some(9)), r#"{"name":"random","workers":5,"cap":9}"#),
        (normal(5, None), r#"{"name":"normal","workers":5,"cap":null}"#),
        (hybrid(8, 3), r#"{"name":"hybrid","workers":8,"delay":3}"#),
        (
            workers_of(Service::Pareto { shape: 1.5 }, &[1.0, 2.0], None),
            r#"{"name":"workers","service":"pareto","shape":1.5,"means":[1.0,2.0],"cap":null}"#,
        ),
        (
            workers_of(Service::Constant, &[1.0], None),
            r#"{"name":"workers","service":"constant","means":[1.0],"cap":null}"#,
        ),
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
