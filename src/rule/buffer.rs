//! FedBuff: the server collects the next K gradients, whatever their age, and moves by their mean; workers go on from the
//! weights that are there when they report.
//! Source: Nguyen et al., arXiv:2106.06639.

use super::{Action, Definition, Locality, RuleNumber};
use crate::theory::{DelayLaw, Equation, Velocity};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "buffer",
    summary: "the next K gradients are averaged, late ones too: FedBuff",
    number: Some(RuleNumber::one(4.0, "K, a whole number of at least 1 [default: 4]", |k| {
        k >= 1.0 && k.fract() == 0.0 && k <= 1e9
    })),
    momentum: None,
    workers: false,
    slot_velocity: false,
    update: |rule, _, collected| {
        // The velocity is the sum so far; the first gradient of a buffer overwrites the last buffer's.
        let sum = UpdateCoefficients {
            momentum: if *collected == 0 { 0.0 } else { 1.0 },
            gradient_to_velocity: 1.0 / rule.number(),
            ..UpdateCoefficients::default()
        };
        *collected += 1;
        if (*collected as f64) < rule.number() {
            return Action { coefficients: UpdateCoefficients { lr: 1.0, ..sum }, moves_weights: false };
        }
        *collected = 0;
        Action::update(UpdateCoefficients { velocity_to_weights: 1.0, ..sum })
    },
    locality: Locality::Scales,
    // sgd on the mean of gradients of several ages, counted in updates of the server.
    equation: |rule, law| match law {
        DelayLaw::Fixed(delay) => {
            let size = rule.number() as usize;
            let ages = ages(*delay, size);
            let longest = ages.iter().map(|(age, _)| *age).max().unwrap_or(0);
            let sgd = Equation::new(&DelayLaw::Fixed(longest), Velocity::None, [1.0, 0.0]);
            let (averaged, arrivals) = (size as f64, size as f64);
            Some(Equation { ages, averaged, arrivals, ..sgd })
        }
        DelayLaw::Independent(_) | DelayLaw::RandomWorkers(_) => None,
    },
    synchronous_gain: Some(|_| 2.0),
};

/// Ages of the gradients of a buffer with their shares, oldest first, where `delay + 1` workers report in turn. The `j`-th of `size`
/// was read `delay + 1` arrivals before, and the server has moved at each `size`-th since: `ceil((delay - j) / size)` times.
fn ages(delay: usize, size: usize) -> Vec<(usize, f64)> {
    let mut ages: Vec<(usize, f64)> = Vec::new();
    // From `j = delay` on, a gradient was taken after the last update.
    let mut first = 0;
    while first < size {
        let age = delay.saturating_sub(first).div_ceil(size);
        // Down to the next multiple of the size the age stays.
        let alike = if age == 0 { size - first } else { (delay - first - (age - 1) * size).min(size - first) };
        ages.push((age, alike as f64 / size as f64));
        first += alike;
    }
    ages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delay::Schedule;
    use crate::rule::steps::StepSource;
    use crate::rule::{Rule, RuleSpec};

    #[test]
    fn ages_are_those_of_the_steps() {
        for (delay, size) in [(0, 1), (0, 4), (3, 4), (7, 4), (6, 4), (2, 5), (9, 2), (11, 3), (8, 1), (31, 5)] {
            let rule: Rule = format!("buffer:{size}").parse::<RuleSpec>().unwrap().with(0.0, 0.0);
            let mut steps = StepSource::new(rule, 1.0.into(), &Schedule::round_robin(delay), 0, 0.0, false);
            let seen: Vec<usize> = (0..size as usize * 40)
                .map(|_| steps.advance())
                .map(|step| {
                    // The age at the update that applies it: those before it in the buffer do not move the weights.
                    step.age as usize
                })
                .collect();
            let seen = &seen[size as usize * 30..][..size as usize];
            let expected = ages(delay as usize, size as usize);
            let mut told: Vec<usize> = Vec::new();
            for (age, share) in expected {
                told.extend(std::iter::repeat_n(age, (share * f64::from(size)).round() as usize));
            }
            assert_eq!(told, seen, "delay {delay}, buffer of {size}");
        }
    }
}
