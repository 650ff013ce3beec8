//! What became of runs as the rows of the results folder, and the groups that they repeat.

use super::outcome::{EvaluationRecord, GeneralisedRecord, Outcome, SharpnessRecord};
use super::task::Training;
use crate::engine::EngineInfo;
use crate::stages::Stages;
use crate::table::{Interval, Metric, MetricRow, SummaryRow, TrainRow, TrainStatus, median};

/// Share of the tracked steps, the last ones, that a plateau is the median of.
const PLATEAU: usize = 3;

/// The row of a run.
pub fn run(training: &Training, info: &EngineInfo, run: usize, outcome: &Outcome) -> TrainRow {
    let (plan, group, network) = (&training.plan, training.group(run), training.network());
    let (problem, options) = (&plan.problem, &plan.options);
    let last = outcome.evaluations.last();
    let of_last = |figure: fn(&EvaluationRecord) -> f64| last.map(figure);
    // The first of equal ones.
    let best = outcome.evaluations.iter().rev().max_by_key(|evaluation| evaluation.test.correct);
    let moved = outcome.last.as_ref().map(|last| distance(&last.weights, training.start(run)));
    let lambda = if outcome.diverged { None } else { outcome.sharpness.last() };
    let predicted = training.lambda_predicted(group);
    let tracked = options.sharpness.and_then(|plan| plan.every(u64::MAX)).is_some() && !outcome.diverged;
    let plateau = if tracked { median_of_last(&outcome.sharpness) } else { None };
    let preconditioned = if outcome.diverged { None } else { outcome.preconditioned.last() };
    let preconditioned_predicted = training.preconditioned_predicted(group);
    let preconditioned_plateau = preconditioned.and_then(|_| median_of_last(&outcome.preconditioned));
    let generalised = if outcome.diverged { None } else { outcome.generalised.last() };
    let outer = group.outer.columns();
    let stage = group.stages.as_ref().map(Stages::columns).unwrap_or_default();
    TrainRow {
        run_id: training.run_id(run),
        group_id: plan.group_id(group),
        data: problem.data.to_string(),
        model: match problem.activation {
            Some(activation) => format!("{} {activation}", problem.model),
            None => problem.model.to_string(),
        },
        loss: problem.loss.to_string(),
        samples: network.data.samples() as u64,
        test_samples: network.test.as_ref().map_or(0, |test| test.samples() as u64),
        weight_decay: problem.weight_decay,
        rule: group.rule.name(),
        momentum: group.rule.momentum,
        dampening: group.rule.dampening,
        delay: group.delay,
        schedule: group.schedule.name(),
        lr_scaling: group.scaling.to_string(),
        lr: group.lr,
        lr_scaled: group.lr_scaled,
        effective_lr: group.effective_lr(),
        lr_regime: options.regime.with_warm_up(options.warm_up),
        batch: group.batch.to_string(),
        local_steps: outer.local_steps,
        local_lr: outer.local_lr,
        local_rule: outer.local_rule,
        replicas: outer.replicas,
        fresh_share: outer.fresh_share,
        overlap: outer.overlap,
        overlap_weight: outer.overlap_weight,
        arrivals: outer.arrivals,
        stages: stage.stages,
        stage_delays: stage.stage_delays,
        stage_lr: stage.stage_lr,
        stage_momentum: stage.stage_momentum,
        stage_cuts: stage.stage_cuts,
        stashing: stage.stashing,
        backward_delays: stage.backward_delays,
        seed: training.seed(run),
        epochs: options.epochs,
        status: if outcome.diverged { TrainStatus::Diverged } else { TrainStatus::Finished },
        diverged_step: outcome.diverged.then_some(outcome.steps),
        train_loss: of_last(|evaluation| evaluation.train.loss),
        test_loss: of_last(|evaluation| evaluation.test.loss),
        train_accuracy: of_last(|evaluation| evaluation.train.accuracy()),
        test_accuracy: of_last(|evaluation| evaluation.test.accuracy()),
        untrained: of_last(|evaluation| evaluation.train.accuracy())
            .filter(|_| !outcome.diverged)
            .map(|accuracy| u32::from(accuracy <= network.data.guessing())),
        best_test_accuracy: best.map(|evaluation| evaluation.test.accuracy()),
        best_epoch: best.map(|evaluation| evaluation.epoch),
        generalisation_gap: of_last(|evaluation| evaluation.train.accuracy() - evaluation.test.accuracy()),
        loss_gap: of_last(|evaluation| evaluation.test.loss - evaluation.train.loss),
        distance_from_init: moved,
        lambda_max: lambda.map(|lambda| lambda.value),
        lambda_residual: lambda.map(|lambda| lambda.residual),
        lambda_predicted: predicted,
        plateau,
        plateau_ratio: plateau.zip(predicted).map(|(plateau, predicted)| plateau / predicted),
        preconditioned_lambda_max: preconditioned.map(|lambda| lambda.value),
        preconditioned_residual: preconditioned.map(|lambda| lambda.residual),
        preconditioned_predicted,
        preconditioned_plateau,
        preconditioned_ratio: preconditioned_plateau
            .zip(preconditioned_predicted)
            .map(|(plateau, predicted)| plateau / predicted),
        generalised_sharpness: generalised.map(|bounds| bounds.lower),
        generalised_bound: generalised.and_then(|bounds| bounds.upper),
        steps: outcome.steps,
        engine: format!("{} {}", info.engine, info.precision),
        adapter: info.adapter.clone(),
        reason: None,
    }
}

/// What was seen of a run on its way, by step.
pub fn metrics(training: &Training, run: usize, outcome: &Outcome) -> Vec<MetricRow> {
    let run_id = training.run_id(run);
    let pace = training.pace_of(run);
    let row = |step: u64, metric: Metric, value: f64| {
        let (run_id, epoch) = (run_id.clone(), pace.epochs(step));
        MetricRow { run_id, step, epoch, metric, value }
    };
    let of_evaluation = |EvaluationRecord { step, objective, train, test, .. }: &EvaluationRecord| {
        let objective = objective.map(|objective| row(*step, Metric::Objective, objective));
        let figures = [
            (Metric::TrainLoss, train.loss),
            (Metric::TrainAccuracy, train.accuracy()),
            (Metric::TestLoss, test.loss),
            (Metric::TestAccuracy, test.accuracy()),
        ];
        objective.into_iter().chain(figures.map(|(metric, value)| row(*step, metric, value))).collect::<Vec<_>>()
    };
    let of_sharpness = |SharpnessRecord { step, value, residual, .. }: &SharpnessRecord| {
        [row(*step, Metric::LambdaMax, *value), row(*step, Metric::LambdaResidual, *residual)]
    };
    let of_preconditioned = |SharpnessRecord { step, value, residual, converged }: &SharpnessRecord| {
        [
            row(*step, Metric::PreconditionedLambdaMax, *value),
            row(*step, Metric::PreconditionedResidual, *residual),
            row(*step, Metric::PreconditionedConverged, f64::from(u8::from(*converged))),
        ]
    };
    let of_generalised = |GeneralisedRecord { step, lower, upper }: &GeneralisedRecord| {
        let bound = upper.map(|upper| row(*step, Metric::GeneralisedBound, upper));
        [row(*step, Metric::GeneralisedSharpness, *lower)].into_iter().chain(bound).collect::<Vec<_>>()
    };
    let evaluated = outcome.evaluations.iter().flat_map(of_evaluation);
    let tracked = outcome.sharpness.iter().flat_map(of_sharpness);
    let preconditioned = outcome.preconditioned.iter().flat_map(of_preconditioned);
    let generalised = outcome.generalised.iter().flat_map(of_generalised);
    let mut rows: Vec<MetricRow> = evaluated.chain(tracked).chain(preconditioned).chain(generalised).collect();
    rows.sort_by_key(|row| row.step);
    rows
}

/// One row for each group, in the order in which they come.
pub fn summaries(runs: &[TrainRow]) -> Vec<SummaryRow> {
    let groups = runs.chunk_by(|one, next| one.group_id == next.group_id);
    groups.map(summary).collect()
}

/// `group` is not empty.
fn summary(group: &[TrainRow]) -> SummaryRow {
    let first = &group[0];
    let finished = || group.iter().filter(|run| run.status == TrainStatus::Finished);
    let of = |figure: fn(&TrainRow) -> Option<f64>| Interval::of(&finished().filter_map(figure).collect::<Vec<_>>());
    let interval = |figure| {
        let interval = of(figure);
        (interval.map(|at| at.mean), interval.and_then(|at| at.low()), interval.and_then(|at| at.high()))
    };
    // What has least and largest values has an interval between them.
    let within = |figure, least: f64, most: f64| {
        let interval = of(figure);
        let ends = interval.and_then(|at| at.within(least, most));
        (interval.map(|at| at.mean), ends.map(|(low, _)| low), ends.map(|(_, high)| high))
    };
    let (test_accuracy, test_accuracy_low, test_accuracy_high) = within(|run| run.test_accuracy, 0.0, 1.0);
    let (generalisation_gap, generalisation_gap_low, generalisation_gap_high) =
        within(|run| run.generalisation_gap, -1.0, 1.0);
    let (test_loss, test_loss_low, test_loss_high) = interval(|run| run.test_loss);
    let (lambda_max, lambda_max_low, lambda_max_high) = interval(|run| run.lambda_max);
    SummaryRow {
        group_id: first.group_id.clone(),
        data: first.data.clone(),
        model: first.model.clone(),
        loss: first.loss.clone(),
        samples: first.samples,
        test_samples: first.test_samples,
        weight_decay: first.weight_decay,
        rule: first.rule.clone(),
        momentum: first.momentum,
        dampening: first.dampening,
        delay: first.delay,
        schedule: first.schedule.clone(),
        lr_scaling: first.lr_scaling.clone(),
        lr: first.lr,
        lr_scaled: first.lr_scaled,
        effective_lr: first.effective_lr,
        lr_regime: first.lr_regime.clone(),
        batch: first.batch.clone(),
        local_steps: first.local_steps,
        local_lr: first.local_lr,
        local_rule: first.local_rule.clone(),
        replicas: first.replicas,
        fresh_share: first.fresh_share,
        overlap: first.overlap,
        overlap_weight: first.overlap_weight,
        arrivals: first.arrivals.clone(),
        stages: first.stages,
        stage_delays: first.stage_delays.clone(),
        stage_lr: first.stage_lr.clone(),
        stage_momentum: first.stage_momentum.clone(),
        stage_cuts: first.stage_cuts.clone(),
        stashing: first.stashing.clone(),
        backward_delays: first.backward_delays.clone(),
        epochs: first.epochs,
        runs: group.len() as u64,
        diverged: (group.len() - finished().count()) as u64,
        untrained: Some(group.iter().filter_map(|run| run.untrained).map(u64::from).sum()),
        test_accuracy,
        test_accuracy_low,
        test_accuracy_high,
        generalisation_gap,
        generalisation_gap_low,
        generalisation_gap_high,
        test_loss,
        test_loss_low,
        test_loss_high,
        lambda_max,
        lambda_max_low,
        lambda_max_high,
        lambda_predicted: first.lambda_predicted,
        engine: first.engine.clone(),
        adapter: first.adapter.clone(),
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Median over the last third.
fn median_of_last(tracked: &[SharpnessRecord]) -> Option<f64> {
    let last = tracked.len() - tracked.len().div_ceil(PLATEAU);
    median(tracked[last..].iter().map(|sharp| sharp.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plateau_is_the_median_of_the_last_third() {
        let tracked = |values: &[f64]| {
            let of = values.iter().enumerate();
            of.map(|(step, value)| SharpnessRecord { step: step as u64, value: *value, residual: 0.0, converged: true })
                .collect::<Vec<_>>()
        };
        assert_eq!(median_of_last(&tracked(&[])), None);
        assert_eq!(median_of_last(&tracked(&[5.0])), Some(5.0));
        assert_eq!(median_of_last(&tracked(&[9.0, 9.0, 9.0, 9.0, 3.0, 1.0])), Some(2.0));
        assert_eq!(median_of_last(&tracked(&[9.0, 9.0, 9.0, 9.0, 3.0, 1.0, 2.0])), Some(2.0));
    }
}
