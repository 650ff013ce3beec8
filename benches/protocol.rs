//! Config-steps that a threshold costs: by tauscope's search, and by the plain protocol at the same accuracy. Prints a table.
//!
//! The plain protocol is what one does without growth rates: training at every learning rate of a dense grid, from 0.5 to 1.5
//! of the expected threshold in steps of the tolerance, until the weights have left the minimum or the horizon is reached;
//! the threshold lies between the last learning rate that stayed and the first that left. Its horizon is as short as the
//! tolerance allows: the steps in which a run at (1 + tolerance) times the expected threshold leaves. That, and how far a run
//! that stays may go, is found beforehand at no cost to it; it then errs by half of the tolerance, by construction. Both have theory's guess to start from, the same minimum and the same start distance.
//!
//! On the CPU in f32; counts steps, not time, and so depends on no machine.

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use std::ops::ControlFlow;
use std::sync::Arc;
use tauscope::cli::{Cli, Command};
use tauscope::engine::cpu::Cpu;
use tauscope::engine::{Engine, Needs, Run, Wave, WaveSpec};
use tauscope::minimum;
use tauscope::outer::OuterLoop;
use tauscope::plan::{Cell, SweepPlan};
use tauscope::sweep::rows::entry;
use tauscope::sweep::{PreparedSweep, StartedCell};

/// A part of the default sweep that takes a minute: its rules, at its shorter delays, on fewer samples.
const FLAGS: [&str; 8] = ["tauscope", "sweep", "--delays", "0,1,4", "--dampening", "0", "--samples", "128"];

/// The grid, relative to the expected threshold.
const BRACKET: [f64; 2] = [0.5, 1.5];

/// A run has left at so many times the largest distance of one that stays, transients included. Much further out the objective
/// is no longer quadratic, and a run that is unstable by 1 % may settle on an orbit around the minimum.
const LEFT: f64 = 3.0;

/// Steps in which transients end, in units of delay + 1.
const SETTLED: u64 = 512;

/// Steps between two looks.
const BLOCK: usize = 64;

/// What a protocol came to.
struct Found {
    /// Threshold over theory's.
    ratio: f64,
    config_steps: u64,
}

fn main() {
    let Command::Sweep(args) = Cli::parse_from(FLAGS).command else { unreachable!("the flags are a sweep's") };
    let plan = SweepPlan::resolve(&[*args]).expect("the flags make a plan");
    let problem = Arc::new(plan.build().expect("the digits have 128 samples"));
    let minimum = minimum::find(&problem, plan.problem.seed_init, plan.problem.gradient_tolerance)
        .expect("the default problem has a minimum");
    let sweep = PreparedSweep::new(plan, problem, minimum);
    let engine = Cpu::<f32>::default();

    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["rule", "delay", "search", "error", "plain", "error", "factor"]);
    let (mut searched, mut plain) = (Vec::new(), Vec::new());
    for cell in sweep.plan.cells() {
        eprintln!("{}", cell.name());
        let (ours, theirs) = (search(&sweep, &engine, &cell), grid(&sweep, &engine, &cell));
        table.add_row(row(&cell.rule.name(), &cell.delay.expect("a delay").to_string(), &ours, &theirs));
        searched.push(ours);
        plain.push(theirs);
    }
    table.add_row(row("all, worst error", "", &sum(&searched), &sum(&plain)));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("config-steps to a threshold within 1 %, and its difference from theory\n{table}");
}

fn row(rule: &str, delay: &str, ours: &Found, theirs: &Found) -> [String; 7] {
    let error = |found: &Found| format!("{:+.2} %", 100.0 * (found.ratio - 1.0));
    [
        rule.into(),
        delay.into(),
        ours.config_steps.to_string(),
        error(ours),
        theirs.config_steps.to_string(),
        error(theirs),
        format!("{:.2}", theirs.config_steps as f64 / ours.config_steps as f64),
    ]
}

/// All steps, and the worst ratio.
fn sum(all: &[Found]) -> Found {
    let worst = |a: f64, b: f64| if (b - 1.0).abs() > (a - 1.0).abs() { b } else { a };
    Found {
        ratio: all.iter().map(|found| found.ratio).fold(1.0, worst),
        config_steps: all.iter().map(|found| found.config_steps).sum(),
    }
}

/// As a sweep measures the cell.
fn search(sweep: &PreparedSweep, engine: &dyn Engine, cell: &Cell) -> Found {
    let guess = sweep.guess(cell).expect("theory knows the rule");
    let mut found = None;
    sweep
        .measure(
            engine,
            &[StartedCell::new(cell.clone(), guess)],
            None,
            &mut |index, result| {
                let ratio = entry(sweep, engine.info(), index, cell, &result).threshold.ratio;
                let config_steps = result.trials.iter().map(|trial| trial.steps * trial.members as u64).sum();
                found = Some(Found { ratio: ratio.expect("the cell is measured"), config_steps });
                Ok(())
            },
            &mut |_| ControlFlow::Continue(()),
        )
        .expect("the engine works");
    found.expect("the cell ends")
}

/// As one measures it without growth rates.
fn grid(sweep: &PreparedSweep, engine: &dyn Engine, cell: &Cell) -> Found {
    let theory = sweep.prediction(cell).expect("theory knows the rule").lr.expect("it has a threshold");
    let tolerance = sweep.plan.limits(cell.criterion).tolerance;
    let settled = SETTLED * u64::from(cell.schedule.slots());
    let stays = &follow(sweep, engine, cell, &[theory * (1.0 - tolerance)], settled, f64::INFINITY)[0];
    let far = LEFT * stays.farthest;
    let leaves = &follow(sweep, engine, cell, &[theory * (1.0 + tolerance)], sweep.horizon(cell), far)[0];
    let horizon = leaves.left.expect("above the threshold a run leaves");

    let [low, high] = BRACKET;
    let count = ((high - low) / tolerance).round() as usize;
    let rates: Vec<f64> = (0..=count).map(|i| theory * (low + tolerance * i as f64)).collect();
    let runs = follow(sweep, engine, cell, &rates, horizon, far);
    let config_steps = runs.iter().map(|run| run.left.unwrap_or(horizon)).sum();
    let first = runs.iter().position(|run| run.left.is_some()).filter(|first| *first > 0);
    let first = first.expect("some stay and some leave");
    Found { ratio: (rates[first - 1] + rates[first]) / 2.0 / theory, config_steps }
}

/// What a run did.
#[derive(Clone, Copy, Default)]
struct Followed {
    /// The steps after which it was too far from the minimum, if it ever was.
    left: Option<u64>,
    /// Its largest distance until then.
    farthest: f64,
}

/// Follows a run at each learning rate until it is further than `far` from the minimum, or to the horizon.
fn follow(
    sweep: &PreparedSweep,
    engine: &dyn Engine,
    cell: &Cell,
    rates: &[f64],
    horizon: u64,
    far: f64,
) -> Vec<Followed> {
    let (minimum, direction) = (&sweep.minimum.weights, &sweep.minimum.largest.vector);
    let start = minimum.iter().zip(direction).map(|(x, v)| x + sweep.distances.near * v).collect();
    let spec = WaveSpec {
        problem: Arc::clone(&sweep.problem),
        batch: None,
        minimum: Arc::new(minimum.clone()),
        direction: Arc::new(direction.clone()),
        lanes: rates.len(),
        together: 1,
        sampling: sweep.plan.sampling,
        needs: Needs::of(&cell.rule, &cell.schedule, false),
        block: BLOCK,
    };
    let mut wave: Box<dyn Wave> = engine.open(spec).expect("the wave fits");
    let run = Run {
        rule: cell.rule,
        lr: 0.0.into(),
        schedule: cell.schedule.clone(),
        seed: sweep.plan.seed_order,
        start: Arc::new(start),
        centred: false,
        undamped_start: false,
        second_moment: None,
        outer: OuterLoop::default(),
        stages: [].into(),
        statistics: None,
    };
    for (lane, lr) in rates.iter().enumerate() {
        wave.start(lane, Run { lr: (*lr).into(), ..run.clone() }).expect("the run fits");
    }
    let mut runs = vec![Followed::default(); rates.len()];
    for begin in (0..horizon).step_by(BLOCK) {
        if runs.iter().all(|run| run.left.is_some()) {
            break;
        }
        let steps = (horizon - begin).min(BLOCK as u64) as usize;
        let seen = wave.advance(steps).expect("the engine works");
        for (lane, run) in runs.iter_mut().enumerate().filter(|(_, run)| run.left.is_none()) {
            for (step, seen) in (begin + 1..).zip(seen.lane(lane)) {
                let distance = seen.distance_squared.sqrt();
                if !seen.finite || distance > far {
                    run.left = Some(step);
                    wave.retire(lane);
                    break;
                }
                run.farthest = run.farthest.max(distance);
            }
        }
    }
    runs
}
