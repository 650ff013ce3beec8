//! A finished cell as the rows of the results folder.

use super::prediction::Prediction;
use super::tables::CellEntry;
use super::{CellResult, PreparedSweep};
use crate::config::Batch;
use crate::data::DataSource;
use crate::drift;
use crate::engine::EngineInfo;
use crate::plan::Cell;
use crate::session::Entry;
use crate::stages::Stages;
use crate::table::number::significant;
use crate::table::{DelayRow, RunRow, Status, ThresholdRow};
use crate::threshold::{Bracket, Criterion, SearchOutcome, Trial, Verdict};
use clap::ValueEnum;

/// Why a run at a learning rate was not made.
const NO_NUMBER: &str = "the learning rate is no number in the precision of the engine";
/// Digits of a learning rate within a sentence.
const DIGITS: usize = 5;

/// The rows of a `cell` that could not be measured, which is number `index` of its plan.
pub fn failed(sweep: &PreparedSweep, info: &EngineInfo, index: usize, cell: &Cell, why: &str) -> CellEntry {
    let outcome = SearchOutcome { bracket: Bracket::default(), measured: false, doubt: None };
    entry(sweep, info, index, cell, &CellResult { outcome, trials: Vec::new(), format: sweep.format }).failed(why)
}

/// The rows of `cell`, which is number `index` of its plan.
pub fn entry(sweep: &PreparedSweep, info: &EngineInfo, index: usize, cell: &Cell, result: &CellResult) -> CellEntry {
    let plan = &sweep.plan;
    let cell_id = plan.cell_id(cell);
    let trials = result.trials.iter().enumerate();
    let runs: Vec<RunRow> = trials.map(|(place, trial)| run(cell.criterion, &cell_id, place, trial)).collect();
    let delays = sweep.delays(cell);
    let bracket = result.outcome.bracket;
    let info = sweep.engine_of(info, result.format);
    // Where theory refuses the cell, it has failed and says why.
    let prediction = sweep.prediction(cell).unwrap_or(Prediction::NONE);
    let lr_theory = prediction.lr;
    let unmade = result.trials.iter().find(|trial| trial.verdict == Verdict::Failed && !result.outcome.measured);
    let problem = &plan.problem;
    let outer = cell.outer.columns();
    let stage = cell.stages.as_ref().map(Stages::columns).unwrap_or_default();
    let sampling = plan.sampling.to_possible_value().map(|value| value.get_name().to_owned());
    let threshold = ThresholdRow {
        cell_id: cell_id.clone(),
        data: problem.data.as_ref().map(DataSource::to_string),
        model: match problem.activation {
            Some(activation) => format!("{} {activation}", problem.model),
            None => problem.model.to_string(),
        },
        loss: problem.loss.map(|loss| loss.to_string()),
        samples: sweep.problem.samples().map(|samples| samples as u64),
        weight_decay: problem.weight_decay,
        rule: cell.rule.name(),
        momentum: cell.rule.momentum,
        dampening: cell.rule.dampening,
        delay: cell.delay,
        schedule: cell.schedule.name(),
        workers: cell.schedule.workers(),
        delay_mean: delays.mean(),
        delay_std: delays.std(),
        delay_median: delays.median(),
        delay_q95: delays.quantile(0.95),
        delay_max: delays.max(),
        batch: cell.batch.to_string(),
        sampling: sampling.filter(|_| cell.batch != Batch::Full),
        relative_variance: sweep.relative_variance(cell),
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
        seed_data: problem.seed_data,
        seed_order: plan.seed_order,
        seed_init: problem.seed_init,
        criterion: cell.criterion.to_string(),
        ensemble: plan.members(cell) as u32,
        lambda_max: sweep.top().value,
        lambda_residual: sweep.top().residual,
        lr_theory,
        theory: Some(prediction.source),
        theory_error: prediction.error,
        lr_rank_one: prediction.rank_one,
        lr_uniform: prediction.uniform,
        lr_stable: bracket.stable,
        lr_unstable: bracket.unstable,
        lr_threshold: bracket.threshold,
        lr_low: bracket.interval.map(|(low, _)| low),
        lr_high: bracket.interval.map(|(_, high)| high),
        lr_effective: bracket.threshold.and_then(|lr| {
            let factor = match &cell.stages {
                None => drift::effective_factor(&cell.rule, &cell.schedule, plan.seed_order)?,
                Some(stages) => drift::factor_of_stages(&cell.rule, stages)?,
            };
            Some(lr * factor * cell.outer.weight(cell.workers()))
        }),
        ratio: bracket.threshold.zip(lr_theory).map(|(lr, theory)| lr / theory),
        horizon_steps: sweep.horizon(cell),
        runs: runs.iter().map(|run| run.members).sum(),
        status: match (result.outcome.measured, unmade) {
            (true, _) => Status::Measured,
            (false, None) => Status::Undecided,
            (false, Some(_)) => Status::Failed,
        },
        engine: format!("{} {}", info.engine, info.precision),
        adapter: info.adapter,
        precision: Some(info.precision),
        reason: unmade
            .map(|trial| format!("the search came to learning rate {}; {NO_NUMBER}", significant(trial.lr, DIGITS)))
            .or(result.outcome.doubt.map(|doubt| doubt.to_string()))
            .or_else(|| (!result.outcome.measured).then(|| unfinished(cell, result))),
    };
    let delays = delays.iter().map(|(delay, count)| DelayRow { cell_id: cell_id.clone(), delay, count }).collect();
    CellEntry { cell: index, threshold, runs, delays }
}

/// Why a search that no single run has stopped has not come to its end.
fn unfinished(cell: &Cell, result: &CellResult) -> String {
    let tried = || result.trials.iter().map(|trial| trial.lr);
    let Bracket { stable, unstable, .. } = result.outcome.bracket;
    match (stable, unstable) {
        (None, None) => "no learning rate was found stable, and none unstable".into(),
        (Some(_), None) => {
            let most = significant(tried().fold(0.0, f64::max), DIGITS);
            format!("every learning rate was stable, up to {most}")
        },
        (None, Some(_)) => {
            let least = significant(tried().fold(f64::INFINITY, f64::min), DIGITS);
            // A part of the parameters moves whatever the learning rate of the search is.
            let hint = match cell.rule.companion() {
                Some((_, adam_lr)) if adam_lr > 0.0 => format!(
                    ": all but hidden matrices move by AdamW with a learning rate of {} whatever that of the search is; it takes a \
                     smaller --muon-adam-lr, or 0 for the matrices alone",
                    significant(adam_lr, DIGITS)
                ),
                _ => String::new(),
            };
            format!("every learning rate was unstable, down to {least}{hint}")
        }
        (Some(_), Some(_)) if cell.criterion.is_statistical() => {
            "growth rates are known too inexactly for the tolerance; it takes a larger --ensemble, --horizon or --tolerance".into()
        }
        (Some(_), Some(_)) => "the bracket is still wider than the tolerance; it takes a larger --horizon or --tolerance".into(),
    }
}

fn run(criterion: Criterion, cell_id: &str, place: usize, trial: &Trial) -> RunRow {
    let finite = |value: f64| value.is_finite().then_some(value);
    let reason = match (trial.verdict, criterion.is_statistical()) {
        (Verdict::Undecided, false) => trial.doubt.map(|doubt| doubt.to_string()),
        (Verdict::Undecided, true) => Some("the growth rate could not be told from zero within the horizon".into()),
        (Verdict::Failed, _) => Some(NO_NUMBER.into()),
        _ => None,
    };
    RunRow {
        run_id: format!("{cell_id}-{place}"),
        cell_id: cell_id.to_owned(),
        lr: trial.lr,
        start: trial.start,
        verdict: trial.verdict,
        growth_rate: trial.growth,
        growth_error: trial.error,
        members: trial.members as u32,
        steps: trial.steps,
        distance: finite(trial.last.distance_squared.sqrt()),
        projection: finite(trial.last.projection),
        loss: finite(trial.last.loss),
        reason,
    }
}
