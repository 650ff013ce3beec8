//! How fast a rule is under delays that are only known update by update: a recorded trace, workers with service times.
//!
//! The recurrence is run along every curvature, from random states. Where delays are drawn, a population of runs is followed, and after each
//! window as many runs are drawn anew in proportion to the squares of their growth; the product of the windows' mean growth is then an
//! unbiased estimate of the growth of the mean square, whatever the size of the population (Del Moral, Feynman-Kac Formulae, 2004,
//! theorem 7.4.2). Several populations tell its error. Where nothing is drawn there is one run, and its own growth.
//!
//! Not here: rates that need no simulation ([`super::varying`]).

use super::rule::LinearRule;
use super::run::Run;
use super::varying::gains;

/// The slots of a run, update by update.
pub trait SlotSteps: Clone {
    /// The slot that the next update reads, and the one that it writes.
    fn next(&mut self) -> [usize; 2];
    /// Draws from a new seed from here on; what was drawn stays.
    fn reseed(&mut self, seed: u64);
}

/// A delay process as simulations ask for it.
pub struct SimulatedDelays<F> {
    pub slots: usize,
    /// Whether two seeds give two streams.
    pub is_drawn: bool,
    /// Updates after which a record begins anew; 0 where there is none.
    pub period: usize,
    /// The slots of a run with this seed.
    pub start: F,
}

/// A rate with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimulatedRate {
    /// `-ln` of the factor by which the root of the mean square shrinks in an update; negative where it grows.
    pub rate: f64,
    /// The 95 % interval.
    pub low: f64,
    pub high: f64,
}

/// How much is simulated.
#[derive(Clone, Copy, Debug)]
struct Effort {
    members: usize,
    updates: usize,
    seed: u64,
}

/// Populations of the rate that is told, and the quantile of Student's distribution with one degree of freedom less.
const POPULATIONS: usize = 8;
const STUDENT: f64 = 2.365;

/// Runs of a population, while searching and at the end.
const SEARCHING_MEMBERS: usize = 4;
const MEMBERS: usize = 16;

/// E-folds that a run lasts, while searching and at the end, where delays are drawn and where they are recorded, and the most updates of each.
const SEARCHING_EFOLDS: [f64; 2] = [25.0, 120.0];
const SEARCHING_MOST: usize = 60_000;
const EFOLDS: [f64; 2] = [200.0, 600.0];
const MOST: usize = 600_000;

/// Curvatures whose rate is simulated long: the slowest few.
const SLOWEST: usize = 3;

/// Share of the updates, at the beginning, that is left out: 1 / this.
const UNSETTLED: usize = 4;

/// Over the updates of a run, by how much its rate may be off: the slope of `t r^t` over the last three quarters is off by less than half of
/// that, and so is an oscillation that is slower than the run.
const BLUR: f64 = 4.0;

impl<F: Fn(u64) -> S + Sync, S: SlotSteps> SimulatedDelays<F> {
    /// A quick estimate of the rate of the slowest of `curvatures` curvatures, the same at every call; `efold` is about the number of updates of
    /// an e-fold. None where one does not decay.
    pub(super) fn estimated(
        &self,
        rule: &LinearRule,
        (gain, condition): (f64, f64),
        curvatures: usize,
        efold: f64,
    ) -> Option<f64> {
        let updates = self.short(efold);
        let effort = Effort { members: SEARCHING_MEMBERS, updates, seed: 1 };
        self.slowest_decay(rule, gains(gain, condition, curvatures), effort)
    }

    /// An estimate with as many runs as a rate that is told, for a quarter of its updates: with few runs the logarithm of a mean growth
    /// is too small where rare runs make it, and what is optimised by it has too much gain. None where a curvature does not decay, and where
    /// nothing is drawn, so that more runs tell no more.
    pub(super) fn refined(
        &self,
        rule: &LinearRule,
        (gain, condition): (f64, f64),
        curvatures: usize,
        efold: f64,
    ) -> Option<f64> {
        if !self.is_drawn {
            return None;
        }
        let updates = (self.long(efold) / 4).max(self.short(efold));
        let effort = Effort { members: MEMBERS, updates, seed: 5 };
        let slowest = self.slowest(rule, gains(gain, condition, curvatures), efold);
        self.slowest_decay(rule, slowest.into_iter(), effort)
    }

    /// The least rate of decay at these gains; none where one does not decay.
    fn slowest_decay(&self, rule: &LinearRule, gains: impl Iterator<Item = f64>, effort: Effort) -> Option<f64> {
        let growth = gains.map(|gain| self.growth(rule, gain, effort)).fold(f64::NEG_INFINITY, f64::max);
        (growth < 0.0).then_some(-growth)
    }

    /// The rate of the slowest of `curvatures` curvatures, with its interval; none where the run leaves what numbers can hold.
    pub fn measure(
        &self,
        rule: &LinearRule,
        (gain, condition): (f64, f64),
        curvatures: usize,
        efold: f64,
    ) -> Option<SimulatedRate> {
        let updates = self.long(efold);
        let slowest = self.slowest(rule, gains(gain, condition, curvatures), efold);
        let measured = slowest.into_iter().map(|gain| self.measured(rule, gain, updates));
        measured.min_by(|a, b| a.rate.total_cmp(&b.rate)).filter(|measured| measured.rate.is_finite())
    }

    /// The rate of one population at the slowest of `curvatures` curvatures; none where one does not decay.
    pub(super) fn confirmed(
        &self,
        rule: &LinearRule,
        (gain, condition): (f64, f64),
        curvatures: usize,
        efold: f64,
    ) -> Option<f64> {
        let effort = Effort { members: MEMBERS, updates: self.long(efold), seed: 3 };
        let slowest = self.slowest(rule, gains(gain, condition, curvatures), efold);
        self.slowest_decay(rule, slowest.into_iter(), effort)
    }

    /// The gains at which a short simulation is slowest.
    fn slowest(
        &self,
        rule: &LinearRule,
        gains: impl Iterator<Item = f64>,
        efold: f64,
    ) -> impl IntoIterator<Item = f64> {
        let updates = self.short(efold);
        let quick = Effort { members: SEARCHING_MEMBERS, updates, seed: 2 };
        let mut all: Vec<(f64, f64)> = gains.map(|gain| (self.growth(rule, gain, quick), gain)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.truncate(SLOWEST);
        all.into_iter().map(|(_, gain)| gain)
    }

    fn measured(&self, rule: &LinearRule, gain: f64, updates: usize) -> SimulatedRate {
        let population = |place: usize| {
            let seed = 0x1000 + place as u64;
            -self.growth(rule, gain, Effort { members: MEMBERS, updates, seed })
        };
        let rates: Vec<f64> = (0..POPULATIONS).map(population).collect();
        let count = rates.len() as f64;
        let rate = rates.iter().sum::<f64>() / count;
        let variance = rates.iter().map(|one| (one - rate).powi(2)).sum::<f64>() / (count - 1.0);
        let half = STUDENT * (variance / count).sqrt() + BLUR / updates as f64;
        SimulatedRate { rate, low: rate - half, high: rate + half }
    }

    /// Updates of a rate for the search.
    fn short(&self, efold: f64) -> usize {
        let [drawn, recorded] = SEARCHING_EFOLDS;
        self.updates(efold * if self.is_drawn { drawn } else { recorded }, SEARCHING_MOST)
    }

    /// Updates of a rate that is told.
    fn long(&self, efold: f64) -> usize {
        let [drawn, recorded] = EFOLDS;
        self.updates(efold * if self.is_drawn { drawn } else { recorded }, MOST)
    }

    /// So many updates, and whole records where there is one.
    fn updates(&self, wanted: f64, most: usize) -> usize {
        let wanted = (wanted.min(most as f64) as usize).max(40 * self.slots);
        if self.period > 1 { wanted.max((2 * self.period).min(most)) } else { wanted }
    }

    /// Growth per update of the root of the mean square along one curvature; a logarithm.
    fn growth(&self, rule: &LinearRule, gain: f64, effort: Effort) -> f64 {
        let members = if self.is_drawn { effort.members } else { 1 };
        let mut numbers = Numbers(effort.seed);
        let mut runs: Vec<(Run, S)> = (0..members)
            .map(|_| {
                let mut run = Run::new(*rule, self.slots, gain);
                run.state().for_each(|number| *number = numbers.next() - 0.5);
                (run, (self.start)(numbers.bits()))
            })
            .collect();
        let window = self.slots.max(16);
        let windows = effort.updates.div_ceil(window).max(UNSETTLED);
        let (mut log, mut counted) = (0.0, 0);
        let mut growths = vec![0.0; members];
        for (run, _) in &mut runs {
            scale(run);
        }
        for place in 0..windows {
            for ((run, steps), growth) in runs.iter_mut().zip(&mut growths) {
                for _ in 0..window {
                    let [from, to] = steps.next();
                    run.report(from, to);
                }
                *growth = scale(run);
            }
            let mean = growths.iter().sum::<f64>() / members as f64;
            if !(mean > 0.0 && mean.is_finite()) {
                return if mean == 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
            }
            if place >= windows / UNSETTLED {
                log += mean.ln();
                counted += window;
            }
            if members > 1 {
                runs = drawn_anew(&runs, &growths, &mut numbers);
            }
        }
        0.5 * log / counted as f64
    }
}

/// Scales a run to the size 1, and returns the square of the size that it had.
fn scale(run: &mut Run) -> f64 {
    let square: f64 = run.state().map(|number| *number * *number).sum();
    let factor = square.sqrt().recip();
    if factor.is_finite() {
        run.state().for_each(|number| *number *= factor);
    }
    square
}

/// As many members, each in proportion to its growth; of one that is taken several times all but the first go their own way.
fn drawn_anew<S: SlotSteps>(runs: &[(Run, S)], growths: &[f64], numbers: &mut Numbers) -> Vec<(Run, S)> {
    let total: f64 = growths.iter().sum();
    let step = total / runs.len() as f64;
    let mut mark = numbers.next() * step;
    let (mut taken, mut sum) = (Vec::with_capacity(runs.len()), 0.0);
    for (one, growth) in runs.iter().zip(growths) {
        sum += growth;
        let mut first = true;
        while mark < sum && taken.len() < runs.len() {
            let (run, mut steps) = one.clone();
            if !first {
                steps.reseed(numbers.bits());
            }
            first = false;
            taken.push((run, steps));
            mark += step;
        }
    }
    // Rounding may leave the last mark beyond the sum.
    while taken.len() < runs.len() {
        let (run, mut steps) = runs[runs.len() - 1].clone();
        steps.reseed(numbers.bits());
        taken.push((run, steps));
    }
    taken
}

/// Steele, Lea and Flood's SplitMix64 (OOPSLA 2014).
struct Numbers(u64);

impl Numbers {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    fn next(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}
