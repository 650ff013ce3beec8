//! Files of rows: what they look like, what comes back, and what is refused.

use super::*;
use crate::threshold::Verdict;
use proptest::prelude::*;
use std::fs;

/// Columns that the table does not have are empty, so that a new one needs no change here.
fn threshold_row() -> ThresholdRow {
    let text = "cell_id,data,model,loss,samples,weight_decay,rule,momentum,dampening,delay,schedule,workers,delay_mean,delay_std,\
                delay_median,delay_q95,delay_max,batch,seed_data,seed_order,seed_init,criterion,lambda_max,lambda_residual,\
                lr_theory,lr_stable,horizon_steps,runs,status,engine,adapter\n\
                a1b2c3d4,digits,mlp:16,ce,512,1e-3,heavy-ball,0.9,0.9,4,round-robin,5,4,0,4,4,4,full,0,0,0,mean,0.622,1e-12,0.5,\
                0.498,4000,8,undecided,cpu,x86_64\n";
    read_csv_from("thresholds.csv", text.as_bytes()).unwrap().remove(0)
}

fn run_row(lr: f64, growth_rate: Option<f64>, reason: Option<&str>) -> RunRow {
    RunRow {
        run_id: "r0".into(),
        cell_id: "a1b2c3d4".into(),
        lr,
        start: None,
        verdict: Verdict::Escaped,
        growth_rate,
        growth_error: None,
        members: 1,
        steps: 100,
        distance: None,
        projection: Some(-0.0),
        loss: None,
        reason: reason.map(Into::into),
    }
}

/// Writes `row`, with `find` replaced in the file's text, and returns the message with which reading it fails.
fn refusal(find: &str, replacement: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("thresholds.csv");
    write_csv(&path, &[threshold_row()]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(find), "{text}");
    fs::write(&path, text.replacen(find, replacement, 1)).unwrap();
    let message = format!("{:#}", read_csv::<ThresholdRow>(&path).unwrap_err());
    let from_name = message.find("thresholds.csv").expect("the message names the file");
    message[from_name..].to_owned()
}

#[test]
fn the_text_of_a_file_is_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("thresholds.csv");
    write_csv(&path, &[threshold_row()]).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "cell_id,data,model,loss,samples,weight_decay,rule,momentum,dampening,delay,schedule,workers,delay_mean,\
         delay_std,delay_median,delay_q95,delay_max,batch,sampling,relative_variance,local_steps,\
         local_lr,local_rule,replicas,fresh_share,overlap,overlap_weight,arrivals,stages,stage_delays,stage_lr,stage_momentum,stage_cuts,stashing,backward_delays,seed_data,seed_order,seed_init,criterion,ensemble,lambda_max,lambda_residual,lr_theory,theory,theory_error,lr_rank_one,lr_uniform,lr_stable,lr_unstable,lr_threshold,\
         lr_low,lr_high,lr_effective,ratio,horizon_steps,runs,status,engine,adapter,precision,reason\n\
         a1b2c3d4,digits,mlp:16,ce,512,0.001,heavy-ball,0.9,0.9,4,round-robin,5,4.0,0.0,4,4,4,full,,,,,,,,,,,,,,,,,,\
         0,0,0,mean,1,0.622,1e-12,0.5,,,,,0.498,,,,,,,4000,8,undecided,cpu,x86_64,,\n"
    );
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["thresholds.csv"], "nothing partial is left behind");
}

#[test]
fn without_rows_there_is_still_a_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.csv");
    write_csv::<RunRow>(&path, &[]).unwrap();
    let header =
        "run_id,cell_id,lr,start,verdict,growth_rate,growth_error,members,steps,distance,projection,loss,reason\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), header);
    assert_eq!(read_csv::<RunRow>(&path).unwrap(), []);
}

#[test]
fn a_refused_file_names_line_column_and_value_and_says_what_is_accepted() {
    assert_eq!(
        refusal("0.9,4,", "0.9,4.5,"),
        "thresholds.csv, line 2: column `delay`: `4.5`, expected a whole number from 0 to 4294967295"
    );
    assert_eq!(refusal("0.622", "O.622"), "thresholds.csv, line 2: column `lambda_max`: `O.622`, expected a number");
    assert_eq!(
        refusal("undecided", "unsure"),
        "thresholds.csv, line 2: column `status`: `unsure`, expected one of measured, undecided, failed"
    );
    assert_eq!(refusal(",4000", ""), "thresholds.csv, line 2: 60 values, expected 61, one per column");
    assert_eq!(
        refusal("0.498", "-0.498"),
        "thresholds.csv, line 2: column `lr_stable`: `-0.498`, expected a positive number"
    );
    assert_eq!(
        refusal("0.9,0.9", "1,0.9"),
        "thresholds.csv, line 2: column `momentum`: `1`, expected a number from 0 to below 1"
    );
    let header = refusal("dampening", "damping");
    assert!(header.starts_with("thresholds.csv, line 1: no column `dampening`; found cell_id,data,model,"), "{header}");
    let header = refusal("lambda_residual", "lambda_max");
    assert_eq!(header, "thresholds.csv, line 1, column 42: `lambda_max` stands there for the second time");
}

#[test]
fn columns_are_found_by_name_and_those_of_other_versions_do_no_harm() {
    let text = "note,lr,run_id,cell_id,verdict,steps\nmine,0.5,r0,a1,stable,100\n";
    let rows: Vec<RunRow> = read_csv_from("runs.csv", text.as_bytes()).unwrap();
    let expected = RunRow { verdict: Verdict::Stable, projection: None, ..run_row(0.5, None, None) };
    assert_eq!(rows, [RunRow { cell_id: "a1".into(), ..expected }], "one member, as all runs had then");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.csv");
    fs::write(&path, format!("{text},0.6,r1,a1,stable,100\n")).unwrap();
    let table = FileTable::<RunRow>::read(&path, |row| row.lr < 0.55).unwrap();
    assert_eq!((table.columns.join(","), table.total), ("note,lr,run_id,cell_id,verdict,steps".into(), 2));
    assert_eq!(table.rows[0].cells().collect::<Vec<_>>(), ["mine", "0.5", "r0", "a1", "stable", "100"]);
    assert_eq!((table.rows.len(), table.rows[0].cell(0), table.rows[0].row.lr), (1, "mine", 0.5));
}

#[test]
fn a_group_s_older_name_is_understood() {
    let columns = cells::columns::<SummaryRow>();
    let values = columns.iter().map(|column| if *column == "group_id" { "g7" } else { "1" });
    let text =
        format!("{}\n{}\n", columns.join(",").replace("group_id", "arm_id"), values.collect::<Vec<_>>().join(","));
    let rows: Vec<SummaryRow> = read_csv_from("summary.csv", text.as_bytes()).unwrap();
    assert_eq!(rows[0].group_id, "g7");
    let both = text.replace("adapter", "group_id");
    let refused = read_csv_from::<SummaryRow>("summary.csv", both.as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("`group_id` stands there for the second time"), "{refused}");
}

#[test]
fn a_missing_and_an_empty_file_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.csv");
    let missing = format!("{:#}", read_csv::<RunRow>(&path).unwrap_err());
    assert!(missing.contains("cannot read") && missing.contains("runs.csv"), "{missing}");
    fs::write(&path, "").unwrap();
    let empty = format!("{:#}", read_csv::<RunRow>(&path).unwrap_err());
    assert!(empty.contains("runs.csv is empty; its first line should be run_id,"), "{empty}");
}

proptest! {
    #[test]
    fn rows_come_back_bit_for_bit(
        lr in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL,
        growth_rate in proptest::option::of(proptest::num::f64::NORMAL),
        reason in proptest::option::of("[ -~\n]{1,20}"),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.csv");
        let rows = [run_row(lr, growth_rate, reason.as_deref())];
        write_csv(&path, &rows).unwrap();
        let back = read_csv::<RunRow>(&path).unwrap();
        prop_assert_eq!(&back[..], &rows[..]);
        prop_assert_eq!(back[0].lr.to_bits(), lr.to_bits());
    }

    /// pandas, polars and R read such text as the same f64, and none of them takes a column of it for whole numbers: a point or
    /// an exponent in each, no more than 17 significant digits, digits on both sides of a point, and an exponent without a plus.
    #[test]
    fn numbers_are_written_as_every_reader_of_tables_knows_them(
        lr in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO,
    ) {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        writer.serialize(run_row(lr, None, None)).unwrap();
        let line = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let cells: Vec<&str> = line.trim_end().split(',').collect();
        prop_assert_eq!([cells[5], cells[9]], [""; 2], "unknown numbers are empty cells");
        let text = cells[2];
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), lr.to_bits());
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        prop_assert!(text.contains(['.', 'e']) && is_digits(whole) && is_digits(fraction), "{}", text);
        prop_assert!(is_digits(exponent.trim_start_matches('-')), "{}", text);
        let significant = format!("{whole}{fraction}").trim_matches('0').len();
        prop_assert!(significant <= 17, "{}", text);
    }

    /// Lines of a table, whole or damaged, are read or refused with the table's name and the line.
    #[test]
    fn a_damaged_table_is_refused_with_its_line(
        damage in "[0-9a-z.,\"\n\r\\PC]{0,6}",
        place in 0usize..400,
        length in 0usize..8,
    ) {
        let mut text: Vec<char> = format!(
            "{}\nr0,a1,0.5,near,stable,-0.1,,1,100,1e-9,,0.25,\nr1,a1,0.6,,escaped,0.1,0.02,8,90,1,0.5,,left\n",
            cells::columns::<RunRow>().join(",")
        ).chars().collect();
        let place = place.min(text.len());
        text.splice(place..(place + length).min(text.len()), damage.chars());
        let text: String = text.into_iter().collect();
        if let Err(error) = read_csv_from::<RunRow>("runs.csv", text.as_bytes()) {
            let message = format!("{error:#}");
            prop_assert!(message.contains("runs.csv, line ") || message.contains("line: "), "{text}: {message}");
        }
    }
}
