//! Plan files: what they say as flags, where they are wrong, and the real binary on them.

use std::fmt::Write;
use tauscope::flags::{ModelSpec, Samples, SweepArgs};
use tauscope::plan::{Cell, Plan};
use tauscope::plan_file::parse;
use tauscope::rule::RuleKind;

fn cells(sweeps: &[SweepArgs]) -> Vec<Cell> {
    sweeps.iter().flat_map(|sweep| Plan::resolve(sweep).unwrap().cells()).collect()
}

/// Cells as short text: rule, momentum, dampening, delay.
fn shown(text: &str) -> Vec<String> {
    let shown = |Cell { rule, delay, .. }: Cell| format!("{} {} {} {delay}", rule.kind, rule.momentum, rule.dampening);
    cells(&parse("plan.toml", text).unwrap_or_else(|error| panic!("{error}"))).into_iter().map(shown).collect()
}

fn refusal(text: &str) -> String {
    match parse("plan.toml", text) {
        Ok(sweeps) => panic!("{text}\nis accepted as {sweeps:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn without_tables_the_file_is_a_command_line() {
    let [sweep] = &parse(
        "plan.toml",
        r#"
            delays = ["0..=4", 8, "logspace:16:256:5"]
            rules = ["sgd", "heavy-ball"]
            momentum = 0.9
            dampening = "0,ema"
            samples = 0x80
            model = "mlp:4-4"
            weight-decay = 1e-2
            seed-order = 1_000
            force = true
            resume = false
        "#,
    )
    .unwrap()[..] else {
        panic!()
    };
    assert_eq!((&sweep.rules[..], sweep.samples), (&[RuleKind::Sgd, RuleKind::HeavyBall][..], Samples::Count(128)));
    assert_eq!((&sweep.model, sweep.weight_decay), (&ModelSpec::Mlp(vec![4, 4]), 1e-2));
    assert_eq!((sweep.seed_order, sweep.force, sweep.resume), (1000, true, false));
    assert_eq!(Plan::resolve(sweep).unwrap().delays, [0, 1, 2, 3, 4, 8, 16, 32, 64, 128, 256]);
    assert_eq!(cells(&parse("plan.toml", "").unwrap()).len(), 28, "an empty file is the default sweep");
}

#[test]
fn grids_zips_and_cells_take_from_the_top_what_they_do_not_say() {
    let cells = shown(
        r#"
            rules = "sgd"
            momentum = 0.5
            [[grid]]
            delays = "0..2"
            [[zip]]
            rules = "shifted"
            delays = [2, "4..6"]
            momentum = ["linspace:0.25:0.75:2", 0.875]
            dampening = "ema"
            [[cell]]
            rules = "nesterov"
            delays = 9
            [[grid]]
            rules = ["heavy-ball"]
            dampening = 0
            delays = [7]
        "#,
    );
    assert_eq!(
        cells,
        [
            "sgd 0 0 0",
            "sgd 0 0 1",
            "shifted 0.25 0.25 2",
            "shifted 0.75 0.75 4",
            "shifted 0.875 0.875 5",
            "nesterov 0.5 0 9",
            "heavy-ball 0.5 0 7"
        ]
    );
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let cases = [
        ("\n\ndelay = 3", "plan.toml, line 3: unknown key 'delay'; nearest: 'delays'"),
        ("weight_decay = 3", "plan.toml, line 1: unknown key 'weight_decay'; nearest: 'weight-decay'"),
        ("plan = 3", "plan.toml, line 1: unknown key 'plan'; accepted: activation, adapter, batch, "),
        (
            "rules = [\n  'sgd',\n  'sdg',\n]",
            "plan.toml, line 3: rules: 'sdg'; accepted: sgd, heavy-ball, nesterov, shifted",
        ),
        (
            "momentum = 1",
            "plan.toml, line 1: momentum: '1': accepted: numbers from 0 to below 1, linspace:FIRST:LAST:COUNT and \
             logspace:FIRST:LAST:COUNT",
        ),
        ("a = \n", "plan.toml, line 1, column 5: not TOML: "),
        ("samples = 3\nsamples = 4", "plan.toml, line 2, column 1: not TOML: duplicate key"),
        ("[[grid]\n", "plan.toml, line 1, column "),
        ("samples = [1, 2]", "plan.toml, line 1: samples: accepted: one value, not a list"),
        ("samples = 99999999999999999999999", "plan.toml, line 1: samples: '99999999999999999999999': accepted: "),
        ("delays = []", "plan.toml, line 1: delays: the list is empty; accepted: at least one value"),
        ("delays = [[1]]", "plan.toml, line 1: delays: a value of type array; accepted: a number or text in quotes"),
        (
            "delays = 2001-01-01",
            "plan.toml, line 1: delays: a value of type datetime; accepted: a number or text in quotes",
        ),
        ("delays = true", "plan.toml, line 1: delays: a value of type boolean; accepted: a number or text in quotes"),
        ("force = 'yes'", "plan.toml, line 1: force: accepted: true or false"),
        ("[grid]\ndelays = 1", "plan.toml, line 1: 'grid' is a table of axes; accepted: [[grid]], in two brackets"),
        (
            "\n[[grid]]\ndelays = 1\nsamples = 2",
            "plan.toml, line 4: 'samples' cannot stand in [[grid]], all of a plan shares it; accepted: above the first \
             [[...]]; here: rules, momentum, dampening, delays, schedule, batch",
        ),
        ("[[cell]]\nrule = 'sgd'", "plan.toml, line 2: unknown key 'rule'; nearest: 'rules'"),
        (
            "rules = 'shifted'\n[[zip]]\ndelays = '0..3'\nmomentum = [0.5, 0.9]",
            "plan.toml, line 2: [[zip]]: delays has 3 values (line 3) and momentum has 2 (line 4); accepted: lists of the \
             same length",
        ),
        (
            "delays = 1\n[[cell]]\nrules = 'heavy-ball'",
            "plan.toml, line 2: this [[cell]] is 2 cells (heavy-ball with momentum 0.9, dampening 0 at delay 1, heavy-ball \
             with momentum 0.9, dampening 0.9 at delay 1, ...); accepted: one value for each of rules, momentum, \
             dampening, delays, schedule, batch",
        ),
        ("\ntolerance = 0", "plan.toml, line 2: --tolerance 0: accepted: 0.0001 to 0.5 (the bracket's relative width)"),
        (
            "model = 'quadratic:1'\n[[grid]]\nrules = 'sgd'\n[[grid]]\nbatch = 2",
            "plan.toml, line 5: --batch 2: a quadratic has no samples; accepted: full",
        ),
        ("json = true\nquiet = true", "plan.toml, line 1: "),
        (
            "delays = ['0..1000000', 1000001]",
            "plan.toml, line 1: delays: more than 1000000 values; accepted: up to 1000000",
        ),
        ("\u{feff}delay = 1", "plan.toml, line 1: unknown key 'delay'; nearest: 'delays'"),
    ];
    let mut differences = String::new();
    for (text, expected) in cases {
        let error = refusal(text);
        if !error.starts_with(expected) || error.lines().count() != 1 {
            write!(differences, "{text}\nis refused with\n{error}\nwhere\n{expected}\nis expected\n\n").unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn a_million_runs_are_planned() {
    let grid = "rules = ['heavy-ball', 'nesterov', 'shifted']\ndampening = 0\nmomentum = 'linspace:0:0.99:100'\ndelays = '0..570'";
    assert_eq!(cells(&parse("plan.toml", grid).unwrap()).len(), 171_000);
    let mut zip = "rules = 'sgd'\n[[zip]]\ndelays = [".to_string();
    (0..20_000).for_each(|delay| write!(zip, "{delay}, ").unwrap());
    zip += "]";
    assert_eq!(cells(&parse("plan.toml", &zip).unwrap()).len(), 20_000);
}
