//! What a person sees on a terminal: tables as wide as it is, columns by name, the dictionary of columns, completions, manual pages.

use crate::printed::{stdout, tauscope};
use std::fs;
use tauscope::table;
use tempfile::tempdir;

const SWEEP: &str =
    "sweep --model quadratic:1,0.3 --rules sgd,heavy-ball --momentum 0.9 --dampening 0 --delays 0,8 --engine cpu";

/// The lines that a sweep prints on a terminal of so many columns, but for the last two, which have times and names.
fn printed(columns: &str, flags: &str) -> Vec<String> {
    let folder = tempdir().unwrap();
    let mut command = tauscope(&format!("{SWEEP} --out out {flags}"));
    let output = command.current_dir(folder.path()).env("COLUMNS", columns).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[..lines.len() - 2].to_vec()
}

#[test]
fn a_table_is_no_wider_than_the_terminal_and_says_what_it_leaves_out() {
    let same = "the same in all rows: dampening 0, schedule round-robin, batch full, criterion mean, status measured";
    let without = |names: &str| {
        format!("not shown, for lack of width: {names}; --columns LIST shows what it names, thresholds.csv has all")
    };
    let cases = [
        (
            "60",
            Some("lr_stable, lr_unstable, lr_theory, lr_effective"),
            "│ rule         momentum   delay   lr_threshold    ratio │",
        ),
        (
            "80",
            Some("lr_stable, lr_unstable, lr_effective"),
            "│ rule         momentum   delay   lr_threshold   lr_theory    ratio │",
        ),
        (
            "120",
            None,
            "│ rule         momentum   delay   lr_stable   lr_unstable   lr_threshold   lr_theory    ratio   lr_effective │",
        ),
        (
            "200",
            None,
            "│ rule         momentum   delay   lr_stable   lr_unstable   lr_threshold   lr_theory    ratio   lr_effective │",
        ),
    ];
    for (columns, left_out, header) in cases {
        let lines = printed(columns, "");
        assert_eq!(lines[1], header, "{columns}");
        let widest = lines.iter().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= columns.parse().unwrap(), "{columns}: {widest}");
        let notes = [Some(same.to_owned()), left_out.map(without)].into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(lines[8..].join(" "), notes.join(" "), "{columns}");
    }
}

/// What a command prints on a terminal of so many columns.
fn on_terminal(columns: &str, words: &str) -> String {
    let folder = tempdir().unwrap();
    let mut command = tauscope(words);
    let output = command.current_dir(folder.path()).env("COLUMNS", columns).assert().success().get_output().clone();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{words} writes nothing");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn dry_runs_benches_and_devices_fit_the_terminal_and_name_the_columns_they_leave_out() {
    let sweep = "sweep --model quadratic:1,0.3 --rules sgd,heavy-ball --momentum 0.9 --dampening 0,ema --delays 0,8 --schedule \
                 round-robin,random --engine cpu --dry-run";
    let train = "train --samples 40 --batch 10 --model mlp:4 --delays 0,3 --lr-scaling none,preserve --seeds 1 --epochs 2 --engine cpu --dry-run";
    let bench =
        "bench step --engine cpu --model mlp:4 --samples 20 --batch 10 --lanes 1 --rounds 1 --round-seconds 0.01";
    let kernels = "bench --engine cpu --only step";
    for columns in ["60", "80", "120", "200"] {
        for words in [sweep, train, bench, kernels, "devices"] {
            let text = on_terminal(columns, words);
            let most = columns.parse().unwrap();
            // A word that is longer than a line stays whole.
            let is_long = |line: &str| line.chars().count() > most && line.split_whitespace().count() > 1;
            let long: Vec<&str> = text.lines().filter(|line| is_long(line)).collect();
            assert!(long.is_empty(), "{columns}, {words}: {long:?}");
        }
    }
    let header = |text: &str| text.lines().find(|line| line.starts_with("│ rule")).unwrap().to_owned();
    let (narrow, wide) = (on_terminal("60", sweep), on_terminal("200", sweep));
    let named = ["momentum", "dampening", "delay", "schedule", "criterion", "cell_id"];
    assert!(named.iter().all(|name| header(&wide).contains(name)), "{wide}");
    let left_out = narrow.replace('\n', " ");
    let (_, left_out) = left_out.split_once("not shown, for lack of width: ").expect(&narrow);
    assert!(named.iter().all(|name| header(&narrow).contains(name) != left_out.contains(name)), "{narrow}");
    assert!(left_out.contains("; --json has all"), "{narrow}");
    // What is the same in all rows is said once.
    assert!(wide.contains("the same in all rows: batch full\n"), "{wide}");
}

#[test]
fn one_of_a_thing_is_not_several() {
    let train = "train --samples 40 --model mlp:4 --delays 0 --lr-scaling none --seeds 1 --epochs 1 --batch full --engine cpu --dry-run";
    let text = on_terminal("200", train);
    assert!(text.contains("runs     1: 1 group and 1 seed in the plan, 1 epoch each, 1 step in all\n"), "{text}");
    let text = on_terminal("200", "sweep --model quadratic:1 --rules sgd --delays 0 --engine cpu --dry-run");
    assert!(text.contains("problem  1 parameter of quadratic:1\ncells    1\n"), "{text}");
}

#[test]
fn columns_are_chosen_by_their_names_in_the_table_or_the_file_and_unknown_ones_refused_before_the_work() {
    let lines = printed("40", "--columns ratio,lambda_max,rule,criterion");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["│", "ratio", "lambda_max", "rule", "criterion", "│"]);
    assert_eq!(lines[3].split_whitespace().collect::<Vec<_>>(), ["│", "1.0000", "1.000", "sgd", "mean", "│"]);
    assert_eq!(lines.len(), 8);
    let folder = tempdir().unwrap();
    for (flags, told) in [
        (
            format!("{SWEEP} --out out --columns rule,dely"),
            "--columns dely: there is no such column; nearest: 'delay'; accepted: rule, momentum,",
        ),
        (format!("{SWEEP} --out out --columns rule,rule"), "--columns rule: it is given twice"),
        (format!("{SWEEP} --out out --rates 0.1 --columns lr_stable"), "--columns lr_stable: there is no such column"),
        ("train --epochs 1 --out out --columns lr_stable".to_owned(), "--columns lr_stable: there is no such column"),
        (format!("{SWEEP} --out out --json --columns rule"), "--columns"),
    ] {
        let output = tauscope(&flags).current_dir(folder.path()).assert().code(2).get_output().clone();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(told), "{flags}: {error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{flags}");
    }
}

#[test]
fn stages_have_no_empty_column_of_delays_and_a_shard_names_the_files_that_are_there() {
    let folder = tempdir().unwrap();
    let run = |flags: &str| {
        let words = format!("sweep --model quadratic:1,0.3 --rules sgd --engine cpu {flags}");
        let output = tauscope(&words).current_dir(folder.path()).assert().success().get_output().clone();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run("--stages 2 --out stages");
    let header = text.lines().find(|line| line.starts_with("│ rule")).expect(&text);
    assert!(!header.contains("delay"), "{text}");
    // Of a single cell, one of two shards has none.
    let shards = ["1", "2"].map(|shard| (shard, run(&format!("--delays 2 --shard {shard}/2 --out {shard}"))));
    for (shard, text) in &shards {
        let (_, files) = text.split_once(&format!("wrote {shard}: ")).expect(text);
        assert!(files.starts_with("thresholds.csv, runs.csv, run.json, "), "{text}");
        for file in files.trim_end().split(", ") {
            assert!(folder.path().join(shard).join(file).exists(), "{file}: {text}");
        }
        assert_eq!(text.contains("│"), files.contains("thresholds.svg"), "{text}");
    }
    assert_eq!(shards.iter().filter(|(_, text)| text.contains("0 of 0 cells measured")).count(), 1);
}

#[test]
fn what_theory_prints_to_a_program_has_all_digits_and_the_columns_that_were_asked_for() {
    let all = stdout("theory --rules sgd --delays 1");
    assert!(all.starts_with("rule,momentum,dampening,delay,"), "{all}");
    let some = stdout("theory --rules sgd --delays 1,2 --columns threshold_gain,rule");
    let lines: Vec<&str> = some.lines().collect();
    assert_eq!((lines[0], lines.len()), ("threshold_gain,rule", 3));
    let gain: f64 = lines[2].strip_suffix(",sgd").unwrap().parse().unwrap();
    // 2 sin(pi / (2 (2 T + 1))) at T = 2.
    assert!((gain - (5f64.sqrt() - 1.0) / 2.0).abs() < 1e-9, "{gain}");
    let refused = tauscope("theory --columns treshold_gain").assert().code(2).get_output().clone();
    assert!(String::from_utf8(refused.stderr).unwrap().contains("nearest: 'threshold_gain'"));
    let refused = tauscope("tune --columns fator").assert().code(2).get_output().clone();
    assert!(String::from_utf8(refused.stderr).unwrap().contains("nearest: 'factor'"));
}

#[test]
fn the_first_training_shows_what_delay_does_to_a_recipe_and_what_recovers_it() {
    let folder = tempdir().unwrap();
    let mut command = tauscope(
        "train --rules sgd,mixing --epochs 100 --seeds 2 --engine cpu --out out --columns rule,delay,lr_scaled,untrained",
    );
    let output = command.current_dir(folder.path()).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // The recipe as it is ends at chance, and is said to.
    assert_eq!(lines[4].split_whitespace().collect::<Vec<_>>(), ["│", "sgd", "31", "0.1", "2", "of", "2", "│"]);
    let told = lines.iter().find(|line| line.starts_with("sgd with learning rate 0.1: test accuracy 9")).expect(&text);
    assert!(
        told.contains("at delay 0, ") && told.contains("; the best at delay 31 is mixing m=0.9 with learning rate 0.1"),
        "{told}"
    );
    assert!(
        text.contains("12 of 12 runs finished in ")
            && text.contains("2 are no better than guessing (column untrained)")
    );
}

#[test]
fn every_column_has_a_meaning_and_the_page_of_columns_is_what_the_program_prints() {
    for file in table::dictionary() {
        for column in file.columns {
            assert!(column.meaning().len() > 3, "{}: {} has no doc", file.file, column.name);
        }
    }
    assert_eq!(stdout("columns"), include_str!("../../docs/columns.md"), "tauscope columns > docs/columns.md");
    assert!(
        stdout("columns thresholds.csv")
            .contains("| `lr_stable` | Largest learning rate seen to be stable. | number or empty |")
    );
    assert_eq!(stdout("columns out/thresholds.csv"), stdout("columns thresholds.csv"));
    tauscope("columns x.csv").assert().code(2);
}

#[test]
fn shells_complete_the_flags_and_man_has_a_page_for_every_command() {
    assert!(stdout("completions bash").contains("--top"));
    let folder = tempdir().unwrap();
    tauscope("man pages").current_dir(folder.path()).assert().success();
    for page in ["tauscope.1", "tauscope-sweep.1", "tauscope-train.1", "tauscope-tune.1"] {
        let text = fs::read_to_string(folder.path().join("pages").join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
    let sweep = fs::read_to_string(folder.path().join("pages/tauscope-sweep.1")).unwrap();
    assert!(sweep.contains("\\-\\-delays"), "flags");
}
