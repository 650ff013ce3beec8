//! Tuning under delay: rates, bound and noise against the recurrences themselves, and `tauscope tune` as a user runs it.
//!
//! The oracle is the step of each rule as its definition says it, made into a matrix column by column, whose powers tell how fast
//! it decays. It shares no formula with what it tests.

use crate::common::spectral_radius;
use crate::printed::{number, rows, stdout, tauscope};
use nalgebra::{DMatrix, DVector};
use predicates::prelude::*;
use predicates::str::contains;
use proptest::prelude::*;
use std::collections::HashMap;
use std::fs;
use tauscope::theory::tuning::{
    LinearRule, TunedRule, Tuning, bound, tune, tune_at, tune_by_formula, updates_per_efold,
};

/// One update of a run on the curvature whose gain is `k`, with `noise` added to its gradient. The state holds the newest of each
/// kind first; `late` is the delay.
fn step(rule: LinearRule, late: usize, k: f64, state: &[f64], noise: f64) -> Vec<f64> {
    let push = |new: f64, old: &[f64]| -> Vec<f64> {
        std::iter::once(new).chain(old[..old.len() - 1].iter().copied()).collect()
    };
    match rule {
        LinearRule::Predicting { momentum, horizons: [first, second] } => {
            let (velocity, weights) = (state[0], &state[1..]);
            let [x, x1, x2] = [0, 1, 2].map(|age| weights[late + age]);
            let read = x + first * (x - x1) + second * (x - 2.0 * x1 + x2);
            let velocity = momentum * velocity + k * read + noise;
            [vec![velocity], push(weights[0] - velocity, weights)].concat()
        }
        LinearRule::PerWorker { momentum } => {
            let (velocities, weights) = state.split_at(late + 1);
            let velocity = momentum * velocities[late] + k * weights[late] + noise;
            [push(velocity, velocities), push(weights[0] - velocity, weights)].concat()
        }
        LinearRule::Mixing { momentum, share } => {
            let (weights, before) = state.split_at(late + 1);
            let (x, p) = (weights[late], before[late]);
            let result = x + momentum * (x - p) - k * x - noise;
            let mixed = (1.0 - share) * weights[0] + share * result;
            [push(mixed, weights), push((1.0 - share) * before[0] + share * x, before)].concat()
        }
    }
}

/// The matrix of [`step`], and what a unit of noise adds.
fn system(rule: LinearRule, late: usize, k: f64) -> (DMatrix<f64>, DVector<f64>) {
    let size = match rule {
        LinearRule::Predicting { .. } => late + 4,
        LinearRule::PerWorker { .. } | LinearRule::Mixing { .. } => 2 * (late + 1),
    };
    let column = |index: usize| {
        let unit: Vec<f64> = (0..size).map(|i| f64::from(u8::from(i == index))).collect();
        DVector::from_vec(step(rule, late, k, &unit, 0.0))
    };
    let columns: Vec<_> = (0..size).map(column).collect();
    (DMatrix::from_columns(&columns), DVector::from_vec(step(rule, late, k, &vec![0.0; size], 1.0)))
}

/// Largest modulus of an eigenvalue over curvatures spaced evenly in their logarithm, both ends among them.
fn radius(rule: LinearRule, late: usize, gain: f64, condition: f64, curvatures: usize) -> f64 {
    let at = |index: usize| {
        let k = gain * condition.powf(-(index as f64) / (curvatures - 1) as f64);
        spectral_radius(system(rule, late, k).0)
    };
    (0..curvatures).map(at).fold(0.0, f64::max)
}

#[track_caller]
fn assert_within(what: &str, value: f64, expected: f64, part: f64) {
    // Written so that NaN fails.
    assert!((value / expected - 1.0).abs() <= part, "{what}: {value} is not {expected}");
}

fn factor(tuning: Tuning, delay: usize, condition: f64) -> f64 {
    tuning.updates_per_efold.unwrap() / bound(delay, condition)
}

#[test]
fn optima_and_formulas_have_the_factors_of_the_known_table() {
    // Weight prediction at the delay and at its own horizon, second prediction, mixing by formula at 1/2 and at 1/T.
    let table = [
        (1, 100.0, 3.27, 1.96, Some(1.40), 1.54, 1.54),
        (4, 100.0, 4.01, 2.37, None, 1.21, 1.85),
        (8, 100.0, 4.22, 2.49, Some(1.47), 1.11, 1.94),
        (16, 100.0, 4.34, 2.56, None, 1.06, 1.99),
        (2, 10.0, 2.48, 2.13, Some(1.42), 1.40, 1.82),
        (8, 1000.0, 6.37, 2.53, None, 1.11, 1.90),
    ];
    for (delay, condition, held, free, second, half, period) in table {
        let optimum = |rule| factor(tune(rule, delay, condition, 1.0).unwrap(), delay, condition);
        let what = format!("delay {delay}, condition {condition}");
        assert_within(&what, optimum(TunedRule::WeightPrediction(Some(delay as f64))), held, 0.02);
        assert_within(&what, optimum(TunedRule::WeightPrediction(None)), free, 0.02);
        if let Some(second) = second {
            assert_within(&what, optimum(TunedRule::SecondPrediction(None)), second, 0.02);
        }
        for (share, expected) in [(0.5, half), (1.0 / (delay + 1) as f64, period)] {
            let mixing = TunedRule::Mixing { share };
            let formula = factor(tune_by_formula(mixing, delay, condition, 1.0).unwrap(), delay, condition);
            assert_within(&what, formula, expected, 0.005);
            // The server's averaging bears more than the synchronous learning rate.
            assert!(optimum(mixing) <= formula * (1.0 + 1e-9), "{what}: mixing {share}");
        }
    }
    for (rule, updates) in
        [(TunedRule::Sgd, 545.0), (TunedRule::Shifted, 453.0), (TunedRule::WeightPrediction(None), 112.0)]
    {
        assert_within("delay 8", tune(rule, 8, 100.0, 1.0).unwrap().updates_per_efold.unwrap(), updates, 0.01);
    }
}

#[test]
fn formulas_reach_what_they_promise() {
    for (delay, condition) in [(1, 40.0), (4, 100.0), (12, 400.0), (24, 3000.0_f64)] {
        let (tau, root) = (delay as f64, condition.sqrt());
        let promised = [
            (TunedRule::WeightPrediction(None), 1.349 * (tau + 0.5) * (root - 0.2)),
            (TunedRule::SecondPrediction(None), 0.745 * (tau + 1.0) * root),
            (TunedRule::Mixing { share: 0.5 }, (tau + 2.0) * root / 2.0),
            (TunedRule::Mixing { share: 1.0 / (tau + 1.0) }, (2.0 * tau + 1.0) * root / 2.0),
        ];
        for (rule, updates) in promised {
            let found = tune_by_formula(rule, delay, condition, 1.0).unwrap().updates_per_efold.unwrap() / updates;
            assert!((0.975..1.065).contains(&found), "{rule:?} at delay {delay}, condition {condition}: {found}");
        }
    }
}

#[test]
fn formulas_worked_by_hand() {
    let at = |rule| tune_by_formula(rule, 4, 100.0, 1.0).unwrap();
    let mixing = at(TunedRule::Mixing { share: 0.5 });
    assert_within("gain", mixing.gain, (20.0_f64 / 11.0).powi(2), 1e-14);
    assert_within("momentum", mixing.rule.momentum(), (9.0_f64 / 11.0).powi(2), 1e-14);
    // The flattest direction sits at the double root s = 9/11: r^4 (r - 1/2) = s/2.
    let r = (-1.0 / mixing.updates_per_efold.unwrap()).exp();
    // A double root keeps half of the digits.
    assert_within("mixing", r.powi(4) * (r - 0.5), 4.5 / 11.0, 1e-7);
    let prediction = at(TunedRule::WeightPrediction(None));
    assert_within("gain", prediction.gain, 0.55 / 20.25, 1e-14);
    let LinearRule::Predicting { momentum, horizons } = prediction.rule else { panic!("{prediction:?}") };
    assert_within("momentum", momentum, 0.968_294, 1e-6);
    assert_within("horizon", horizons[0], 7.24 / 1.1, 1e-14);
    let second = at(TunedRule::SecondPrediction(None));
    assert_within("gain", second.gain, 0.072, 1e-14);
    let LinearRule::Predicting { horizons, .. } = second.rule else { panic!("{second:?}") };
    assert_within("first", horizons[0], 3.76, 1e-14);
    assert_within("second", horizons[1], 0.924_f64.powi(2) * 4.38_f64.powi(2) / 2.0, 1e-14);
    // Four fifths of the gain, and the momentum that belongs to it.
    let careful = tune_by_formula(TunedRule::Mixing { share: 0.5 }, 4, 100.0, 0.8).unwrap();
    assert_within("gain", careful.gain, 0.8 * mixing.gain, 1e-14);
    assert_within("momentum", careful.rule.momentum(), (1.0 - (careful.gain / 100.0).sqrt()).powi(2), 1e-14);
}

#[test]
fn where_nothing_is_late_and_on_separate_chains_optima_are_known() {
    for condition in [1.5, 30.0, 1e6_f64] {
        let sgd = tune(TunedRule::Sgd, 0, condition, 1.0).unwrap();
        assert_within("gain", sgd.gain, 2.0 * condition / (condition + 1.0), 1e-6);
        let rate = ((condition + 1.0) / (condition - 1.0)).ln();
        assert_within("sgd", sgd.updates_per_efold.unwrap(), 1.0 / rate, 1e-6);
        for rule in [
            TunedRule::HeavyBall,
            TunedRule::Shifted,
            TunedRule::WeightPrediction(None),
            TunedRule::SecondPrediction(None),
        ] {
            assert_within("attained", factor(tune(rule, 0, condition, 1.0).unwrap(), 0, condition), 1.0, 1e-4);
        }
        for delay in [0, 3, 64] {
            let chains = tune(TunedRule::Mixing { share: 1.0 }, delay, condition, 1.0).unwrap();
            assert_within("chains", factor(chains, delay, condition), 1.0, 1e-4);
        }
    }
}

#[test]
fn weight_prediction_stays_below_its_limit() {
    for (delay, condition) in [(1, 1000.0), (8, 1000.0), (32, 1000.0), (32, 10.0), (16, 1e6)] {
        let factor = factor(tune(TunedRule::WeightPrediction(None), delay, condition, 1.0).unwrap(), delay, condition);
        assert!((1.0..2.7).contains(&factor), "delay {delay}, condition {condition}: {factor}");
    }
}

fn any_rule() -> impl Strategy<Value = LinearRule> {
    let momentum = || prop_oneof![0.0..0.5, 0.5..0.99];
    let horizon = || prop_oneof![Just(0.0), 0.0..6.0];
    prop_oneof![
        (momentum(), horizon(), horizon())
            .prop_map(|(momentum, first, second)| LinearRule::Predicting { momentum, horizons: [first, second] }),
        momentum().prop_map(|momentum| LinearRule::PerWorker { momentum }),
        (momentum(), 0.05..1.0).prop_map(|(momentum, share)| LinearRule::Mixing { momentum, share }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn rates_are_those_of_the_recurrence_and_never_beat_the_bound(
        rule in any_rule(), delay in 1..7_usize, condition in prop_oneof![1.1..10.0, 10.0..2000.0], size in -5.0..1.5_f64,
    ) {
        let gain = size.exp();
        let radius = radius(rule, delay, gain, condition, 60);
        match updates_per_efold(&rule, delay, gain, condition) {
            Some(updates) => {
                prop_assert!(updates >= bound(delay, condition) * (1.0 - 1e-9));
                // Between the curvatures of the oracle a rule may be slower than on them, but not far.
                let rate = 1.0 / updates;
                prop_assert!(rate <= -radius.ln() * (1.0 + 1e-5) + 1e-7, "promised {rate}, is {}", -radius.ln());
                prop_assert!(rate >= -radius.ln() * 0.9 - 1e-7, "told {rate}, is {}", -radius.ln());
            }
            None => prop_assert!(radius > 1.0 - 2e-3, "called unstable at {radius}"),
        }
    }
}

/// Mean over 60 curvatures of curvature times stationary variance, from the doubled sum of what noise leaves.
fn floors(rule: LinearRule, late: usize, gain: f64, condition: f64) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for index in 0..60 {
        let curvature = condition.powf(-f64::from(index) / 59.0);
        let (mut power, added) = system(rule, late, gain * curvature);
        let mut covariance = &added * added.transpose() * gain * gain;
        for _ in 0..16 {
            covariance = &covariance + &power * &covariance * power.transpose();
            power = &power * &power;
        }
        let (weights, read) = match rule {
            LinearRule::Predicting { horizons: [a, b], .. } => (1, vec![(1, 1.0 + a + b), (2, -a - 2.0 * b), (3, b)]),
            LinearRule::PerWorker { .. } => (late + 1, vec![(late + 1, 1.0)]),
            LinearRule::Mixing { .. } => (0, vec![(0, 1.0)]),
        };
        sums[0] += curvature * covariance[(weights, weights)] / 60.0;
        for (i, a) in &read {
            sums[1] += read.iter().map(|(j, b)| curvature * a * b * covariance[(*i, *j)]).sum::<f64>() / 60.0;
        }
    }
    sums
}

#[test]
fn noise_floors_are_the_stationary_variances_of_the_recurrence() {
    let rules = [
        TunedRule::Sgd,
        TunedRule::Nesterov,
        TunedRule::Shifted,
        TunedRule::WeightPrediction(None),
        TunedRule::SecondPrediction(Some([2.0, 3.0])),
        TunedRule::Mixing { share: 0.25 },
    ];
    for rule in rules {
        let tuning = tune(rule, 3, 20.0, 1.0).unwrap();
        let expected = floors(tuning.rule, 3, tuning.gain, 20.0);
        let found = tuning.noise_floors(3, 20.0).unwrap();
        assert_within("server", found[0], expected[0], 1e-9);
        assert_within("read point", found[1], expected[1], 1e-9);
    }
}

/// The rule that a row tells to run.
fn printed(row: &HashMap<String, String>) -> LinearRule {
    let momentum = number(row, "momentum");
    let horizon = |column: &str| row[column].parse().unwrap_or(0.0);
    match row["rule"].split(':').next().unwrap() {
        "shifted" => LinearRule::PerWorker { momentum },
        "mixing" => LinearRule::Mixing { momentum, share: number(row, "mixing") },
        "nesterov" => LinearRule::Predicting { momentum, horizons: [momentum, 0.0] },
        _ => LinearRule::Predicting { momentum, horizons: [horizon("horizon"), horizon("horizon_2")] },
    }
}

#[test]
fn printed_parameters_are_never_slower_than_said_on_two_thousand_curvatures() {
    let rows = rows("tune --delays 1,5 --condition 70");
    assert_eq!(rows.len(), 26);
    for row in rows {
        let radius = radius(printed(&row), number(&row, "delay") as usize, number(&row, "gain"), 70.0, 2000);
        let updates = -1.0 / radius.ln();
        assert!(updates <= 1.001 * number(&row, "updates_per_efold"), "{row:?}: {updates}");
        assert!(number(&row, "factor") >= 1.0 - 1e-9, "{row:?}");
        assert_within(
            "factor",
            number(&row, "factor") * number(&row, "bound"),
            number(&row, "updates_per_efold"),
            1e-12,
        );
    }
}

#[test]
fn the_table_has_its_columns_in_order() {
    let text = stdout("tune --rules mixing:0.5 --delays 1 --condition 9");
    let header = "rule,delay,condition,gain,momentum,dampening,horizon,horizon_2,mixing,updates_per_efold,bound,factor,\
                  noise_floor,noise_floor_read,extra_vectors,gradients_per_update,source,lr,schedule,mean_delay,dynamics,rate_low,\
                  rate_high";
    assert_eq!(text.lines().next(), Some(header));
    let ends: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(",1,1,").nth(1)).collect();
    assert_eq!(ends, ["optimised,,round-robin,1.0,fixed,,", "formula,,round-robin,1.0,fixed,,"]);
    // Condition 9 has the double root 1/2: m = 1/4, K = 9/4.
    assert!(text.lines().nth(2).unwrap().starts_with("mixing:0.5,1,9.0,2.25,0.25,0.0,,,0.5,"), "{text}");
}

#[test]
fn held_numbers_stay_and_words_stand_for_the_delay() {
    let rows = rows(
        "tune --rules weight-prediction:delay,weight-prediction:6,prediction-2:2/3,mixing,mixing:age --delays 3 --condition 20",
    );
    let column = |name: &str| -> Vec<String> { rows.iter().map(|row| row[name].clone()).collect() };
    assert_eq!(column("horizon"), ["3.0", "6.0", "2.0", "", "", "", ""]);
    assert_eq!(column("horizon_2"), ["", "", "3.0", "", "", "", ""]);
    assert_eq!(column("mixing"), ["", "", "", "0.25", "0.25", "0.25", "0.25"]);
    assert_eq!(column("extra_vectors"), ["1", "1", "2", "1", "1", "1", "1"]);
}

#[test]
fn noise_multiplies_the_floors_and_the_factor_the_gain() {
    let at = |flags: &str| rows(&format!("tune --rules sgd --delays 0 --condition 4 {flags}")).remove(0);
    let (unit, tripled, less) = (at(""), at("--noise 3"), at("--lr-factor 0.5"));
    assert_within("floor", number(&tripled, "noise_floor"), 3.0 * number(&unit, "noise_floor"), 1e-12);
    assert_within("read", number(&tripled, "noise_floor_read"), 3.0 * number(&unit, "noise_floor_read"), 1e-12);
    assert_within("gain", number(&less, "gain"), 0.5 * number(&unit, "gain"), 1e-12);
    // x <- (1 - K c) x - K n leaves c x variance = K / (2 - K c).
    let gain = number(&less, "gain");
    let curvatures = (0..60).map(|index| 4.0_f64.powf(-f64::from(index) / 59.0));
    let floor = curvatures.map(|c| gain / (2.0 - gain * c)).sum::<f64>() / 60.0;
    assert_within("floor", number(&less, "noise_floor"), floor, 1e-9);
}

#[test]
fn the_picture_names_every_rule_twice_and_says_where_it_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tune.svg");
    let flags = "tune --rules sgd,weight-prediction:delay,mixing:0.5 --delays 0,3 --condition 10";
    let table = tauscope(flags).assert().success().get_output().stdout.clone();
    tauscope(&format!("{flags} --svg")).arg(&file).assert().success().stdout(table);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("<svg") && !text.contains("NaN") && !text.contains("inf"));
    for name in ["sgd", "weight-prediction:delay", "mixing:0.5"] {
        // Once for each panel.
        assert_eq!(text.lines().filter(|line| *line == name).count(), 2, "{name}");
    }
    assert!(text.contains("At delay 3 and condition number 10"), "{text}");
    let nowhere = folder.path().join("missing/tune.svg");
    tauscope(&format!("{flags} --svg")).arg(&nowhere).assert().failure().stdout("").stderr(contains("--svg"));
}

/// What sweeps run can be tuned, and a formula says where it was not fitted.
#[test]
fn numbers_of_sweeps_are_taken_and_fits_say_where_they_end() {
    let tiny = rows("tune --rules mixing:1e-9 --delays 2 --condition 10");
    assert_eq!(tiny[0]["mixing"].parse(), Ok(1e-9));
    // Its optimum is nearly sgd, far from the recipe of synchronous heavy-ball.
    assert!(number(&tiny[0], "updates_per_efold") < 1e2, "{tiny:?}");
    assert!(number(&tiny[1], "updates_per_efold") > 1e8, "{tiny:?}");
    // A prediction so far ahead bears hardly any gain.
    let far = rows("tune --rules prediction-2:1/20000 --delays 0 --condition 10");
    assert!(number(&far[0], "gain") < 1e-3 && number(&far[0], "horizon_2") == 20_000.0, "{far:?}");
    let source = |flags: &str| rows(&format!("tune {flags}"))[1]["source"].clone();
    for (flags, expected) in [
        ("--rules weight-prediction --delays 24 --condition 20", "formula"),
        ("--rules weight-prediction --delays 25 --condition 20", "formula-beyond-fit"),
        ("--rules weight-prediction --delays 4 --condition 3001", "formula-beyond-fit"),
        ("--rules prediction-2 --delays 4 --condition 19", "formula-beyond-fit"),
        ("--rules mixing:0.5 --delays 40 --condition 19", "formula"),
    ] {
        assert_eq!(source(flags), expected, "{flags}");
    }
}

/// Oracle: as the share `a` vanishes, a root of synchronous heavy-ball moves to `z - 1 = a (s - 1)`; with a gain that grows as `1/a` and no
/// momentum, mixing is sgd.
#[test]
fn tiny_shares_keep_their_digits_and_their_optimum() {
    let (momentum, gain, condition): (f64, f64, f64) = (0.3, 1.0, 100.0);
    let half = 0.5 * (1.0 + momentum - gain / condition);
    let slow = half + (half * half - momentum).sqrt();
    for share in [1e-6, 1e-9, 1e-13, 1e-17] {
        let mixing = LinearRule::Mixing { momentum, share };
        let updates = updates_per_efold(&mixing, 4, gain, condition).unwrap();
        assert_within(&format!("share {share}"), updates * share * (1.0 - slow), 1.0, 1e-3);
    }
    let sgd = tune(TunedRule::Sgd, 4, condition, 1.0).unwrap().updates_per_efold.unwrap();
    for share in [1e-6, 1e-7, 1e-9, 1e-17] {
        for lr_factor in [1.0, 0.8] {
            let found = tune(TunedRule::Mixing { share }, 4, condition, lr_factor).unwrap();
            let updates = found.updates_per_efold.unwrap();
            assert!(updates < 1.3 * sgd, "share {share}: {updates} updates, sgd {sgd}");
            let floors = found.noise_floors(4, condition).unwrap();
            assert!(floors.iter().all(|floor| *floor > 0.0), "share {share}: {floors:?}");
        }
    }
}

#[test]
fn at_the_gain_of_the_optimum_the_optimum_is_found_again() {
    for (rule, delay) in [(TunedRule::HeavyBall, 0), (TunedRule::Sgd, 4), (TunedRule::Mixing { share: 0.5 }, 4)] {
        let best = tune(rule, delay, 100.0, 1.0).unwrap();
        let again = tune_at(rule, delay, 100.0, best.gain).unwrap();
        assert_within("updates", again.updates_per_efold.unwrap(), best.updates_per_efold.unwrap(), 1e-3);
    }
}

#[test]
fn what_stands_twice_is_refused_as_sweep_does() {
    for (flags, twice) in [
        ("--rules sgd,sgd", "--rules: sgd stands twice"),
        ("--condition 10,10", "--condition: 10 stands twice"),
        ("--delays 1,1", "--delays: 1 stands twice"),
        ("--delays 1,0..3", "--delays: 1 stands twice"),
        ("--schedule random,random", "--schedule: random stands twice"),
    ] {
        tauscope(&format!("tune {flags}")).assert().failure().stdout("").stderr(contains(twice));
    }
}

#[test]
fn bad_input_is_refused_in_one_line_that_says_what_is_accepted() {
    let refused = [
        ("--condition 1", "numbers above 1, up to 1e6"),
        ("--condition -3", "numbers above 1, up to 1e6"),
        ("--condition 2e6", "numbers above 1, up to 1e6"),
        ("--condition nan", "numbers above 1, up to 1e6"),
        ("--delays 65", "accepted: 0 to 64"),
        ("--delays -1", "accepted: whole numbers"),
        ("--rules mixing:0", "`1/T`, `age`, or a share above 0 and at most 1"),
        ("--rules mixing:1.5", "`1/T`, `age`, or a share above 0 and at most 1"),
        ("--rules mixing:-0.5", "`1/T`, `age`, or a share above 0 and at most 1"),
        ("--rules weight-prediction:-1", "a horizon from 0 to 10000 updates"),
        ("--rules weight-prediction:1e9", "a horizon from 0 to 10000 updates"),
        ("--rules prediction-2:4", "H1 from 0 to 10000 updates and H2 from 0 to 100000000 updates^2"),
        ("--rules prediction-2:4/2e8", "H2 from 0 to 100000000"),
        ("--rules prediction-2:4/-1", "H2 from 0 to 100000000"),
        ("--rules sgd:2", "accepted: sgd, without a number"),
        ("--rules adam", "accepted: sgd, heavy-ball"),
        ("--noise -1", "accepted: 0, and numbers from"),
        ("--lr-factor 0", "accepted: numbers from 0.01 to 1"),
        ("--lr-factor 1.5", "accepted: numbers from 0.01 to 1"),
    ];
    for (flags, accepted) in refused {
        let assert = tauscope(&format!("tune {flags}")).assert().code(2).stdout("");
        let (flag, value) = flags.split_once(' ').unwrap();
        assert
            .stderr(contains(accepted))
            .stderr(contains(flag))
            .stderr(contains(value))
            .stderr(predicate::function(|text: &str| text.trim_end().lines().count() == 1))
            .stderr(contains("panicked").not());
    }
}
