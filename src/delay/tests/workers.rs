//! Processes of workers: by the distribution that theory or the reference implementation gives, by a scan of all workers,
//! and by what holds for any of them, the mean and the cap.

use super::*;

fn statistics(schedule: &Schedule, steps: u64) -> (f64, f64) {
    let delays = schedule.realised(SEED, steps);
    (delays.mean().unwrap(), delays.std().unwrap())
}

proptest! {
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
        // Nothing is missing but the first arrivals.
        let arrivals = delays.count();
        prop_assert!((20_000 - u64::from(schedule.slots())..20_000).contains(&arrivals));
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
            expected.push(worker as u32);
        }
        let mut rng = rand_chacha::rand_core::SeedableRng::seed_from_u64(0);
        let workers = Workers { service: Service::Constant, means: means.into(), cap };
        let mut clock = workers.source(&mut rng);
        let reports: Vec<u32> = (0..300).map(|step| clock.next(step, &mut rng).read).collect();
        prop_assert_eq!(reports, expected);
    }
}

fn service() -> impl Strategy<Value = Service> {
    prop_oneof![
        Just(Service::Constant),
        Just(Service::Exponential),
        (0.1..1.0).prop_map(|shape| Service::Lognormal { shape }),
        (2.5..9.0).prop_map(|shape| Service::Pareto { shape }),
    ]
}

/// Worker processes of up to 8 workers that are not too different, with their cap or `u32::MAX`.
fn with_cap(cap: impl Strategy<Value = Option<u32>>) -> impl Strategy<Value = (Schedule, u32)> {
    let crews = (service(), prop::collection::vec(1.0..4.0, 2..9));
    (cap, 0..3, crews).prop_map(|(slack, which, (service, means))| {
        let workers = means.len() as u32;
        let cap = slack.map(|slack| workers - 1 + slack);
        let schedule = match which {
            0 => random(workers, cap),
            1 => normal(workers, cap),
            _ => workers_of(service, &means, cap),
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

/// Random picks leave a worker alone for a geometric time: variance (1-p)/p^2 with p = 1/N, that is N (N-1). So do
/// exponential service times, whose next to finish is anybody.
#[test]
fn random_and_memoryless_workers_have_geometric_delays() {
    for n in [2u32, 8, 20] {
        let exponential = workers_of(Service::Exponential, &vec![2.0; n as usize], None);
        for schedule in [random(n, None), exponential] {
            let (mean, std) = statistics(&schedule, 400_000);
            let n = f64::from(n);
            assert!((mean - (n - 1.0)).abs() < 0.01 * n, "{schedule:?}: mean {mean}");
            assert!((std / (n * (n - 1.0)).sqrt() - 1.0).abs() < 0.02, "{schedule:?}: standard deviation {std}");
            let expected = DelayLaw::RandomWorkers(n as usize);
            assert_eq!(schedule.theory(), Some(expected));
        }
    }
}

/// Standard deviations of the staleness that the reference implementation's `Trainer._schedule_worker` counts, simulated in
/// another language with another generator.
#[test]
fn normal_workers_have_the_delays_of_the_reference_implementation() {
    for (workers, expected) in [(8, 1.485), (16, 3.39), (32, 7.23)] {
        let (mean, std) = statistics(&normal(workers, None), 200_000);
        assert!((mean - f64::from(workers - 1)).abs() < 1e-2, "{workers} workers: mean {mean}");
        assert!(
            (std / expected - 1.0).abs() < 0.01,
            "{workers} workers: standard deviation {std}, {expected} expected"
        );
    }
}

/// A slow worker is late by its own clock: with one worker S times as slow, one of its gradients takes as long as S of each
/// of the others.
#[test]
fn slow_workers_bring_old_gradients() {
    let schedule = workers_of(Service::Constant, &[1.0, 1.0, 1.0, 10.0], None);
    let delays = schedule.realised(SEED, 31 * 100);
    assert_eq!((delays.median(), delays.max()), (Some(2), Some(30)));
    // One in 31 updates comes from the slow worker, and the three around it see one report more.
    let counts: Vec<(u64, u64)> = delays.iter().collect();
    assert_eq!(counts.iter().map(|(delay, _)| *delay).collect::<Vec<_>>(), [2, 3, 30]);
    assert!(counts[2].1 == 99 && (296..=300).contains(&counts[1].1), "{counts:?}");
}
