//! A training along one curvature, update by update, with all that it keeps: the weights, what stands beside them, and the slots.
//!
//! Which slot an update reads and which it writes is told from outside, so that every delay process runs on it. Not here: how fast it
//! decays ([`super::robustness`], [`super::varying`], [`super::simulation`]).

use super::rule::LinearRule;
use nalgebra::DMatrix;

/// What was read at one version of the weights, and the velocity of a worker's own.
#[derive(Clone, Copy, Debug)]
struct Slot {
    read: f64,
    /// P of mixing, or the velocity of a worker's own.
    beside: f64,
}

/// One curvature with all that a training keeps of it; linear in its state.
#[derive(Clone, Debug)]
pub(super) struct Run {
    rule: LinearRule,
    gain: f64,
    x: f64,
    /// The velocity, or P of mixing.
    beside: f64,
    slots: Vec<Slot>,
}

impl Run {
    /// A run at the minimum. `gain` is the learning rate times the curvature.
    pub fn new(rule: LinearRule, slots: usize, gain: f64) -> Self {
        Self { rule, gain, x: 0.0, beside: 0.0, slots: vec![Slot { read: 0.0, beside: 0.0 }; slots] }
    }

    /// The linear map of the state over some updates: x, what is beside it, then each slot's two numbers.
    pub fn map_of(&mut self, updates: impl Fn(&mut Self)) -> DMatrix<f64> {
        let size = self.state().count();
        let mut map = DMatrix::zeros(size, size);
        for (place, mut column) in map.column_iter_mut().enumerate() {
            self.state().enumerate().for_each(|(index, number)| *number = f64::from(u8::from(index == place)));
            updates(self);
            column.iter_mut().zip(self.state()).for_each(|(entry, number)| *entry = *number);
        }
        map
    }

    /// All numbers that are kept.
    pub fn state(&mut self) -> impl Iterator<Item = &mut f64> {
        let slots = self.slots.iter_mut().flat_map(|slot| [&mut slot.read, &mut slot.beside]);
        [&mut self.x, &mut self.beside].into_iter().chain(slots)
    }

    /// One update: the gradient of one slot is applied, and the new weights go into another, or the same.
    pub fn report(&mut self, from: usize, to: usize) {
        let Slot { read, beside } = self.slots[from];
        let gradient = self.gain * read;
        let before = self.x;
        self.slots[to] = match self.rule {
            LinearRule::Predicting { momentum, horizons: [first, second] } => {
                let velocity = momentum * self.beside + gradient;
                self.x -= velocity;
                let predicted = self.x + (first + second) * (self.x - before) + second * self.beside;
                self.beside = velocity;
                Slot { read: predicted, beside: 0.0 }
            }
            LinearRule::PerWorker { momentum } => {
                let velocity = momentum * beside + gradient;
                self.x -= velocity;
                // The server has none.
                self.beside = 0.0;
                Slot { read: self.x, beside: velocity }
            }
            LinearRule::Mixing { momentum, share } => {
                let result = read + momentum * (read - beside) - gradient;
                self.x += share * (result - self.x);
                // Without momentum nothing reads P, whose memory is 1/share updates long.
                self.beside = if momentum == 0.0 { 0.0 } else { self.beside + share * (read - self.beside) };
                Slot { read: self.x, beside: self.beside }
            }
        };
    }
}
