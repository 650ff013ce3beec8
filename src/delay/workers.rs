//! Workers with service times of their own, in virtual time: a queue of who finishes when.
//!
//! Each worker computes one gradient after another; the server applies a gradient the moment it is finished, in no time,
//! and the worker goes on at once from the new weights. *What it is not:* a model of a network: sending takes no time, and
//! the server never queues. Time has no unit, only ratios of service times matter.

use super::bound::Bound;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Exp1, StandardNormal};
use serde::{Serialize, Serializer};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// The law of a service time, of mean 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "service")]
pub enum Service {
    Constant,
    Exponential,
    /// `exp(s z - s^2/2)` for a standard normal z. `shape` is s.
    Lognormal {
        shape: f64,
    },
    /// Beyond `(a-1)/a`, above `x` with probability proportional to `x^-a`: heavy tails. `shape` is a, above 1; up to 2 the
    /// variance is infinite.
    Pareto {
        shape: f64,
    },
}

impl Service {
    /// With the exponential function of a library, so that machines agree on the order of arrivals.
    fn draw(&self, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Exponential => rng.sample(Exp1),
            Self::Lognormal { shape } => libm::exp(shape * rng.sample::<f64, _>(StandardNormal) - shape * shape / 2.0),
            // The logarithm of a Pareto variable is exponential.
            Self::Pareto { shape } => (shape - 1.0) / shape * libm::exp(rng.sample::<f64, _>(Exp1) / shape),
        }
    }
}

/// Workers by their service times.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Crew {
    #[serde(flatten)]
    pub service: Service,
    /// Mean service time of each worker; positive.
    #[serde(serialize_with = "slice")]
    pub means: Arc<[f64]>,
    /// Age at which a snapshot must come back, updates.
    pub cap: Option<u32>,
}

/// Shared tables are stored as plain lists.
pub fn slice<T: Serialize, S: Serializer>(values: &Arc<[T]>, serializer: S) -> Result<S::Ok, S::Error> {
    values[..].serialize(serializer)
}

impl Crew {
    pub fn workers(&self) -> u32 {
        self.means.len() as u32
    }

    fn alike(&self) -> bool {
        self.means.iter().all(|mean| *mean == self.means[0])
    }

    /// Whether the workers report in turn, each as fast as the others.
    pub fn in_turn(&self) -> bool {
        self.service == Service::Constant && self.alike()
    }

    /// Whether all workers are equally likely to finish next, whatever happened so far.
    pub fn is_memoryless(&self) -> bool {
        self.service == Service::Exponential && self.alike() && self.cap.is_none()
    }
}

/// When each worker finishes.
#[derive(Clone, Debug)]
pub struct Clock {
    crew: Crew,
    now: f64,
    finish: Box<[f64]>,
    /// The version of each worker's snapshot: number of updates behind it.
    taken: Box<[u64]>,
    /// (bits of the time, worker, version of its snapshot): bits of positive floats are in the order of the floats, and of
    /// two that finish together the lower worker is first. An entry is void when its worker has moved on to another
    /// snapshot, which a cap may have made it do before the entry's turn.
    queue: BinaryHeap<Reverse<(u64, u32, u64)>>,
    bound: Option<Bound>,
}

impl Clock {
    /// Time 0: all workers start.
    pub fn new(crew: &Crew, rng: &mut ChaCha8Rng) -> Self {
        let workers = crew.means.len();
        let mut clock = Self {
            now: 0.0,
            finish: vec![0.0; workers].into(),
            taken: vec![0; workers].into(),
            // Void entries stand behind the first valid one, whose worker is due within a cap; in that time every other
            // worker comes due once or twice.
            queue: BinaryHeap::with_capacity(4 * workers),
            bound: crew.cap.map(|cap| Bound::new(crew.workers(), cap)),
            crew: crew.clone(),
        };
        for worker in 0..crew.workers() {
            clock.begin(worker, 0, rng);
        }
        clock
    }

    fn begin(&mut self, worker: u32, version: u64, rng: &mut ChaCha8Rng) {
        let place = worker as usize;
        let finish = self.now + self.crew.means[place] * self.crew.service.draw(rng);
        self.finish[place] = finish;
        self.taken[place] = version;
        self.queue.push(Reverse((finish.to_bits(), worker, version)));
    }

    /// Who reports at step `step`.
    pub fn next(&mut self, step: u64, rng: &mut ChaCha8Rng) -> u32 {
        let worker = self.due(step).unwrap_or_else(|| self.first());
        // Others may have finished while the server waited for one that was due: they report now.
        self.now = self.now.max(self.finish[worker as usize]);
        if let Some(bound) = &mut self.bound {
            bound.served(worker, step);
        }
        self.begin(worker, step + 1, rng);
        while self.queue.peek().is_some_and(|Reverse((_, worker, version))| self.taken[*worker as usize] != *version) {
            self.queue.pop();
        }
        worker
    }

    /// The worker that the server must wait for.
    fn due(&self, step: u64) -> Option<u32> {
        let bound = self.bound.as_ref()?;
        let oldest = bound.due(step)?;
        // At the start several are equally old: the server waits for the first of them.
        let finish = |worker: &u32| self.finish[*worker as usize];
        Some(bound.fresh().min_by(|a, b| finish(a).total_cmp(&finish(b))).unwrap_or(oldest))
    }

    /// The worker that finishes first.
    fn first(&self) -> u32 {
        let Reverse((_, worker, _)) = self.queue.peek().expect("every worker is in the queue");
        *worker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn reports(service: Service, means: &[f64], cap: Option<u32>, steps: u64) -> Vec<u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut clock = Clock::new(&Crew { service, means: means.into(), cap }, &mut rng);
        (0..steps).map(|step| clock.next(step, &mut rng)).collect()
    }

    #[test]
    fn workers_as_fast_as_each_other_report_in_turn() {
        for cap in [None, Some(4), Some(9)] {
            let turns = reports(Service::Constant, &[0.3; 5], cap, 1000);
            assert_eq!(turns, (0..1000).map(|step| step % 5).collect::<Vec<u32>>(), "cap {cap:?}");
        }
    }

    /// By hand. Worker 0 finishes at 1, 2, 3, ..., worker 1 at 2, 4, ...; of two that finish together worker 0 is first.
    #[test]
    fn a_worker_half_as_fast_reports_half_as_often() {
        assert_eq!(reports(Service::Constant, &[1.0, 2.0], None, 9), [0, 0, 1, 0, 0, 1, 0, 0, 1]);
    }

    /// By hand. Snapshots of worker 1 would be ten updates old; at age 2 the server waits for it.
    #[test]
    fn the_server_waits_for_a_worker_that_is_due() {
        assert_eq!(reports(Service::Constant, &[1.0, 10.0], Some(2), 9), [0, 0, 1, 0, 0, 1, 0, 0, 1]);
        // Between steps 2 and 3 the clock stands at 10, since worker 0 has been ready from time 3 on.
        assert_eq!(reports(Service::Constant, &[1.0, 10.0], None, 12)[9..], [0, 1, 0]);
    }

    /// The tightest cap makes every report a forced one, so that nothing but the clearing empties the queue.
    #[test]
    fn the_queue_does_not_grow() {
        for cap in [3, 4, 7] {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let crew = Crew { service: Service::Pareto { shape: 1.1 }, means: [1.0; 4].into(), cap: Some(cap) };
            let mut clock = Clock::new(&crew, &mut rng);
            let room = clock.queue.capacity();
            for step in 0..20_000 {
                clock.next(step, &mut rng);
                assert!(clock.queue.len() < room, "{} entries at step {step}, cap {cap}", clock.queue.len());
            }
        }
    }

    #[test]
    fn every_law_has_mean_one() {
        const DRAWS: u32 = 400_000;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        // With the variance of each law, from its textbook formula.
        let laws = [
            (Service::Constant, 0.0),
            (Service::Exponential, 1.0),
            (Service::Lognormal { shape: 0.7 }, 0.7f64.powi(2).exp() - 1.0),
            (Service::Pareto { shape: 4.5 }, 1.0 / (4.5 * 2.5)),
        ];
        for (law, variance) in laws {
            let draws: Vec<f64> = (0..DRAWS).map(|_| law.draw(&mut rng)).collect();
            let mean = draws.iter().sum::<f64>() / f64::from(DRAWS);
            let spread = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(DRAWS);
            // Five standard errors of the mean; the sample variance of the heavier tails converges slowly.
            assert!((mean - 1.0).abs() <= 5.0 * (variance / f64::from(DRAWS)).sqrt(), "{law:?}: mean {mean}");
            assert!((spread - variance).abs() <= 0.1 * variance, "{law:?}: variance {spread}, {variance} expected");
        }
    }
}
