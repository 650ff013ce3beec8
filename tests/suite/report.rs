//! `tauscope report`, from the outside: the page is opened in a headless Chromium, and what stands in its document is
//! compared with the rows of the folder's tables.
//!
//! The tables of most tests are written as text: a report shows what it finds, also columns that are not known here.

use crate::browser::Browser;
use assert_cmd::Command;
use predicates::prelude::*;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const DEFAULT_SWEEP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results/2026-11-22-default-sweep");
const HEADER: &str =
    "cell_id,model,rule,momentum,dampening,delay,lr_theory,lr_stable,lr_unstable,lr_threshold,ratio,status";
/// Columns that every threshold table has and that these tests do not vary, and their values.
const OTHERS: [&str; 2] = [
    "weight_decay,schedule,batch,seed_data,seed_order,seed_init,criterion,lambda_max,lambda_residual,horizon_steps,runs,\
     engine,adapter",
    "0,round-robin,full,0,0,0,mean,1,0,100,2,cpu f32,x86_64",
];
const RUN_HEADER: &str = "run_id,cell_id,lr,verdict,growth_rate,steps";
/// Every picture in which each row of the threshold table has a mark.
const OF_CELLS: [&str; 3] = ["thresholds", "inverse", "ratio"];

fn tauscope() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tauscope"))
}

/// Writes the report of `folder` elsewhere and returns its path.
fn report(folder: &Path, scratch: &TempDir) -> PathBuf {
    let out = scratch.path().join("page.html");
    tauscope().arg("report").arg(folder).arg("--out").arg(&out).assert().success();
    out
}

/// A folder with these rows.
fn folder(thresholds: &str, runs: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let wide: String = thresholds.lines().map(|row| format!("{row},{}\n", OTHERS[1])).collect();
    fs::write(folder.path().join("thresholds.csv"), format!("{HEADER},{}\n{wide}", OTHERS[0])).unwrap();
    fs::write(folder.path().join("runs.csv"), format!("{RUN_HEADER}\n{runs}")).unwrap();
    fs::write(folder.path().join("run.json"), r#"{"version": "0.1.0", "plan": {"tolerance": 0.01}}"#).unwrap();
    folder
}

fn rows(table: PathBuf) -> usize {
    csv::Reader::from_path(table).unwrap().records().map(Result::unwrap).count()
}

fn marks(browser: &mut Browser, plot: &str) -> usize {
    browser.count(&format!("#figure-{plot} [data-row]"))
}

/// What must hold of every page at every width: a clean console, no request but for the page itself, pictures that are
/// not empty, marks and letters inside their pictures, and nothing wider than the window.
pub fn assert_sound(browser: &mut Browser, page: &Path) {
    for (width, scheme) in [(1600, "light"), (800, "dark"), (360, "light")] {
        browser.prefer(scheme);
        browser.open(page, width);
        assert_eq!(browser.complaints, [] as [String; 0], "at width {width}");
        assert_headings(browser);
        let foreign: Vec<&String> =
            browser.requests.iter().filter(|url| !url.ends_with("page.html") && !url.starts_with("data:")).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
        let too_wide = browser.evaluate("document.documentElement.scrollWidth - window.innerWidth");
        assert!(too_wide.as_i64().unwrap() <= 0, "{too_wide} pixels too wide at width {width}");
        let empty = browser.evaluate(
            "[...document.querySelectorAll('[data-plot]')].filter((plot) => !plot.firstElementChild \
             || plot.getBoundingClientRect().height < 20).map((plot) => plot.dataset.plot)",
        );
        assert_eq!(empty, json!([]), "empty pictures at width {width}");
        let outside = browser.evaluate(
            "[...document.querySelectorAll('[data-plot] svg')].flatMap((svg) => { \
               const frame = svg.getBoundingClientRect(); \
               return [...svg.querySelectorAll('[data-row], text')].filter((mark) => { \
                 const box = mark.getBoundingClientRect(); \
                 return box.width && (box.left < frame.left - 3 || box.right > frame.right + 3 \
                   || box.top < frame.top - 3 || box.bottom > frame.bottom + 3); \
               }).map((mark) => `${svg.getAttribute('aria-label')}: ${mark.outerHTML}`); })",
        );
        assert_eq!(outside, json!([]), "outside of their picture at width {width}");
    }
}

/// One heading of the first level, and none that skips a level; every table with a caption and scopes, every button with a name.
fn assert_headings(browser: &mut Browser) {
    let skipped = browser.evaluate(
        "(() => { const levels = [...document.querySelectorAll('h1,h2,h3,h4,h5')].map((head) => Number(head.tagName[1])); \
          return [levels.filter((level) => level === 1).length, levels[0], \
            levels.filter((level, place) => place && level > levels[place - 1] + 1).length]; })()",
    );
    assert_eq!(skipped, json!([1, 1, 0]));
    for lacking in ["table:not(:has(caption))", "th:not([scope])", "button:empty", "svg[aria-label]:not([role])"] {
        assert_eq!(browser.count(lacking), 0, "{lacking}");
    }
}

#[test]
fn both_themes_can_be_read_at_three_widths_and_the_reader_may_choose() {
    let scratch = tempfile::tempdir().unwrap();
    let page = report(Path::new(DEFAULT_SWEEP), &scratch);
    let mut browser = Browser::start();
    // Contrast of the text with the ground, by the Web Content Accessibility Guidelines.
    let contrast = "(() => { const of = (color) => { const [r, g, b] = color.match(/\\d+/g).map(Number).map((value) => { \
         const share = value / 255; return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4; }); \
         return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05; }; \
       const ground = of(getComputedStyle(document.documentElement).backgroundColor); \
       return [ground, ...['.recommendation', '.setting', 'figcaption', 'td', 'code', '.answers li'].map((one) => { \
         const ink = of(getComputedStyle(document.querySelector(one)).color); \
         return Math.max(ink, ground) / Math.min(ink, ground); })]; })()";
    for width in [360, 800, 1600] {
        for (scheme, dark) in [("light", false), ("dark", true)] {
            browser.prefer(scheme);
            browser.open(&page, width);
            let told = browser.evaluate(contrast);
            let values: Vec<f64> = told.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
            assert_eq!(values[0] < 0.2, dark, "{scheme} at {width}: the ground has luminance {}", values[0]);
            assert!(values[1..].iter().all(|contrast| *contrast >= 4.5), "{scheme} at {width}: {values:?}");
            let too_wide = browser.evaluate("document.documentElement.scrollWidth - window.innerWidth");
            assert!(too_wide.as_i64().unwrap() <= 0, "{too_wide} pixels too wide at width {width}");
        }
    }
    // System, light, dark, system.
    for (words, dark) in [("Theme: light", false), ("Theme: dark", true), ("Theme: system", true)] {
        browser.evaluate("document.querySelector('#theme').click()");
        assert_eq!(browser.evaluate("document.querySelector('#theme').textContent"), json!(words));
        let ground = browser.evaluate(contrast)[0].as_f64().unwrap();
        assert_eq!(ground < 0.2, dark, "{words}");
    }
    let command = browser.evaluate(
        "(() => { const copy = document.querySelector('button.copy'); copy.focus(); \
          return [copy.hidden, document.activeElement === copy, copy.closest('.command').querySelector('code').textContent]; })()",
    );
    assert_eq!(command[0], json!(false));
    assert_eq!(command[1], json!(true));
    assert!(command[2].as_str().unwrap().starts_with("tauscope sweep"), "{command}");
}

#[test]
fn thirteen_and_sixty_four_series_are_all_drawn() {
    let names = ["heavy-ball", "nesterov", "shifted", "weight-prediction"];
    for (momenta, sgd) in [(3, true), (16, false)] {
        let row = |rule: &str, momentum: f64, delay: u32| {
            let lr = (1.0 - momentum) / f64::from(2 * delay + 1);
            let (low, high) = (0.99 * lr, 1.01 * lr);
            format!("{rule}{momentum}{delay},linear,{rule},{momentum},0,{delay},{lr},{low},{high},{lr},1,measured\n")
        };
        let mut rows = String::new();
        for rule in names {
            for place in 0..momenta {
                rows += &[1, 8].map(|delay| row(rule, 0.05 * f64::from(place + 1), delay)).concat();
            }
        }
        if sgd {
            rows += &[1, 8].map(|delay| row("sgd", 0.0, delay)).concat();
        }
        let cells = rows.lines().count();
        let folder = folder(&rows, "");
        let scratch = tempfile::tempdir().unwrap();
        let page = report(folder.path(), &scratch);
        let mut browser = Browser::start();
        assert_sound(&mut browser, &page);
        for plot in OF_CELLS {
            assert_eq!(marks(&mut browser, plot), cells, "{plot}");
        }
        // A panel of at most eight series, each in its key.
        let keys = browser.count("#figure-thresholds .key li");
        assert_eq!(keys, cells / 2);
        assert_eq!(browser.count("#answers p.recommendation"), 1);
        let listed = browser.count("#answers ol > li");
        assert_eq!(listed, (cells / 2).min(24));
    }
}

#[test]
fn folders_of_one_kind_are_compared_cell_by_cell() {
    let row = |rule: &str, delay: u32, lr: f64| {
        let (low, high) = (0.99 * lr, 1.01 * lr);
        format!("{rule}{delay},linear,{rule},0,0,{delay},{lr},{low},{high},{lr},1,measured\n")
    };
    let first = folder(&(row("sgd", 1, 1.0) + &row("sgd", 4, 0.5) + &row("lion", 1, 0.1)), "");
    let second = folder(&(row("sgd", 1, 1.2) + &row("sgd", 4, 0.501) + &row("gap-aware", 1, 0.1)), "");
    let scratch = tempfile::tempdir().unwrap();
    let page = scratch.path().join("page.html");
    let both = [first.path(), second.path()];
    tauscope().arg("report").args(both).arg("--out").arg(&page).assert().success();
    let mut browser = Browser::start();
    assert_sound(&mut browser, &page);
    let table = browser.evaluate(
        "[...document.querySelectorAll('table.sides tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))",
    );
    // 1.2 beside 1: +20 %, at least 1.188 / 1.01 and at most 1.212 / 0.99.
    let expected = json!([
        ["sgd, delay 1", "1 (0.99 to 1.01)", "1.2 (1.188 to 1.212)", "+20 % (+17.6 to +22.4) *"],
        ["sgd, delay 4", "0.5 (0.495 to 0.505)", "0.501 (0.496 to 0.506)", "+0.2 % (-1.78 to +2.22)"],
    ]);
    assert_eq!(table, expected);
    let text = browser.evaluate("document.querySelector('#comparison').innerText");
    let text = text.as_str().unwrap();
    assert!(text.contains("Of 2 cells that stand beside one of"), "{text}");
    assert!(text.contains("1 differs by more than the intervals allow"), "{text}");
    // Equal folders are equal, and one folder under three names is one.
    let copy = folder(&(row("sgd", 1, 1.0) + &row("sgd", 4, 0.5)), "");
    tauscope().arg("report").args([first.path(), copy.path()]).arg("--out").arg(&page).assert().success();
    browser.open(&page, 360);
    let told = browser.evaluate("document.querySelector('#comparison .recommendation').textContent");
    assert!(told.as_str().unwrap().starts_with("The 2 cells that stand beside one of"), "{told}");
    assert!(
        told.as_str().unwrap().ends_with("all have the same largest stable learning rate: they are equal."),
        "{told}"
    );
    // On a narrow page every value is on the screen, with the name of its folder.
    let hidden = browser.evaluate(
        "[...document.querySelectorAll('table.sides td')].filter((cell) => cell.getBoundingClientRect().right > window.innerWidth).length",
    );
    assert_eq!(hidden, json!(0));
    assert_eq!(browser.count("table.sides td:not([data-label])"), 0);
    let again = first.path().join(".");
    tauscope().arg("report").args([first.path(), again.as_path()]).arg("--out").arg(&page).assert().success();
    browser.open(&page, 1280);
    assert_eq!((browser.count("article.part"), browser.count("#comparison")), (1, 0));
    tauscope().arg("report").args(both).assert().code(2).stderr(predicate::str::contains("2 folders and no --out"));
}

#[test]
fn trainings_are_compared_group_by_group_paired_by_seed() {
    let scratch = tempfile::tempdir().unwrap();
    let page = scratch.path().join("page.html");
    let folders = ["lr-1", "lr-0.05"]
        .map(|name| format!("{}/results/2026-11-22-generalisation/{name}", env!("CARGO_MANIFEST_DIR")));
    tauscope().arg("report").args(&folders).arg("--out").arg(&page).assert().success();
    let mut browser = Browser::start();
    assert_sound(&mut browser, &page);
    assert_eq!(browser.count("table.sides tbody tr"), 7);
    let text = browser.evaluate("document.querySelector('#comparison').innerText");
    let text = text.as_str().unwrap();
    for part in ["The folders differ in lr 1 against lr 0.05.", "points", "sgd, delay 31, preserve"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_running_job_is_followed_until_it_is_finished_and_an_interruption_ends_the_following() {
    use crate::folders::{await_lines, signal, slow_sweep};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    let scratch = tempfile::tempdir().unwrap();
    let follow = |out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tauscope"));
        command.current_dir(scratch.path()).args(["report", out, "--follow=1"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let reloads = |page: &Path| fs::read_to_string(page).is_ok_and(|text| text.contains("id=\"reloading\""));
    let await_page = |page: &Path| {
        let begun = Instant::now();
        while !reloads(page) {
            assert!(begun.elapsed() < Duration::from_secs(120), "no page that reloads");
            std::thread::sleep(Duration::from_millis(20));
        }
    };

    let mut running = slow_sweep(scratch.path(), "first", &[]).spawn().unwrap();
    await_lines(&mut running, scratch.path(), "first", 1);
    let following = follow("first");
    let page = scratch.path().join("first.html");
    await_page(&page);
    assert!(running.wait().unwrap().success());
    let output = following.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "first.html\n");
    let text = fs::read_to_string(&page).unwrap();
    assert!(!reloads(&page) && !text.contains("Unfinished"), "it is the page of the finished job");

    // Interrupted, the page stays and stops reloading.
    let mut running = slow_sweep(scratch.path(), "second", &[]).spawn().unwrap();
    await_lines(&mut running, scratch.path(), "second", 1);
    let following = follow("second");
    let page = scratch.path().join("second.html");
    await_page(&page);
    signal(&following, "INT");
    let output = following.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("stopped following") && told.contains("second.html"), "{told}");
    assert!(!reloads(&page));
    running.kill().unwrap();
    running.wait().unwrap();
    // Nobody writes that folder any more: the page is made once.
    let output = follow("second").wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("no job writes second.partial any more"), "{told}");
    // A folder that is not there, and a time that is none.
    assert_eq!(follow("nowhere").wait_with_output().unwrap().status.code(), Some(2));
    tauscope().args(["report", "second", "--follow=0"]).assert().code(2).stderr(predicate::str::contains("--follow"));
}

#[test]
fn the_default_sweep_is_drawn_row_by_row() {
    let scratch = tempfile::tempdir().unwrap();
    let page = report(Path::new(DEFAULT_SWEEP), &scratch);
    let (cells, runs) =
        (rows(Path::new(DEFAULT_SWEEP).join("thresholds.csv")), rows(Path::new(DEFAULT_SWEEP).join("runs.csv")));
    assert_eq!((cells, runs), (28, 190));
    let size = fs::metadata(&page).unwrap().len();
    assert!(size < 1_000_000, "{size} bytes");

    let mut browser = Browser::start();
    assert_sound(&mut browser, &page);
    browser.open(&page, 1280);
    for plot in OF_CELLS {
        assert_eq!(marks(&mut browser, plot), cells, "{plot}");
    }
    assert_eq!(marks(&mut browser, "growth"), runs);
    assert_eq!(browser.count("#rows tbody tr"), cells);
    assert_eq!(browser.count("table.ratios tbody tr"), 7);
    assert_eq!(browser.count("#answers li"), 4);
    // Theory's line of every series, and one panel for each.
    assert_eq!(browser.count("#figure-thresholds g[aria-label='line'] path"), 4);
    assert_eq!(browser.count("#figure-growth .panels svg"), 4);
    assert_eq!(
        (browser.count("#figure-delays"), browser.count("#figure-accuracy")),
        (0, 0),
        "its delays are one in each cell, and it has no accuracies"
    );
    let answer = browser.evaluate("document.querySelector('#answers li').textContent");
    let answer = answer.as_str().unwrap();
    assert!(
        answer
            .starts_with("shifted m=0.9 ema: the largest stable learning rate falls from 37.29 at delay 0 to 0.06018"),
        "{answer}"
    );
    // shifted / sgd at the seven delays of effective learning rates has the median 1.4: 0.4769 / 0.3405 at delay 4.
    let recommended = browser.evaluate("document.querySelector('.recommendation').textContent");
    assert_eq!(
        recommended,
        json!(
            "Use shifted m=0.9 ema: it tolerates the largest effective learning rate, 1.4 times that of sgd in the median of 7 settings; at \
             delay 32 keep the learning rate of shifted m=0.9 ema at or below 0.0599."
        )
    );
    let common = browser.evaluate("document.querySelector('#rows .common').textContent");
    assert!(!common.as_str().unwrap().contains('–'), "what is empty in every row is left out: {common}");
    let provenance = browser.evaluate("document.querySelector('#provenance').textContent");
    let provenance = provenance.as_str().unwrap();
    let run: serde_json::Value =
        serde_json::from_slice(&fs::read(Path::new(DEFAULT_SWEEP).join("run.json")).unwrap()).unwrap();
    let told = |key: &str| run[key].as_str().unwrap();
    let started = told("started").split('.').next().unwrap();
    for part in ["tauscope sweep --engine cpu", told("commit"), told("plan_hash"), "x86_64", started] {
        assert!(provenance.contains(part), "{part} in {provenance}");
    }
}

#[test]
fn a_sweep_and_a_training_are_drawn_one_below_the_other_each_from_its_own_rows() {
    let scratch = tempfile::tempdir().unwrap();
    let page = scratch.path().join("page.html");
    let training = concat!(env!("CARGO_MANIFEST_DIR"), "/results/2026-11-22-generalisation/lr-1");
    tauscope().args(["report", DEFAULT_SWEEP, training, "--out"]).arg(&page).assert().success();
    let mut browser = Browser::start();
    assert_sound(&mut browser, &page);
    browser.open(&page, 1280);
    assert_eq!(marks(&mut browser, "thresholds"), 0, "ids of several parts are told apart");
    assert_eq!(browser.count("#part-1-figure-thresholds [data-row]"), 28);
    assert!(browser.count("#part-2-figure-delay [data-row]") > 0);
    let told = browser.evaluate("document.querySelector('#comparison').innerText");
    assert!(told.as_str().unwrap().contains("of different kinds, so they are not compared"), "{told}");
    for (figure, column) in [("part-1-figure-thresholds", "lr_threshold"), ("part-2-figure-delay", "test_accuracy")] {
        browser.hover(&format!("#{figure} [data-row]"));
        let shown =
            browser.evaluate("[...document.querySelectorAll('.tip:not([hidden]) dt')].map((e) => e.textContent)");
        assert!(shown.as_array().unwrap().contains(&json!(column)), "{figure}: {shown}");
    }
}

#[test]
fn hovering_shows_the_row_and_a_click_sorts_the_table() {
    let scratch = tempfile::tempdir().unwrap();
    let page = report(Path::new(DEFAULT_SWEEP), &scratch);
    let mut browser = Browser::start();
    browser.open(&page, 1280);
    for (table, plot) in [("thresholds.csv", "thresholds"), ("thresholds.csv", "ratio"), ("runs.csv", "growth")] {
        let mut reader = csv::Reader::from_path(Path::new(DEFAULT_SWEEP).join(table)).unwrap();
        let columns = reader.headers().unwrap().clone();
        let first = reader.records().next().unwrap().unwrap();
        browser.hover(&format!("#figure-{plot} [data-row]"));
        let shown = browser.evaluate(
            "document.querySelector('.tip:not([hidden])') && [...document.querySelectorAll('.tip dd')].map((e) => e.textContent)",
        );
        let expected: Vec<&str> = first.iter().map(|cell| if cell.is_empty() { "–" } else { cell }).collect();
        assert_eq!(shown, json!(expected), "{plot}, columns {columns:?}");
    }
    let sorted = browser.evaluate(
        "(() => { const heads = [...document.querySelectorAll('table.rows th')]; \
          const at = heads.findIndex((head) => head.textContent === 'lr_threshold'); \
          const button = heads[at].querySelector('button'); button.click(); button.click(); \
          return [heads[at].getAttribute('aria-sort'), \
            ...[...document.querySelectorAll('table.rows tbody tr')].map((row) => Number(row.cells[at].dataset.value))]; })()",
    );
    let sorted = sorted.as_array().unwrap();
    assert_eq!(sorted[0], "descending");
    let values: Vec<f64> = sorted[1..].iter().map(|value| value.as_f64().unwrap()).collect();
    let mut table = csv::Reader::from_path(Path::new(DEFAULT_SWEEP).join("thresholds.csv")).unwrap();
    let at = table.headers().unwrap().iter().position(|name| name == "lr_threshold").unwrap();
    let mut expected: Vec<f64> = table.records().map(|row| row.unwrap()[at].parse().unwrap()).collect();
    expected.sort_by(|a, b| b.total_cmp(a));
    assert_eq!(values, expected);
    assert_eq!(browser.complaints, [] as [String; 0]);
}

#[test]
fn a_sweep_made_here_with_columns_of_one_s_own_is_drawn() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("sweep");
    let flags =
        ["--samples", "100", "--model", "mlp:4", "--rules", "sgd,shifted", "--delays", "0,3", "--engine", "cpu"];
    tauscope().args(["sweep", "--quiet"]).args(flags).arg("--out").arg(&out).assert().success();
    // Columns that this version does not know must neither hinder nor get lost.
    let table = fs::read_to_string(out.join("thresholds.csv")).unwrap();
    let widened: String = table
        .lines()
        .enumerate()
        .map(|(line, text)| {
            format!("{text},{}\n", if line == 0 { "a_new_column".into() } else { format!("new{line}") })
        })
        .collect();
    fs::write(out.join("thresholds.csv"), widened).unwrap();
    let ids: Vec<String> = table.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();
    let delays = format!(
        "cell_id,delay,count\n{0},0,10\n{0},1,30\n{0},2,5\n{1},0,10\n{1},1,30\n{1},2,5\n{2},3,9\n",
        ids[0], ids[1], ids[2]
    );
    fs::write(out.join("delays.csv"), delays).unwrap();

    // By default the report lies in the folder, and its path is printed.
    let path = out.join("report.html");
    tauscope().arg("report").arg(&out).assert().success().stdout(format!("{}\n", path.display()));
    let page = report(&out, &scratch);
    assert_eq!(fs::read(&path).unwrap(), fs::read(&page).unwrap(), "the same folder gives the same page");

    let mut browser = Browser::start();
    assert_sound(&mut browser, &page);
    for plot in OF_CELLS {
        assert_eq!(marks(&mut browser, plot), 4, "{plot}");
    }
    assert_eq!(marks(&mut browser, "growth"), rows(out.join("runs.csv")));
    assert_eq!(marks(&mut browser, "delays"), 3, "equal histograms are drawn once, those of one delay not at all");
    assert_eq!(browser.count("#figure-delays .panels svg"), 1);
    browser.hover("#figure-thresholds [data-row]");
    let tip = browser.evaluate("document.querySelector('.tip').textContent");
    assert!(tip.as_str().unwrap().contains("a_new_columnnew1"), "{tip}");
}

#[test]
fn text_from_a_table_is_never_markup() {
    let rule = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)>";
    let model = "<!--<script>";
    let row = |delay: u32| format!("c{delay},{model},{rule},0,0,{delay},1,0.9,1.1,1,1,measured\n");
    let folder = folder(&(row(0) + &row(1)), "</script>,c0,0.9,stable,-0.1,5\n");
    let run = json!({"plan": {"</script>": "<b>"}, "command": ["tauscope", "</pre><script>"]});
    fs::write(folder.path().join("run.json"), run.to_string()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let page = report(folder.path(), &scratch);
    let mut browser = Browser::start();
    assert_sound(&mut browser, &page);
    for plot in OF_CELLS {
        assert_eq!(marks(&mut browser, plot), 2, "{plot}");
    }
    assert_eq!(browser.count("img, b:not(.common b)"), 0);
    assert_eq!(browser.count("script"), 5);
    assert!(browser.evaluate("document.title").as_str().unwrap().ends_with("· tauscope"));
    let answer = browser.evaluate("document.querySelector('#answers li').textContent");
    assert!(answer.as_str().unwrap().starts_with(rule), "{answer}");
    browser.hover("#figure-growth [data-row]");
    let tip = browser.evaluate("document.querySelector('.tip').textContent");
    assert!(tip.as_str().unwrap().contains("run_id</script>"), "{tip}");
}

#[test]
fn what_is_undecided_failed_or_random_is_told_and_drawn_hollow() {
    let rows = "a,linear,sgd,0,0,0,2,1.9,2.1,2,1,measured\n\
                b,linear,sgd,0,0,1,1,0.7,1.1,,,undecided\n\
                c,linear,sgd,0,0,2,0.6,0.5,,,,undecided\n\
                d,linear,sgd,0,0,4,0.35,,0.3,,,undecided\n\
                e,linear,sgd,0,0,8,0.2,,,,,failed\n\
                f,linear,sgd,0,0,,0.2,0.19,0.21,0.2,1,measured\n";
    let runs = "a-0,a,1.9,stable,-0.1,9\na-1,a,2.1,diverged,,9\nb-0,b,0.7,stable,,9\nb-1,b,1.1,undecided,,9\n\
                e-0,e,0.2,failed,,0\n";
    let folder = folder(rows, runs);
    let scratch = tempfile::tempdir().unwrap();
    let page = report(folder.path(), &scratch);
    let mut browser = Browser::start();
    assert_sound(&mut browser, &page);
    for plot in OF_CELLS {
        assert_eq!(marks(&mut browser, plot), 4, "{plot}");
        assert_eq!(browser.count(&format!("#figure-{plot} [data-row][fill='var(--paper)']")), 3, "{plot}");
    }
    assert_eq!(marks(&mut browser, "growth"), 5);
    let text = browser.evaluate("document.body.innerText");
    let text = text.as_str().unwrap();
    for part in [
        "at delay 0 the largest stable learning rate is 2 (stable at 1.9, unstable at 2.1)",
        "3 of 6 are undecided (delays 1, 2, 4), 1 of 6 is failed (delay 8)",
        "2 of 6 cells are measured",
        "2 of these cells have no bracket or no delay, and no mark.",
    ] {
        assert!(text.contains(part), "{part}\nin {text}");
    }
}

#[test]
fn a_rule_that_was_not_measured_is_not_recommended() {
    let rows = "a,linear,sgd,0,0,0,2,1.99,2.01,2,1,measured\n\
                b,linear,sgd,0,0,64,0.024,0.0239,0.0241,0.024,1,measured\n\
                c,linear,heavy-ball,0.999,0.999,0,3998,3980,4100,3990,1,undecided\n\
                d,linear,heavy-ball,0.999,0.999,64,0.0158,,,,,undecided\n\
                e,linear,shifted,0.9,0.9,0,38,37,39,38,1,undecided\n\
                f,linear,shifted,0.9,0.9,64,0.03,0.0299,0.0301,0.03,1,measured\n";
    let scratch = tempfile::tempdir().unwrap();
    let mut browser = Browser::start();
    let mut answers = |rows: &str| {
        let folder = folder(rows, "");
        let page = report(folder.path(), &scratch);
        browser.open(&page, 1280);
        let told = browser.evaluate(
            "['.recommendation', '#answers li'].map((one) => document.querySelector(one).textContent).concat([...document\
             .querySelectorAll('#answers li strong')].map((one) => one.textContent))",
        );
        let told: Vec<String> = serde_json::from_value(told).unwrap();
        (told[0].clone(), told[2..].to_vec())
    };
    // 0.03 / 0.024 at the one delay that is measured for both.
    let (told, order) = answers(rows);
    assert!(
        told.starts_with("Use shifted m=0.9 ema: it tolerates the largest effective learning rate, 1.25 times that of sgd in 1 setting;"),
        "{told}"
    );
    assert!(
        told.ends_with("1 other rule cannot be compared, as no setting of it is measured together with sgd."),
        "{told}"
    );
    assert_eq!(order, ["shifted m=0.9 ema", "sgd", "heavy-ball m=0.999 ema"]);
    // sgd alone is measured, and then nothing.
    let without_f: String = rows.lines().take(5).map(|row| format!("{row}\n")).collect();
    let (told, order) = answers(&without_f);
    assert!(told.contains("cannot be ordered") && told.contains("keep the learning rate of sgd"), "{told}");
    assert_eq!(order[0], "sgd");
    let (told, _) = answers(&rows.replace("measured", "undecided"));
    assert_eq!(told, "No threshold is measured, so there is nothing to recommend.");
}

#[test]
fn a_folder_of_100_000_rows_is_summarised_and_says_so() {
    let status = ["measured", "measured", "undecided"];
    let row = |i: usize| {
        let (delay, momentum) = (i % 100, 0.001 * (i / 100) as f64);
        let lr = 1.5 / (delay as f64 + 0.5);
        let (low, high) = (0.99 * lr, 1.01 * lr);
        format!("c{i},linear,heavy-ball,{momentum},0,{delay},{lr},{low},{high},{lr},1,{}\n", status[i % 3])
    };
    let run = |i: usize| format!("c{i}-0,c{i},0.5,stable,-0.01,100\n");
    let folder = folder(&(0..100_000).map(row).collect::<String>(), &(0..100_000).map(run).collect::<String>());
    let scratch = tempfile::tempdir().unwrap();
    let page = report(folder.path(), &scratch);
    let size = fs::metadata(&page).unwrap().len();
    assert!(size < 1_500_000, "{size} bytes");
    let mut browser = Browser::start();
    assert_sound(&mut browser, &page);
    for plot in OF_CELLS {
        assert_eq!(marks(&mut browser, plot), 96 * 10, "{plot}");
    }
    let text = browser.evaluate("document.body.innerText");
    let text = text.as_str().unwrap();
    for part in [
        "The pictures show 960 of 100,000 cells",
        "66,667 of 100,000 cells are measured",
        "The first 500 of 100,000 rows",
        "The table has 1,000 series",
    ] {
        assert!(text.contains(part), "{part}\nin {}", &text[..3000.min(text.len())]);
    }
}

/// Runs a report that must fail with exit code 2 and write nothing.
fn refusal(folder: &Path) -> String {
    let assert = tauscope().arg("report").arg(folder).assert().code(2).stdout(predicate::str::is_empty());
    assert!(!folder.join("report.html").exists());
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

#[test]
fn what_is_missing_or_broken_is_named() {
    let good = "a,linear,sgd,0,0,0,2,1.9,2.1,2,1,measured\n";
    assert!(refusal(Path::new("no/such/folder")).contains("cannot read the folder no/such/folder"));
    for name in ["thresholds.csv", "runs.csv"] {
        let folder = folder(good, "");
        fs::remove_file(folder.path().join(name)).unwrap();
        let message = refusal(folder.path());
        assert!(message.contains("cannot read") && message.contains(name), "{message}");
    }
    let broken = [
        ("run.json", "{\"version\": ", "run.json is no JSON"),
        ("run.json", "[]", "run.json: found a JSON value that is no object"),
        ("runs.csv", "a,b\n1,2\n", "runs.csv, line 1: no column `run_id`"),
        ("thresholds.csv", "", "thresholds.csv is empty"),
        ("thresholds.csv", "cell_id,model\n", "thresholds.csv, line 1: no column `weight_decay`; found cell_id,model"),
        ("delays.csv", "cell_id,delay,count\na,x,1\n", "delays.csv, line 2: column `delay`: `x`"),
    ];
    for (name, text, expected) in broken {
        let folder = folder(good, "");
        fs::write(folder.path().join(name), text).unwrap();
        let message = refusal(folder.path());
        assert!(message.contains(expected), "{expected} in {message}");
    }
    assert!(refusal(folder("", "").path()).contains("thresholds.csv has no rows"));
    let negative = good.replace("1.9", "-1.9");
    let message = refusal(folder(&negative, "").path());
    assert!(
        message.contains("thresholds.csv, line 2: column `lr_stable`: `-1.9`, expected a positive number"),
        "{message}"
    );
}
