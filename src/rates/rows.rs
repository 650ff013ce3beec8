//! A measured unit as its row.

use super::expected::Spectrum;
use super::{MeasuredRate, RateEntry, RateUnit};
use crate::data::DataSource;
use crate::engine::EngineInfo;
use crate::stages::Stages;
use crate::sweep::PreparedSweep;
use crate::table::{RateRow, Status};
use crate::threshold::{Decay, DecayEnd};

/// The row of a unit, which is number `index` of its plan.
pub(super) fn entry(
    (sweep, info, spectrum): (&PreparedSweep, &EngineInfo, &Spectrum),
    index: usize,
    unit: &RateUnit,
    measured: &MeasuredRate,
) -> RateEntry {
    let RateUnit { cell, lr } = unit;
    let (plan, problem) = (&sweep.plan, &sweep.plan.problem);
    let MeasuredRate { end, decay, members, steps } = *measured;
    let expected = spectrum.expected(sweep, unit);
    let shrinks = decay.filter(|decay| decay.rate > 0.0);
    let updates = shrinks.map(|decay| decay.rate.recip());
    let updates_theory = expected.as_ref().and_then(|expected| expected.updates);
    let outer = cell.outer.columns();
    let stage = cell.stages.as_ref().map(Stages::columns).unwrap_or_default();
    let row = RateRow {
        rate_id: plan.rate_id(cell, *lr),
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
        batch: cell.batch.to_string(),
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
        lr: *lr,
        lambda_max: sweep.minimum.largest.value,
        lambda_min: sweep.minimum.smallest.value,
        rate: decay.map(|decay| decay.rate),
        rate_error: decay.map(|decay| decay.error),
        updates_per_efold: updates,
        updates_error: shrinks.map(|Decay { rate, error }| error / (rate * rate)),
        updates_theory,
        curvature_theory: expected.as_ref().map(|expected| expected.curvature),
        directions: expected.as_ref().map(|_| spectrum.name.clone()),
        ratio: updates.zip(updates_theory).map(|(updates, theory)| updates / theory),
        status: match end {
            DecayEnd::Known | DecayEnd::Zero => Status::Measured,
            DecayEnd::Horizon | DecayEnd::Diverged => Status::Undecided,
        },
        runs: members as u32,
        steps,
        engine: format!("{} {}", info.engine, info.precision),
        adapter: info.adapter.clone(),
        reason: match end {
            DecayEnd::Known => None,
            DecayEnd::Horizon => {
                Some("the error is larger than the tolerance; it takes a larger --horizon or --tolerance".into())
            }
            DecayEnd::Zero => {
                Some(format!("after {steps} updates the weights are at the minimum itself: there is no rate"))
            }
            DecayEnd::Diverged => Some(format!("after {steps} updates a weight or the loss is no number")),
        },
    };
    RateEntry { unit: index, row }
}
