//! What `plot`, `report` and `compare` make of folders of `sweep --rates`.

use crate::printed::{number, tauscope};
use predicates::prelude::*;
use predicates::str::contains;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

/// Two rules, two delays and three learning rates, the largest of which lets sgd leave at delay 3.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let sweep = "sweep --model quadratic:1,0.3,0.1 --rules sgd,mixing:0.5 --momentum 0.3 --dampening 0 --delays 0,3 --rates 0.2,0.4,1.2 \
                 --engine cpu --quiet --out";
    for (name, further) in [("first", ""), ("second", "--tolerance 0.05")] {
        tauscope(&format!("{sweep} {} {further}", folder.path().join(name).display())).assert().success();
    }
    let thresholds = format!(
        "sweep --model quadratic:1 --rules sgd --delays 1 --engine cpu --quiet --out {}",
        folder.path().join("thresholds").display()
    );
    tauscope(&thresholds).assert().success();
    folder
});

fn dir(name: &str) -> String {
    FOLDER.path().join(name).display().to_string()
}

fn table(path: &Path) -> Vec<HashMap<String, String>> {
    let rows: Result<Vec<_>, _> = csv::Reader::from_path(path).unwrap().deserialize().collect();
    rows.unwrap()
}

#[test]
fn the_picture_of_rates_has_a_panel_for_each_delay_with_its_bound() {
    tauscope(&format!("plot {}", dir("first")))
        .assert()
        .success()
        .stdout(contains("rates.svg").and(contains("rates.png")));
    let text = fs::read_to_string(FOLDER.path().join("first/rates.svg")).unwrap();
    assert!(text.starts_with("<svg") && !text.contains("NaN") && !text.contains("inf"));
    for (line, count) in [("delay 0", 1), ("delay 3", 1), ("sgd", 2), ("mixing:0.5 m=0.3", 2)] {
        assert_eq!(text.lines().filter(|found| *found == line).count(), count, "{line}");
    }
    // T / ln((sqrt 10 + 1)/(sqrt 10 - 1)) at the delays 0 and 3.
    for bound in ["1.53", "6.11"] {
        assert!(text.contains(&format!("no stationary linear rule gets below {bound}")), "{bound}");
    }
    assert!(text.contains("not shrink and ha"), "{text}");
}

#[test]
fn the_page_of_rates_names_every_rule_at_its_fastest() {
    let page = FOLDER.path().join("page.html");
    tauscope(&format!("report {} --out {}", dir("first"), page.display())).assert().success();
    let text = fs::read_to_string(&page).unwrap();
    for part in [
        "over the bound",
        "delay 3",
        "mixing:0.5 m=0.3",
        "rates.csv",
        "<svg role=\"img\"",
        "Updates per e-fold against learning rate",
    ] {
        assert!(text.contains(part), "{part}");
    }
    // Beside thresholds on one page.
    tauscope(&format!("report {} {} --out {}", dir("first"), dir("thresholds"), page.display())).assert().success();
}

#[test]
fn rates_of_rules_are_compared_at_their_fastest_and_those_of_folders_cell_by_cell() {
    let out = FOLDER.path().join("out");
    let told = tauscope(&format!("compare {} --out-dir {}", dir("first"), out.display())).assert().success();
    told.stdout(contains("wrote").and(contains("compare.csv")).and(contains("compare.svg").not()));
    let rows = table(&out.join("compare.csv"));
    assert_eq!(rows.len(), 4);
    for row in &rows {
        let ratio = number(row, "ratio");
        assert!((ratio - number(row, "updates_per_efold") / number(row, "baseline_updates")).abs() < 1e-12);
        assert!(number(row, "ratio_low") <= ratio && ratio <= number(row, "ratio_high"), "{row:?}");
        assert_eq!(row["baseline"], "sgd");
        assert_eq!(row["rule"] == "sgd", ratio == 1.0, "{row:?}");
    }
    let rates = table(&FOLDER.path().join("first/rates.csv"));
    let of = |row: &&HashMap<String, String>| row["rule"] == "sgd" && row["delay"] == "0";
    let least =
        rates.iter().filter(of).filter_map(|row| row["updates_per_efold"].parse().ok()).fold(f64::INFINITY, f64::min);
    let found = rows.iter().find(of).unwrap();
    assert_eq!(number(found, "updates_per_efold"), least);

    let both =
        tauscope(&format!("compare {} {} --out-dir {}", dir("first"), dir("second"), out.display())).assert().success();
    both.stdout(contains("the same cells in"));
    let rows = table(&out.join("compare.csv"));
    assert_eq!(rows.len(), rates.len());
    for row in rows.iter().filter(|row| !row["ratio"].is_empty()) {
        assert_eq!(row["lr"], row["baseline_lr"]);
        assert!(number(row, "ratio_low") <= 1.0 && 1.0 <= number(row, "ratio_high"), "{row:?}");
    }
}

#[test]
fn comparisons_without_a_meaning_are_refused() {
    let refused = [
        (
            format!("compare {} {}", dir("first"), dir("thresholds")),
            "stand side by side on the page of `tauscope report ",
        ),
        (format!("compare {} {} --to sgd", dir("first"), dir("second")), "--to"),
        (
            format!("compare {} --to shifted", dir("first")),
            "the table has no such rule; accepted: \"sgd\", \"mixing:0.5 m=0.3\"",
        ),
    ];
    for (words, accepted) in refused {
        tauscope(&words).assert().failure().stderr(contains(accepted));
    }
}
