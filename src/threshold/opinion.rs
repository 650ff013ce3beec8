//! Second opinion on a bracket: runs that begin nearer to the minimum and runs that begin farther from it must both say that
//! its lower end is stable and its upper end is not. Rounding moves thresholds the more the smaller a displacement is, and
//! the bend of the loss the more the larger it is, so that neither moves both alike.
//!
//! Not here: which runs a search asks for otherwise ([`super::search`]).

use super::zero::{Zero, zero};
use super::{Doubt, StartPoint, Trial, Verdict};
use strum::IntoEnumIterator;

/// Largest distance between the zeros of growth rates that runs from either start have shown, in units of the tolerance. A
/// threshold that rounding has moved is then moved by at most a third of this for runs from the far start.
const APART: f64 = 0.25;

/// What all runs so far say of a bracket.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Opinion {
    Agreed,
    /// Runs that must be made first.
    Open(Vec<(f64, StartPoint)>),
    Doubted(Doubt),
}

/// Asks the runs from either start about both ends of a bracket. The zero of growth rates that runs from one start have shown
/// stands for runs at the ends, where it lies between them.
pub(super) fn second_opinion(trials: &[Trial], low: f64, high: f64, tolerance: f64) -> Opinion {
    let (mut open, mut zeros) = (Vec::new(), Vec::new());
    for start in StartPoint::iter() {
        let here: Vec<Trial> = trials.iter().filter(|trial| trial.start == Some(start)).cloned().collect();
        let any = |test: &dyn Fn(&Trial) -> bool| here.iter().any(test);
        let unstable = |trial: &Trial| matches!(trial.verdict, Verdict::Escaped | Verdict::Diverged);
        let stable = |trial: &Trial| trial.verdict == Verdict::Stable;
        if any(&|trial| stable(trial) && trial.lr >= high) || any(&|trial| unstable(trial) && trial.lr <= low) {
            return Opinion::Doubted(Doubt::Starts);
        }
        // Near the ends interpolation is as good as it gets.
        let ends: Vec<Trial> = here.iter().filter(|trial| trial.lr == low || trial.lr == high).cloned().collect();
        let here_zero = zero(&ends).or_else(|| zero(&here));
        let between = here_zero.is_some_and(|zero| (low..=high).contains(&zero.lr));
        zeros.extend(here_zero);
        let seen = [
            (low, any(&|trial| stable(trial) && trial.lr >= low)),
            (high, any(&|trial| unstable(trial) && trial.lr <= high || stays_away(trials, trial, high))),
        ];
        for (lr, _) in seen.into_iter().filter(|(_, seen)| !(*seen || between)) {
            if let Some(trial) = here.iter().find(|trial| trial.lr == lr) {
                return Opinion::Doubted(trial.doubt.unwrap_or(Doubt::Horizon));
            }
            open.push((lr, start));
        }
    }
    if let [Zero { lr: near, .. }, Zero { lr: far, .. }] = zeros[..]
        && (near - far).abs() > APART * tolerance * near
        && open.is_empty()
    {
        // A zero that was interpolated from afar may be off for that reason alone.
        let tried = |lr: f64| trials.iter().any(|trial| trial.start == Some(StartPoint::Near) && trial.lr == lr);
        open.extend([low, high].into_iter().filter(|lr| !tried(*lr)).map(|lr| (lr, StartPoint::Near)));
        if open.is_empty() {
            return Opinion::Doubted(Doubt::Starts);
        }
    }
    if open.is_empty() { Opinion::Agreed } else { Opinion::Open(open) }
}

/// Whether a run at the upper end that began farther out neither returned nor left within its horizon, where one that began nearer left: so
/// little above the threshold the bend of the loss holds it.
fn stays_away(trials: &[Trial], trial: &Trial, high: f64) -> bool {
    let escapes =
        |other: &Trial| other.lr == high && other.start == Some(StartPoint::Near) && other.verdict == Verdict::Escaped;
    let is_held = matches!(trial.doubt, Some(Doubt::Horizon | Doubt::Held)) && trial.verdict.is_open();
    trial.lr == high && trial.start == Some(StartPoint::Far) && is_held && trials.iter().any(escapes)
}

/// Whether runs at one learning rate ended differently by where they began.
pub(super) fn starts_differ(trials: &[Trial]) -> bool {
    let decided: Vec<&Trial> = trials.iter().filter(|trial| !trial.verdict.is_open()).collect();
    let stable = |trial: &Trial| trial.verdict == Verdict::Stable;
    decided.iter().any(|one| decided.iter().any(|other| one.lr == other.lr && stable(one) != stable(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_a_bend_holds_above_the_threshold_agrees_with_one_that_left_from_nearer() {
        let (low, high) = (0.996, 1.004);
        let run = |lr, start, verdict, growth, doubt| {
            let start = Some(start);
            Trial { start, verdict, growth, doubt, steps: 64, ..Trial::failed(lr) }
        };
        let near = [
            run(low, StartPoint::Near, Verdict::Stable, Some(-0.008), None),
            run(high, StartPoint::Near, Verdict::Escaped, Some(0.008), None),
        ];
        let far = |doubt| {
            [
                run(low, StartPoint::Far, Verdict::Stable, Some(-0.0085), None),
                run(high, StartPoint::Far, Verdict::Undecided, None, Some(doubt)),
            ]
        };
        let opinion = |near: &[Trial], doubt| second_opinion(&[near, &far(doubt)].concat(), low, high, 0.01);
        assert_eq!(opinion(&near, Doubt::Horizon), Opinion::Agreed);
        assert_eq!(opinion(&near, Doubt::Held), Opinion::Agreed);
        assert_eq!(opinion(&near, Doubt::Rounding), Opinion::Doubted(Doubt::Rounding));
        // Nothing else says that the upper end is unstable.
        let elsewhere = [near[0].clone(), Trial { lr: 1.002, ..near[1].clone() }];
        assert_eq!(opinion(&elsewhere, Doubt::Held), Opinion::Doubted(Doubt::Held));
    }
}
