//! Plan files of trainings: what they say as groups, where they are wrong, the real binary on them; and identities, which
//! must stay what they are in committed folders.

use assert_cmd::Command;
use clap::Parser;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use tauscope::cli;
use tauscope::config::{Interval, SweepArgs, TrainArgs};
use tauscope::plan::file::{PlanFileError, parse};
use tauscope::plan::{Group, SweepPlan, TrainPlan};
use tauscope::table::{ThresholdRow, TrainRow, read_csv};

fn read(text: &str) -> Result<Vec<TrainArgs>, PlanFileError> {
    parse("plan.toml", text)
}

fn plan(text: &str) -> TrainPlan {
    TrainPlan::resolve(&read(text).unwrap_or_else(|error| panic!("{error}"))).unwrap()
}

/// Groups as short text: rule, momentum, delay, batch, lr, scaling.
fn shown(text: &str) -> Vec<String> {
    let shown = |Group { rule, delay, batch, lr, scaling, .. }: Group| {
        format!("{} {} {} {batch} {lr} {scaling}", rule.name(), rule.momentum, delay.unwrap())
    };
    plan(text).groups.into_iter().map(shown).collect()
}

#[test]
fn without_tables_the_file_is_a_command_line() {
    let plan = plan("epochs = 7\nseeds = '5..=6'\nlr = 0.5\nrules = 'shifted'\nwarm-up = 1\nsave-weights = true");
    assert_eq!((plan.options.epochs, plan.options.warm_up, plan.save_weights), (7, 1, true));
    assert_eq!(plan.seeds, [5, 6]);
    let groups = ["0 128 0.1 none", "31 128 0.1 none", "31 128 0.1 preserve"];
    let expected =
        ["sgd 0", "mixing 0.9"].map(|rule| groups.iter().map(|group| format!("{rule} {group}")).collect::<Vec<_>>());
    assert_eq!(shown(""), expected.concat(), "with a remedy");
}

#[test]
fn rules_without_a_threshold_are_trained_with_the_learning_rate_as_it_is_where_no_scaling_is_asked_for() {
    let groups = shown("rules = ['sgd', 'adam', 'muon', 'lion']\ndelays = [0, 4]");
    let expected = [
        "sgd 0 0 128 0.1 none",
        "sgd 0 4 128 0.1 none",
        "sgd 0 4 128 0.1 preserve",
        "adam:0.999 0.9 0 128 0.1 none",
        "adam:0.999 0.9 4 128 0.1 none",
        "muon 0.95 0 128 0.1 none",
        "muon 0.95 4 128 0.1 none",
        "lion:0.99 0.9 0 128 0.1 none",
        "lion:0.99 0.9 4 128 0.1 none",
    ];
    assert_eq!(groups[..], expected);
    let told = plan("rules = ['sgd', 'adam', 'signum']").told_of_scaling().unwrap();
    let names = "none (--lr as it is) alone for adam:0.999 under round-robin delays, signum under round-robin delays: ";
    assert!(told.starts_with(names) && told.contains("--lr-scaling preserve"), "{told}");
    // Who asks is told where it cannot be had, and what is known is not spoken of.
    assert_eq!(plan("rules = ['sgd', 'shifted']").told_of_scaling(), None);
    assert_eq!(plan("rules = 'adam'\nlr-scaling = 'none'").told_of_scaling(), None);
}

#[test]
fn grids_zips_and_cells_become_groups_in_the_order_of_the_file() {
    let groups = shown(
        r#"
            seeds = "5,9"
            lr-scaling = "none"
            momentum = 0.5
            dampening = 0
            [[grid]]
            rules = ["sgd", "heavy-ball"]
            delays = [0, 3]
            lr = "logspace:0.01:0.1:2"
            [[zip]]
            rules = "shifted"
            delays = "1..4"
            lr = ["linspace:0.1:0.2:2", 0.4]
            batch = [16, 32, "full"]
            [[cell]]
            rules = "sgd"
            delays = 7
            lr-scaling = "inverse-delay"
        "#,
    );
    assert_eq!(
        groups,
        [
            "sgd 0 0 128 0.01 none",
            "sgd 0 0 128 0.1 none",
            "sgd 0 3 128 0.01 none",
            "sgd 0 3 128 0.1 none",
            "heavy-ball 0.5 0 128 0.01 none",
            "heavy-ball 0.5 0 128 0.1 none",
            "heavy-ball 0.5 3 128 0.01 none",
            "heavy-ball 0.5 3 128 0.1 none",
            "shifted 0.5 1 16 0.1 none",
            "shifted 0.5 2 32 0.2 none",
            "shifted 0.5 3 full 0.4 none",
            "sgd 0 7 128 0.1 inverse-delay",
        ]
    );
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let cases = [
        ("\n\nepoch = 3", "plan.toml, line 3: unknown key 'epoch'; nearest: 'epochs'"),
        ("lr_scaling = 'none'", "plan.toml, line 1: unknown key 'lr_scaling'; nearest: 'lr-scaling'"),
        (
            "tolerance = 0.1",
            "plan.toml, line 1: unknown key 'tolerance'; accepted: activation, adapter, arrivals, backward-delays, batch, ",
        ),
        (
            "lr-scaling = [\n  'none',\n  'preseve',\n]",
            "plan.toml, line 3: lr-scaling: 'preseve'; accepted: none, inverse-delay, preserve; nearest: 'preserve'",
        ),
        ("[[gird]]\nrules = 'sgd'", "plan.toml, line 1: unknown key 'gird'; nearest: '[[grid]]'"),
        ("lr = ['linspace:0.1:0.2:3', 0]", "plan.toml, line 1: lr: '0': accepted: numbers above 0 (from 1e-300"),
        (
            "checkpoint-every = 0",
            "plan.toml, line 1: checkpoint-every: '0': accepted: a time above 0 with its unit, as 90s, 5m or 1h",
        ),
        ("\ncheckpoint-every = '0s'", "plan.toml, line 2: checkpoint-every: '0s': accepted: a time above 0"),
        (
            "shard = '4/3'",
            "plan.toml, line 1: shard: '4/3': there is no shard 4 of 3; accepted: I/N with I from 1 to N",
        ),
        ("epochs = 'many'", "plan.toml, line 1: epochs: 'many': accepted: a whole number"),
        ("\nweight-decay = 'small'", "plan.toml, line 2: weight-decay: 'small': accepted: a number"),
        ("epochs = 0", "plan.toml, line 1: epochs: '0': 0 is not in 1..=4294967296"),
        (
            "\n[[grid]]\nrules = 'sgd'\nepochs = 2",
            "plan.toml, line 4: 'epochs' cannot stand in [[grid]], all of a plan shares it; accepted: above the first \
             [[...]]; here: rules, momentum, dampening, eps, extrapolate, clip, muon-adam-lr, delays, schedule, batch, lr, lr-scaling, lr-reference",
        ),
        (
            "[[cell]]\ndelays = 3",
            "plan.toml, line 1: this [[cell]] is more than one, sgd with momentum 0 and dampening 0, round-robin at delay 3, \
             batch 128, lr 0.1 and sgd with momentum 0 and dampening 0, round-robin at delay 3, batch 128, lr 0.1 scaled to \
             0.02",
        ),
        (
            "lr-scaling = 'none'\n[[grid]]\ndelays = [2, 3]\n\n[[grid]]\ndelays = [1, 3]",
            "plan.toml, line 5: sgd with momentum 0 and dampening 0, round-robin at delay 3, batch 128, lr 0.1 stands in two \
             grids; accepted: each group once",
        ),
        (
            "flip = true\n[[grid]]\nrules = 'sgd'\n[[grid]]\nrules = 'shifted'\nbatch = 'full'",
            "plan.toml, line 1: --flip, --crop: a full batch holds the images as they are; accepted: with --batch NUMBER",
        ),
        (
            "\n[[grid]]\nrules = 'adam'\nlr-scaling = 'preserve'",
            "plan.toml, line 4: --lr-scaling preserve: no threshold is known of adam:0.999 under round-robin delays",
        ),
        ("model = 'quadratic:1'", "plan.toml, line 1: --model quadratic:1: it has no data to train on"),
        (
            "lr-scaling = 'none'\nlr-reference = 'sgd'",
            "plan.toml, line 2: --lr-reference: only one scaling asks for it",
        ),
        ("warm-up = 9\nepochs = 3", "plan.toml, line 1: --warm-up 9: longer than the 3 epochs of a run"),
        ("track-every = 3", "plan.toml: the following required arguments were not provided: --track <WHAT>"),
    ];
    let mut differences = String::new();
    for (text, expected) in cases {
        let error = read(text).map_or_else(|error| error.to_string(), |_| "nothing".into());
        if !error.starts_with(expected) || error.lines().count() != 1 {
            write!(differences, "{text}\nis refused with\n{error}\nwhere\n{expected}\nis expected\n\n").unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

fn tauscope(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("tauscope").unwrap();
    command.current_dir(folder).args(arguments);
    command
}

fn stdout(folder: &Path, arguments: &[&str]) -> String {
    String::from_utf8(tauscope(folder, arguments).assert().success().get_output().stdout.clone()).unwrap()
}

#[test]
fn the_example_is_a_training() {
    let folder = tempfile::tempdir().unwrap();
    let said = stdout(folder.path(), &["init", "--for", "train"]);
    assert!(said.contains("wrote plan.toml; look at it with `tauscope train plan.toml --dry-run`"), "{said}");
    let example = fs::read_to_string(folder.path().join("plan.toml")).unwrap();
    assert_eq!(
        shown(&example),
        [
            "sgd 0 8 32 0.2 preserve",
            "heavy-ball 0.9 8 32 0.2 preserve",
            "shifted 0.9 8 32 0.2 preserve",
            "shifted 0.9 2 32 0.1 preserve",
            "shifted 0.9 4 32 0.05 preserve",
            "sgd 0 0 32 0.2 none",
        ]
    );
    let is_key = |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let commented: Vec<&str> = example.lines().filter_map(|line| line.strip_prefix("# ")).filter(is_key).collect();
    assert_eq!(commented.len(), 6);
    commented.iter().for_each(|line| drop(read(line).unwrap_or_else(|error| panic!("{error}"))));

    // The whole of it runs, and the command line wins over the file.
    let arguments = ["train", "plan.toml", "--engine", "cpu", "--epochs", "1", "--seeds", "2", "--out", "out"];
    stdout(folder.path(), &arguments);
    let rows: Vec<TrainRow> = read_csv(&folder.path().join("out/runs.csv")).unwrap();
    let plan = TrainPlan::resolve(&{
        let flags = format!(
            "engine = 'cpu'\n{}",
            example.replace("epochs = 20", "epochs = 1").replace("seeds = 3", "seeds = 2")
        );
        read(&flags).unwrap()
    })
    .unwrap();
    let ids: Vec<String> = ids(&plan);
    assert_eq!(rows.iter().map(|row| row.run_id.clone()).collect::<Vec<_>>(), ids);
}

#[test]
fn flags_that_make_no_training_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plan.toml"), "engine = 'cpu'\nepochs = 1\nsamples = 99").unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["missing.toml"], "error: missing.toml: cannot read this plan: No such file"),
        (&["plan.toml", "--shard", "4/3"], "there is no shard 4 of 3; accepted: I/N with I from 1 to N"),
        (&["plan.toml", "--shard", "0/3"], "there is no shard 0 of 3"),
        (&["plan.toml", "--checkpoint-every", "0"], "accepted: a time above 0 with its unit, as 90s, 5m or 1h"),
        (&["plan.toml", "--checkpoint-every", "-5m"], "accepted: a time above 0"),
        (&["--resume"], "--out"),
        (&["plan.toml", "--resume"], "--resume: accepted: with --out"),
    ];
    for (arguments, expected) in cases {
        let output = tauscope(folder.path(), &[&["train"], arguments].concat()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(expected), "{arguments:?}: {error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was written");
    let [train] = &read("checkpoint-every = '5m'").unwrap()[..] else { panic!() };
    assert_eq!(train.job.checkpoint_every, "300s".parse::<Interval>().unwrap());
}

/// The identities of a plan's runs, in its order.
fn ids(plan: &TrainPlan) -> Vec<String> {
    let runs = |group: &Group| plan.seeds.iter().map(|seed| plan.run_id(group, *seed)).collect::<Vec<_>>();
    plan.groups.iter().flat_map(runs).collect()
}

fn committed(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results").join(path)
}

#[test]
fn no_id_reads_as_a_number() {
    let plan = plan("model = 'linear'\nepochs = 1\nrules = 'sgd'\nlr-scaling = 'none'\ndelays = 0\nseeds = '0..3000'");
    let ids = ids(&plan);
    // Digits alone would: all decimal, or decimal around one e.
    assert!(ids.iter().any(|id| id[1..].parse::<f64>().is_ok()), "none of {} could be mistaken", ids.len());
    for id in ids.iter().chain([&plan.hash(), &plan.group_id(&plan.groups[0])]) {
        assert!(id.parse::<f64>().is_err() && id.starts_with(|c: char| c.is_ascii_lowercase()), "{id}");
    }
}

/// Ids as folders have them that are older than the letter in front.
fn lettered(letter: char, bare: &[String]) -> Vec<String> {
    bare.iter().map(|id| format!("{letter}{id}")).collect()
}

/// Two trainings that were run apart are one plan now, with the same identities.
#[test]
fn runs_of_committed_trainings_are_what_they_were() {
    for lr in ["1", "0.05"] {
        let text = format!(
            "engine = 'cpu'\ndata = 'digits'\nmodel = 'mlp:64'\nmomentum = 0.9\ndampening = 'ema'\nlr = {lr}\n\
             lr-scaling = ['none', 'preserve']\nlr-reference = 'sgd'\nbatch = 32\nseeds = 20\nepochs = 2000\n\
             evaluate-every = 50\nsharpness = 'all'\n\
             [[grid]]\nrules = 'sgd'\ndelays = [0, 31]\n[[grid]]\nrules = ['heavy-ball', 'shifted']\ndelays = 31"
        );
        let path = committed(&format!("2026-11-22-generalisation/lr-{lr}/runs.csv"));
        let rows: Vec<TrainRow> = read_csv(&path).unwrap();
        let known: Vec<String> = rows.into_iter().map(|row| row.run_id).collect();
        assert_eq!(known.len(), 7 * 20);
        assert_eq!(ids(&plan(&text)), lettered('r', &known), "lr {lr}");
    }
}

#[test]
fn cells_of_committed_sweeps_are_what_they_were() {
    let cli::Command::Sweep(args) = cli::Cli::parse_from(["tauscope", "sweep", "--engine", "cpu"]).command else {
        panic!()
    };
    let plan = SweepPlan::resolve(&[*args]).unwrap();
    let rows: Vec<ThresholdRow> = read_csv(&committed("2026-11-22-default-sweep/thresholds.csv")).unwrap();
    let known: Vec<String> = rows.into_iter().map(|row| row.cell_id).collect();
    assert_eq!(plan.cells().iter().map(|cell| plan.cell_id(cell)).collect::<Vec<_>>(), lettered('c', &known));
    assert_eq!(plan.hash(), "pe0422acf8c5c", "the plan of the default sweep is what it was");

    // A plan file with rules, schedules and criteria of all kinds.
    let text = fs::read(committed("2026-11-22-mitigations/plan.toml")).unwrap();
    let plan = SweepPlan::resolve(&parse::<SweepArgs>("plan.toml", text).unwrap()).unwrap();
    let rows: Vec<ThresholdRow> = read_csv(&committed("2026-11-22-mitigations/thresholds.csv")).unwrap();
    let known: Vec<String> = rows.into_iter().map(|row| row.cell_id).collect();
    assert_eq!(plan.cells().iter().map(|cell| plan.cell_id(cell)).collect::<Vec<_>>(), lettered('c', &known));
}
