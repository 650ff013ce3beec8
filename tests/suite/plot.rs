//! `tauscope plot`, from the outside: tables of every shape become pictures, and a table that is not one becomes a line
//! of advice.

use crate::folders::threshold_row;
use assert_cmd::Command;
use std::f64::consts::PI;
use std::path::Path;
use tauscope::table::{Status, ThresholdRow, write_csv};
use tempfile::TempDir;

const LAMBDA: f64 = 0.622;

/// A row of sgd with its threshold from the closed form, measured 0.3 % off.
fn row(delay: u32) -> ThresholdRow {
    let lr_theory = 2.0 * (PI / (2.0 * (2.0 * f64::from(delay) + 1.0))).sin() / LAMBDA;
    let lr_threshold = 1.003 * lr_theory;
    ThresholdRow {
        cell_id: format!("cell{delay}"),
        delay: Some(delay),
        workers: Some(delay + 1),
        lambda_max: LAMBDA,
        lr_theory: Some(lr_theory),
        lr_stable: Some(0.996 * lr_threshold),
        lr_unstable: Some(1.004 * lr_threshold),
        lr_threshold: Some(lr_threshold),
        ratio: Some(1.003),
        ..threshold_row()
    }
}

/// A row of another rule, its thresholds a multiple of sgd's.
fn row_of(rule: &str, momentum: f64, dampening: f64, delay: u32, factor: f64) -> ThresholdRow {
    let row = row(delay);
    let scaled = |value: Option<f64>| value.map(|value| factor * value);
    ThresholdRow {
        rule: rule.into(),
        momentum,
        dampening,
        lr_theory: scaled(row.lr_theory),
        lr_stable: scaled(row.lr_stable),
        lr_unstable: scaled(row.lr_unstable),
        lr_threshold: scaled(row.lr_threshold),
        ..row
    }
}

/// A row whose search found these ends of the bracket and no estimate.
fn open_row(delay: u32, status: Status, lr_stable: Option<f64>, lr_unstable: Option<f64>) -> ThresholdRow {
    ThresholdRow { lr_stable, lr_unstable, lr_threshold: None, ratio: None, status, ..row(delay) }
}

fn folder_with(rows: &[ThresholdRow]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_csv(&folder.path().join("thresholds.csv"), rows).unwrap();
    folder
}

fn plot(folder: &Path) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_tauscope")).arg("plot").arg(folder).assert()
}

/// Draws `rows` and returns the SVG, having checked the PNG's size.
fn picture_of(rows: &[ThresholdRow]) -> String {
    let folder = folder_with(rows);
    plot(folder.path()).success();
    let png = std::fs::read(folder.path().join("thresholds.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let size = [&png[16..20], &png[20..24]].map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
    assert!(size[0] == 1600 && size[1] >= 800, "{size:?}");
    let svg = std::fs::read_to_string(folder.path().join("thresholds.svg")).unwrap();
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "every coordinate is a number");
    svg
}

/// The line that `tauscope plot` gives on standard error, having written nothing and exited with 2.
fn refusal(folder: &Path) -> String {
    let output = plot(folder).failure().code(2).stdout("").get_output().clone();
    assert!(!folder.join("thresholds.svg").exists() && !folder.join("thresholds.png").exists());
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[test]
fn the_picture_says_what_was_measured_where_and_under_which_rule() {
    let rows: Vec<_> = [0, 1, 2, 4, 8, 16, 32]
        .into_iter()
        .flat_map(|delay| {
            [row(delay), row_of("heavy-ball", 0.9, 0.9, delay, 0.8), row_of("shifted", 0.9, 0.0, delay, 0.2)]
        })
        .collect();
    let svg = picture_of(&rows);
    let texts: Vec<&str> = svg.lines().filter(|line| !line.starts_with('<')).collect();
    for expected in ["0", "1", "2", "4", "8", "16", "32", "sgd", "heavy-ball m=0.9 ema", "shifted m=0.9"] {
        assert!(texts.contains(&expected), "`{expected}` is not among {texts:?}");
    }
    for expected in ["21 of 21 cells measured", "21 of 21 within ±2 % of theory", "largest deviation 0.3 %"] {
        assert!(texts.contains(&expected), "`{expected}` is not among {texts:?}");
    }
    assert!(texts.iter().any(|text| text.starts_with("digits · 512 samples · mlp:16 · ce")), "{texts:?}");
}

#[test]
fn the_same_table_gives_the_same_bytes_and_an_old_picture_is_replaced() {
    let folder = folder_with(&[row(0), row(4), row_of("heavy-ball", 0.9, 0.0, 4, 1.0)]);
    let files = ["thresholds.svg", "thresholds.png"].map(|name| folder.path().join(name));
    files.iter().for_each(|file| std::fs::write(file, "old").unwrap());
    let draw = || {
        let printed = format!("{}\n{}\n", files[0].display(), files[1].display());
        plot(folder.path()).success().stdout(printed);
        files.clone().map(|file| std::fs::read(file).unwrap())
    };
    let first = draw();
    assert_eq!(first, draw());
    assert!(first.iter().all(|bytes| bytes.len() > 10_000), "no longer the old files");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing partial is left behind");
}

#[test]
fn tables_of_any_shape_can_be_drawn() {
    let many = (0..16)
        .flat_map(|i| [0, 3, 64].map(|d| row_of("nesterov", f64::from(i) / 16.0, 0.0, d, 1.0 / (1.0 + f64::from(i)))));
    let shapes: [(&str, Vec<ThresholdRow>); 8] = [
        ("one cell", vec![row(4)]),
        ("one cell at delay 0", vec![row(0)]),
        ("one delay", vec![row(8), row_of("shifted", 0.9, 0.9, 8, 2.0)]),
        ("sixteen rules", many.collect()),
        ("rules that coincide", (0..4).map(|i| row_of("heavy-ball", 0.1 + 0.1 * f64::from(i), 0.0, 1, 1.0)).collect()),
        ("crowded delays", (0..=64).map(row).collect()),
        ("a far delay", vec![row(0), row(100_000)]),
        ("nothing measured", vec![open_row(0, Status::Failed, None, None), open_row(1, Status::Failed, None, None)]),
    ];
    for (name, rows) in shapes {
        let svg = picture_of(&rows);
        assert!(svg.contains(&format!("of {} cell", rows.len())), "{name}");
    }
}

/// Marks: the filled polygons of small size, each with a white one below it.
fn marks(svg: &str) -> usize {
    let corners = |line: &str| line.split_once("points=\"").map_or(0, |(_, rest)| rest.split_whitespace().count());
    svg.lines()
        // Neither what lies under a mark nor the ground of a panel.
        .filter(|line| line.contains("<polygon") && !line.contains("#FFFFFF") && !line.contains("#F4F4F4"))
        .filter(|line| {
            let points = line.split_once("points=\"").unwrap().1.split('"').next().unwrap();
            let across: Vec<f64> =
                points.split_whitespace().map(|pair| pair.split(',').next().unwrap().parse().unwrap()).collect();
            let span =
                across.iter().copied().fold(f64::MIN, f64::max) - across.iter().copied().fold(f64::MAX, f64::min);
            corners(line) >= 3 && span < 60.0
        })
        .count()
}

#[test]
fn thirteen_and_sixty_four_series_are_all_drawn_and_named_without_a_cut() {
    for (rules, momenta) in [(13, 1), (4, 16)] {
        let names =
            ["heavy-ball", "nesterov", "shifted", "delayed-nesterov", "weight-prediction", "ormo", "nadam", "lion"];
        let rows: Vec<ThresholdRow> = (0..rules)
            .flat_map(|rule| (0..momenta).map(move |m| (rule, m)))
            .flat_map(|(rule, m)| {
                [0, 4, 16].map(|delay| {
                    // 13 series of 4 rules and some: 8 names, the rest by their momenta.
                    let momentum = 0.05 + 0.05 * f64::from(m) + 0.001 * f64::from(rule / 8);
                    row_of(names[rule as usize % 8], momentum, 0.0, delay, 1.0 / (1.0 + f64::from(rule)))
                })
            })
            .collect();
        let series = (rules * momenta) as usize;
        let svg = picture_of(&rows);
        assert!(!svg.contains('…'), "no name is cut");
        let texts: Vec<&str> = svg.lines().filter(|line| !line.starts_with('<')).collect();
        assert_eq!(texts.iter().filter(|text| text.contains(" m=0.")).count(), series);
        // Each row has a mark in both panels, each series one in its key.
        assert_eq!(marks(&svg), 2 * rows.len() + series);
    }
}

#[test]
fn a_long_subtitle_is_wrapped_and_not_cut() {
    let long = |delay| ThresholdRow {
        model: format!("mlp:{}", ["64"; 60].join("-")),
        adapter: "a processor with a very long name ".repeat(4),
        ..row(delay)
    };
    let svg = picture_of(&[long(0), long(4)]);
    assert!(!svg.contains('…') && svg.contains("round-robin"));
}

#[test]
fn a_dark_picture_has_a_name_of_its_own_and_dark_ground() {
    let folder = folder_with(&[row(0), row(4)]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tauscope"));
    let told = command.arg("plot").arg(folder.path()).args(["--theme", "dark"]).assert().success().get_output().clone();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("thresholds-dark.svg") && told.contains("thresholds-dark.png"), "{told}");
    let svg = std::fs::read_to_string(folder.path().join("thresholds-dark.svg")).unwrap();
    assert!(svg.contains("#16181C") && !svg.contains("fill=\"#222222\""), "text in dark ink on a dark ground");
    assert!(!folder.path().join("thresholds.svg").exists());
    let mut command = Command::new(env!("CARGO_BIN_EXE_tauscope"));
    let refused =
        command.arg("plot").arg(folder.path()).args(["--theme", "blue"]).assert().code(2).get_output().clone();
    let refused = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.contains("blue") && refused.contains("dark"), "{refused}");
}

#[test]
fn every_command_that_draws_takes_the_theme_of_its_picture() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = |words: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tauscope"));
        command.args(words.split(' ')).current_dir(folder.path()).assert()
    };
    let is_dark = |name: &str| {
        let svg = std::fs::read_to_string(at(name)).unwrap();
        svg.contains("#16181C") && !svg.contains("fill=\"#222222\"")
    };
    for draws in ["theory --rules sgd,shifted --delays 0,4", "tune --rules sgd --delays 1,4 --condition 10"] {
        run(&format!("{draws} --svg light.svg")).success();
        run(&format!("{draws} --svg dark.svg --theme dark")).success();
        assert!(is_dark("dark.svg") && !is_dark("light.svg"), "{draws}");
        let refused = run(&format!("{draws} --theme dark")).code(2).get_output().clone();
        assert!(String::from_utf8(refused.stderr).unwrap().contains("--svg"), "{draws}");
    }
    run("sweep --model quadratic:1,0.3 --rules sgd,shifted --delays 0,2 --engine cpu --out sweep").success();
    let told = run("compare sweep --theme dark").success().get_output().clone();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.ends_with("wrote sweep: compare.csv, compare-dark.svg, compare-dark.png\n"), "{told}");
    assert!(
        is_dark("sweep/compare-dark.svg") && at("sweep/compare-dark.png").exists() && !at("sweep/compare.svg").exists()
    );
    run("compare sweep").success();
    assert!(!is_dark("sweep/compare.svg"));
    run("sweep --model quadratic:1,0.3 --rules sgd,shifted --delays 2 --rates 0.1,0.2 --engine cpu --out rates")
        .success();
    let refused = run("compare rates --theme dark").code(2).get_output().clone();
    let refused = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.contains("--theme dark: a comparison of rates has no picture"), "{refused}");
}

#[test]
fn what_is_undecided_or_failed_is_counted_and_drawn_open() {
    let rows = [
        row(0),
        open_row(1, Status::Undecided, Some(1.0), None),
        open_row(2, Status::Undecided, None, Some(0.1)),
        open_row(4, Status::Undecided, Some(0.3), Some(0.9)),
        open_row(8, Status::Failed, None, None),
    ];
    let svg = picture_of(&rows);
    for expected in ["1 of 5 cells measured", "3 cells undecided", "1 cell failed"] {
        assert!(svg.contains(expected), "{expected}");
    }
    // Closed marks have a rim, open ones are white inside too; each is drawn in both panels.
    let white = |svg: &str| svg.lines().filter(|line| line.contains("<polygon") && line.contains("#FFFFFF")).count();
    let closed = white(&picture_of(&[row(0), row(1), row(2), row(4)]));
    assert_eq!(white(&svg), closed + 2 * 3);
}

#[test]
fn what_a_table_varies_besides_its_rule_is_named() {
    let batch = |batch: &str, delay| ThresholdRow { batch: batch.into(), ..row(delay) };
    let svg = picture_of(&[batch("full", 0), batch("full", 4), batch("64", 0), batch("64", 4)]);
    assert!(svg.contains("\nsgd, full batch\n") && svg.contains("\nsgd, batch 64\n"));
    assert!(
        svg.contains("digits · 512 samples · mlp:16 · ce · weight decay 0.001 · round-robin"),
        "not in the subtitle"
    );
}

#[test]
fn bad_tables_are_refused_in_one_line() {
    let missing = tempfile::tempdir().unwrap();
    let message = refusal(missing.path());
    assert!(message.contains("needs a results folder") && message.contains("thresholds.csv"), "{message}");
    let message = refusal(&missing.path().join("nowhere"));
    assert!(message.contains("nowhere"), "{message}");

    let empty = folder_with(&[]);
    assert!(refusal(empty.path()).contains("has no cells"));

    let negative = folder_with(&[row(0), ThresholdRow { lr_stable: Some(-1.0), ..row(1) }]);
    let message = refusal(negative.path());
    assert!(
        message.contains("thresholds.csv, line 3: column `lr_stable`: `-1`, expected a positive number"),
        "{message}"
    );

    for (find, replacement, expected) in [
        (",rule,", ",update,", "line 1: no column `rule`; found cell_id,data,model,"),
        (",round-robin,2,", ",round-robin,two,", "line 3: column `workers`: `two`, expected a whole number from 0 to"),
        (",measured,", ",done,", "line 2: column `status`: `done`, expected one of measured, undecided, failed"),
    ] {
        let folder = folder_with(&[row(0), row(1)]);
        let table = folder.path().join("thresholds.csv");
        let text = std::fs::read_to_string(&table).unwrap();
        assert!(text.contains(find), "{text}");
        std::fs::write(&table, text.replacen(find, replacement, 1)).unwrap();
        let message = refusal(folder.path());
        assert!(message.contains("thresholds.csv, ") && message.contains(expected), "{message}");
    }
}
