//! Plan files: what they say as flags, where they are wrong, and the real binary on them.

use assert_cmd::Command;
use proptest::prelude::*;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use tauscope::config::{ModelSpec, Samples, SweepArgs};
use tauscope::plan::file;
use tauscope::plan::{Cell, SweepPlan, file::PlanFileError};
use tauscope::table::{ThresholdRow, read_csv};

fn parse(name: &str, text: impl AsRef<[u8]>) -> Result<Vec<SweepArgs>, PlanFileError> {
    file::parse(name, text)
}

fn cells(sweeps: &[SweepArgs]) -> Vec<Cell> {
    SweepPlan::resolve(sweeps).unwrap().cells()
}

/// Cells as short text: rule, momentum, dampening, delay.
fn shown(text: &str) -> Vec<String> {
    let shown = |Cell { rule, delay, .. }: Cell| {
        format!("{} {} {} {}", rule.name(), rule.momentum, rule.dampening, delay.unwrap())
    };
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
    let rules: Vec<String> = sweep.grid.rules.iter().map(ToString::to_string).collect();
    assert_eq!(
        (&rules[..], sweep.problem.samples),
        (&["sgd".into(), "heavy-ball".into()][..], Some(Samples::Count(128)))
    );
    assert_eq!((&sweep.problem.model, sweep.problem.weight_decay), (&ModelSpec::Mlp(vec![4, 4]), Some(1e-2)));
    assert_eq!((sweep.seed_order, sweep.job.force, sweep.job.resume), (1000, true, false));
    let delays: Vec<u32> = cells(std::slice::from_ref(sweep)).iter().filter_map(|cell| cell.delay).collect();
    assert_eq!(delays[..11], [0, 1, 2, 3, 4, 8, 16, 32, 64, 128, 256]);
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
fn a_table_leaves_everything_else_as_the_top_says() {
    let top =
        "force = true\nsamples = 99\nout = 'x'\nhorizon = 77\nengine = 'gpu'\nadapter = 'y'\ndampening = [0, 0.5]\n";
    let [plain] = &parse("plan.toml", top).unwrap()[..] else { panic!() };
    let [grid] = &parse("plan.toml", format!("{top}[[grid]]\nrules = 'sgd'")).unwrap()[..] else { panic!() };
    let mut expected = plain.clone();
    expected.grid.rules = vec!["sgd".parse().unwrap()];
    assert_eq!(format!("{expected:?}"), format!("{grid:?}"));
    assert!(grid.job.force && grid.horizon == Some(77));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let cases = [
        ("\n\ndelay = 3", "plan.toml, line 3: unknown key 'delay'; nearest: 'delays'"),
        ("weight_decay = 3", "plan.toml, line 1: unknown key 'weight_decay'; nearest: 'weight-decay'"),
        (
            "plan = 3",
            "plan.toml, line 1: unknown key 'plan'; accepted: activation, adapter, arrivals, backward-delays, batch, ",
        ),
        (
            "rules = [\n  'sgd',\n  'sdg',\n]",
            "plan.toml, line 3: rules: 'sdg': accepted: sgd, heavy-ball, nesterov, shifted, ",
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
             [[...]]; here: rules, momentum, dampening, eps, extrapolate, clip, muon-adam-lr, delays, schedule, batch, criterion",
        ),
        ("[[cell]]\nrule = 'sgd'", "plan.toml, line 2: unknown key 'rule'; nearest: 'rules'"),
        (
            "rules = 'shifted'\n[[zip]]\ndelays = '0..3'\nmomentum = [0.5, 0.9]",
            "plan.toml, line 2: [[zip]]: delays has 3 values (line 3) and momentum has 2 (line 4); accepted: lists of the \
             same length",
        ),
        (
            "delays = 1\n[[cell]]\nrules = 'heavy-ball'",
            "plan.toml, line 2: this [[cell]] is more than one, heavy-ball with momentum 0.9 and dampening 0, round-robin at \
             delay 1, batch full, mean and heavy-ball with momentum 0.9 and dampening 0.9, round-robin at delay 1, batch \
             full, mean; accepted: one value for each of rules, momentum, dampening, eps, extrapolate, clip, muon-adam-lr, delays, schedule, batch, criterion",
        ),
        ("\ntolerance = 0", "plan.toml, line 2: --tolerance 0: accepted: 0.0001 to 0.5 (the bracket's relative width)"),
        (
            "model = 'quadratic:1'\n[[grid]]\nrules = 'sgd'\n[[grid]]\nbatch = 2",
            "plan.toml, line 5: --batch 2: a quadratic has no samples; accepted: full",
        ),
        (
            "delays = [1, 2]\nrules = 'sgd'\n[[grid]]\ndelays = [2, 3]\n[[cell]]\ndelays = 4\n[[cell]]\ndelays = 3\n[[grid]]",
            "plan.toml, line 7: sgd with momentum 0 and dampening 0, round-robin at delay 3, batch full, mean stands in two \
             grids; accepted: each cell once",
        ),
        ("batch = ['full', 4]\nsampling = 'x'", "plan.toml, line 2: sampling: 'x'; accepted: "),
        (
            "\n[[zip]]\nschedule = ['random', 'hybrid:5']\ndelays = [1, 2]\nrules = 'sgd'",
            "plan.toml, line 3: --schedule hybrid:5 at delay 2: 5 workers cannot be 3 equal groups",
        ),
        ("criterion = 'mean'\nrules = 'adam'", "plan.toml, line 1: --criterion mean with --rules adam"),
        ("delays = '''a\n'''", "plan.toml, line 1: delays: 'a ': accepted: whole numbers"),
        ("json = true\nquiet = true", "plan.toml, line 1: "),
        (
            "delays = ['0..1000000', 1000001]",
            "plan.toml, line 1: delays: more than 1000000 values; accepted: up to 1000000",
        ),
        (
            "delays = '0..10000'\nmomentum = 'linspace:0:0.9:2000'\nrules = 'shifted'",
            "plan.toml, line 3: --rules, --momentum, --dampening, --delays, --schedule, --batch, --criterion: 20000000 cells; \
             accepted: up to 10000000",
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
    (0..171_000).for_each(|delay| write!(zip, "{delay}, ").unwrap());
    zip += "]";
    assert_eq!(cells(&parse("plan.toml", &zip).unwrap()).len(), 171_000);
}

fn tauscope(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("tauscope").unwrap();
    command.current_dir(folder).args(arguments);
    command
}

/// What a command that must succeed writes to stdout.
fn stdout(folder: &Path, arguments: &[&str]) -> String {
    String::from_utf8(tauscope(folder, arguments).assert().success().get_output().stdout.clone()).unwrap()
}

fn dry_run(folder: &Path, arguments: &[&str]) -> serde_json::Value {
    let arguments = [&["sweep"], arguments, &["--dry-run", "--json"]].concat();
    serde_json::from_str(&stdout(folder, &arguments)).unwrap()
}

#[test]
fn the_example_says_what_it_does_and_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let said = stdout(folder.path(), &["init"]);
    assert!(said.contains("wrote plan.toml") && said.contains("--dry-run"), "{said}");
    let example = fs::read_to_string(folder.path().join("plan.toml")).unwrap();
    assert_eq!(stdout(folder.path(), &["init", "-"]), example);

    let cells = shown(&example);
    let grid: Vec<String> = ["sgd 0 0", "heavy-ball 0.9 0.9", "shifted 0.9 0.9"]
        .iter()
        .flat_map(|rule| [0, 1, 2, 4].map(|delay| format!("{rule} {delay}")))
        .collect();
    assert_eq!(cells[..12], grid);
    let rest = ["nesterov 0.5 0 1", "nesterov 0.7 0 2", "nesterov 0.9 0 4", "heavy-ball 0.99 0.99 8"];
    assert_eq!(cells[12..], rest);
    // What the comments say of series is what they are, and keys that are commented out are keys.
    let series = |key, text| shown(&format!("rules = 'heavy-ball'\ndampening = 0\n{key} = '{text}'"));
    for (text, delays) in [("0..4", vec![0, 1, 2, 3]), ("logspace:16:256:5", vec![16, 32, 64, 128, 256])] {
        assert!(example.contains(&format!("{text:?}")));
        assert_eq!(series("delays", text), delays.iter().map(|d| format!("heavy-ball 0.9 0 {d}")).collect::<Vec<_>>());
    }
    assert!(example.contains(r#""linspace:0.5:0.9:3" (0.5, 0.7, 0.9)"#));
    let is_key = |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let commented: Vec<&str> = example.lines().filter_map(|line| line.strip_prefix("# ")).filter(is_key).collect();
    assert_eq!(commented.len(), 6);
    commented.iter().for_each(|line| drop(parse("comment", line).unwrap_or_else(|error| panic!("{error}"))));

    fs::write(folder.path().join("plan.toml"), "mine").unwrap();
    let refused = tauscope(folder.path(), &["init"]).assert().code(2);
    assert!(String::from_utf8_lossy(&refused.get_output().stderr).contains("plan.toml: exists already; accepted: "));
    assert_eq!(fs::read_to_string(folder.path().join("plan.toml")).unwrap(), "mine");
    stdout(folder.path(), &["init", "--force"]);
    assert_eq!(fs::read_to_string(folder.path().join("plan.toml")).unwrap(), example);
    tauscope(folder.path(), &["init", "no/such/folder.toml"]).assert().code(2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_plan_in_the_readme_is_one() {
    let readme = include_str!("../../README.md");
    let (_, from) = readme.split_once("```toml\n").unwrap();
    let cells = shown(from.split_once("```").unwrap().0);
    assert_eq!(cells.len(), 2 * 11 + 3 + 1);
    assert_eq!(cells[22..], ["shifted 0.5 0 1", "shifted 0.7 0 2", "shifted 0.9 0 4", "heavy-ball 0.9 0 64"]);
}

#[test]
fn flags_win_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let plan =
        "engine = 'cpu'\nmodel = 'quadratic:2'\ntolerance = 0.02\nseed-order = 5\nrules = 'sgd'\ndelays = '0..4'";
    fs::write(folder.path().join("plan.toml"), plan).unwrap();
    let report = dry_run(folder.path(), &["plan.toml"]);
    let tolerance = |report: &serde_json::Value| report["plan"]["limits"]["mean"]["tolerance"].as_f64();
    assert_eq!((tolerance(&report), &report["plan"]["seed_order"]), (Some(0.02), &5.into()));
    assert_eq!(report["cells"], 4);
    // A default on the command line is not a flag that was given; one that says the default is.
    let report = dry_run(folder.path(), &["plan.toml", "--seed-order", "0", "--delays", "7"]);
    assert_eq!((tolerance(&report), &report["plan"]["seed_order"]), (Some(0.02), &0.into()));
    assert_eq!((&report["cells"], &report["table"][0]["delay"]), (&1.into(), &7.into()));

    let refused = |arguments: &[&str], expected: &str| {
        let output = tauscope(folder.path(), &[&["sweep"], arguments].concat()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(expected), "{arguments:?}: {error}");
    };
    refused(&["missing.toml"], "error: missing.toml: cannot read this plan: No such file");
    refused(&["."], "error: .: cannot read this plan: ");
    refused(&["plan.toml", "--batch", "2"], "--batch 2: a quadratic has no samples");
    refused(&["plan.toml", "--resume"], "--resume: accepted: with --out");
    fs::write(folder.path().join("latin.toml"), b"rules = 'sgd'\n# \xe9").unwrap();
    refused(&["latin.toml"], "error: latin.toml, line 2: not UTF-8 text");
    fs::write(folder.path().join("quiet.toml"), "\nquiet = true").unwrap();
    refused(&["quiet.toml", "--json"], "error: quiet.toml, line 2: ");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing was written");
}

#[test]
fn what_does_not_fit_memory_is_refused_before_it_is_reserved() {
    let folder = tempfile::tempdir().unwrap();
    // 80 GB for one vector of weights in f64: more than a machine of tests has.
    let model = ["--engine", "cpu", "--samples", "16", "--batch", "8", "--model", "mlp:100000-100000"];
    let jobs: [&[&str]; 4] = [&["train", "--dry-run"], &["train"], &["sweep"], &["bench", "step", "--lanes", "1"]];
    for job in jobs {
        let output = tauscope(folder.path(), &[job, &model].concat()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        let error = error.lines().last().unwrap_or_default();
        for part in ["--model mlp:100000-100000: its 10007600010 parameters take", "GiB", "accepted: a model of up to"]
        {
            assert!(output.status.code() == Some(2) && error.contains(part), "{job:?}: {error}");
        }
    }
}

#[test]
fn a_dry_run_is_of_the_shard_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let run = |flags: &[&str]| -> serde_json::Value {
        serde_json::from_str(&stdout(folder.path(), &[flags, &["--dry-run", "--json", "--engine", "cpu"]].concat()))
            .unwrap()
    };
    let sweep = ["sweep", "--model", "quadratic:1", "--rules", "sgd", "--delays", "0..9"];
    let train = [
        "train",
        "--samples",
        "20",
        "--model",
        "mlp:2",
        "--rules",
        "sgd",
        "--delays",
        "0,1",
        "--batch",
        "5",
        "--seeds",
        "4",
    ];
    for (job, table, of_plan, all) in [(&sweep[..], "cells", "cells_of_plan", 9), (&train, "runs", "runs_of_plan", 16)]
    {
        let parts: Vec<serde_json::Value> =
            ["1/3", "2/3", "3/3"].iter().map(|part| run(&[job, &["--shard", part]].concat())).collect();
        let counts: Vec<u64> = parts.iter().map(|part| part[table].as_u64().unwrap()).collect();
        assert_eq!(counts.iter().sum::<u64>(), run(job)[table].as_u64().unwrap(), "{job:?}: {counts:?}");
        assert!(counts.iter().all(|count| *count < all), "{counts:?}");
        assert!(parts.iter().all(|part| part[of_plan].as_u64() == run(job)[table].as_u64()));
        let steps = |report: &serde_json::Value| report["config_steps"].as_f64().unwrap();
        assert_eq!(parts.iter().map(steps).sum::<f64>(), steps(&run(job)), "{job:?}");
    }
}

/// The same network under the same rules takes the same memory in both jobs, but for what a training evaluates with.
#[test]
fn dry_runs_of_a_sweep_and_of_a_training_agree_on_a_run_s_memory() {
    let folder = tempfile::tempdir().unwrap();
    let network = ["--samples", "40", "--model", "mlp:4", "--rules", "sgd", "--delays", "3", "--batch", "full"];
    let trained = ["train", "--test", "100", "--lr-scaling", "none", "--seeds", "2"];
    for engine in ["cpu", "gpu"] {
        let batch = |job: &[&str]| -> serde_json::Value {
            let flags = [job, &network, &["--dry-run", "--json", "--engine", engine]].concat();
            let report: serde_json::Value = serde_json::from_str(&stdout(folder.path(), &flags)).unwrap();
            report["batches"][0].clone()
        };
        let (sweep, train) = (batch(&["sweep"]), batch(&trained));
        for key in ["run_bytes", "shared_bytes", "history_share"] {
            assert_eq!(sweep[key], train[key], "{key} with {engine}");
        }
        let evaluation = train["evaluation_bytes"].as_u64().unwrap();
        assert_eq!((sweep["evaluation_bytes"].as_u64().unwrap(), evaluation > 0), (0, engine == "gpu"));
    }
}

#[test]
fn a_dry_run_says_what_a_plan_takes_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plan.toml"), "samples = 100\nmodel = 'mlp:4'\nrules = 'sgd'\ndelays = '0..25'")
        .unwrap();
    let text = stdout(folder.path(), &["sweep", "plan.toml", "--dry-run", "--engine", "cpu"]);
    for part in [
        "310 parameters of mlp:4 on 100 samples of digits, ce",
        "cells    25: 25 delays\n",
        "about 150, with 135,200 steps in all",
        "cpu f32",
        "asked for",
        " runs at once, fused, ",
        "; all samples for each gradient",
        "ring of weight versions",
        "config-steps per second",
        "the same in all rows: momentum 0, dampening 0, schedule round-robin, batch full, criterion mean",
        "and 5 more cells",
    ] {
        assert!(text.contains(part), "'{part}' in {text}");
    }
    let report = dry_run(folder.path(), &["plan.toml", "--engine", "cpu"]);
    assert_eq!((&report["runs"], &report["config_steps"]), (&150.into(), &135_200.0.into()));
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    let [batch] = &report["batches"].as_array().unwrap()[..] else { panic!("{report}") };
    let number = |key: &str| batch[key].as_f64().unwrap_or_else(|| panic!("{key} in {batch}"));
    // Weight versions, server, gradient and velocity of 310 parameters, and more.
    assert!(number("run_bytes") > (25.0 + 3.0) * 310.0 * 4.0);
    let share = 25.0 * 310.0 * 4.0 / number("run_bytes");
    assert!((number("history_share") - share).abs() < 1e-12);
    // Runs with shorter delays need less than the one that needs most.
    let all = number("total_bytes") - number("shared_bytes");
    assert!(all < number("run_bytes") * number("at_once") && number("shared_bytes") > 0.0, "{batch}");
    assert_eq!(number("fills"), (150.0 / number("at_once")).ceil());
    assert!(number("config_steps_per_second") > 0.0);
    assert_eq!(report["table"].as_array().unwrap().len(), 25);
    assert_eq!(report["table"][3]["cell_id"].as_str().unwrap().len(), 13);
    // Gradients of another size take a wave of their own; ensembles count as their runs.
    let report = dry_run(folder.path(), &["plan.toml", "--engine", "cpu", "--batch", "10,full", "--ensemble", "16"]);
    let rows: Vec<_> = report["batches"].as_array().unwrap().iter().map(|batch| batch["rows"].as_u64()).collect();
    assert_eq!(rows, [None, Some(10)]);
    assert_eq!(report["batches"][1]["runs"], 25 * 8 * 16);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was written");
}

#[test]
fn a_plan_of_several_tables_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "engine = 'cpu'\nmodel = 'quadratic:2'\nout = 'out'\nrules = 'sgd'\n\
                [[grid]]\ndelays = '0..2'\n[[zip]]\nrules = 'heavy-ball'\ndampening = 0\ndelays = [3, 5]\nmomentum = [0.5, 0.25]";
    fs::write(folder.path().join("plan.toml"), plan).unwrap();
    stdout(folder.path(), &["sweep", "plan.toml"]);
    let rows: Vec<ThresholdRow> = read_csv(&folder.path().join("out/thresholds.csv")).unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.delay.unwrap(), row.momentum, row.ratio.unwrap())).collect();
    assert_eq!(
        rows.iter().map(|(delay, momentum, _)| (*delay, *momentum)).collect::<Vec<_>>(),
        [(0, 0.0), (1, 0.0), (3, 0.5), (5, 0.25)]
    );
    assert!(rows.iter().all(|(.., ratio)| (ratio - 1.0).abs() < 0.01), "{rows:?}");
}

/// Pieces of plan files, right and wrong.
fn line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        "(rules|momentum|dampening|delays|schedule|batch|criterion)",
        "(data|samples|ensemble|sampling|model|loss|weight-decay|tolerance|horizon|engine|precision|seed-init|json|quiet|resume|out|plan)",
        "[a-z-]{1,8}",
    ];
    let value = prop_oneof![
        "(0|1|0\\.5|-1|1e-3|nan|true|false|0x10|99999999999999999999|'')",
        "'(sgd|heavy-ball|shifted|ema|full|cpu|f64|round-robin|random|workers:exponential|iid:uniform|hybrid:4|adam|dc-asgd:0\\.1|mean-square|linear|mlp:4|quadratic:1,2|sgd,sgd)'",
        "'[0-9]{1,3}\\.\\.=?[0-9]{1,3}'",
        "'(lin|log)space:[0-9.]{1,4}:[0-9.]{1,4}:[0-9]{1,2}'",
        "\\[('sgd'|0|1|2|'ema'|'1\\.\\.3')(, ('nesterov'|4|5|0\\.25)){0,3}\\]",
        "\\PC{0,12}",
    ];
    prop_oneof![
        4 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => "\\[\\[(grid|zip|cell|grids)\\]\\]",
        1 => "\\PC{0,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any text either makes a plan or is refused in one line that names the file and a place in it.
    #[test]
    fn any_text_makes_a_plan_or_a_message(lines in proptest::collection::vec(line(), 0..8)) {
        let text = lines.join("\n");
        if let Err(error) = parse("plan.toml", &text) {
            let message = error.to_string();
            let placed = message.contains(", line ") || message.contains("--");
            prop_assert!(message.starts_with("plan.toml") && placed && message.lines().count() == 1, "{text}\n{message}");
        }
    }
}
