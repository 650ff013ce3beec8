use super::*;

#[test]
fn numbers_of_a_file_are_readable_and_words_stay() {
    let cases = [
        ("0.9765885246826655", "0.9766"),
        ("1e-9", "1.000e-9"),
        ("1e+30", "1.000e30"),
        ("-3.5", "-3.500"),
        ("512", "512"),
        ("5dc49b26c47e", "5dc49b26c47e"),
        ("1234e0000012", "1234e0000012"),
        ("round-robin", "round-robin"),
        ("", ""),
        ("inf", "inf"),
        ("NaN", "NaN"),
        ("-1e-30", "-1.000e-30"),
        ("0.0", "0.000"),
        ("0", "0"),
        ("-inf", "-inf"),
    ];
    for (text, expected) in cases {
        assert_eq!(readable(text), expected);
    }
}

#[test]
fn a_table_without_a_file_leaves_out_by_worth_and_one_that_needs_all_goes_on_below() {
    let columns = || {
        let column = |name: &str, worth, text: &'static str| Column::<i32>::new(name, worth, move |_| text.to_owned());
        vec![
            Column::new("name", Worth::Needed, ToString::to_string),
            column("detail", Worth::Detail, "a long text of detail"),
            column("answer", Worth::Result, "3.142"),
            column("setting", Worth::Setting, "full"),
            column("nothing", Worth::Evidence, ""),
        ]
    };
    let text = fitted(&[1, 2], columns(), Some(24), "--json has all");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], "│ name   answer │");
    assert_eq!(
        lines[6..].join(" "),
        "the same in all rows: setting full not shown, for lack of width: detail; --json has all"
    );
    assert!(lines[6..].iter().all(|line| line.len() <= 24), "{text}");
    let column = |name: &str| (name.to_owned(), vec!["1.000".to_owned()]);
    let text = continued(&["rule", "a", "b", "c"].map(column), Some(30));
    let headers: Vec<&str> = text.lines().filter(|line| line.contains("rule")).collect();
    assert_eq!(headers, ["│ rule        a       b │", "│ rule        c │"]);
    assert_eq!(continued(&["rule", "a", "b", "c"].map(column), None).lines().count(), 5);
}

#[test]
fn the_ends_of_a_bracket_go_together_and_empty_columns_first() {
    let columns = || {
        let column = |name: &str, worth| Column::<i32>::new(name, worth, |_| "0.1234".to_owned());
        vec![
            Column::new("rule", Worth::Needed, |_: &i32| "sgd".to_owned()),
            Column::new("delay", Worth::Needed, |_: &i32| String::new()),
            column("low", Worth::Detail).part_of("bracket"),
            column("high", Worth::Detail).part_of("bracket"),
            column("theory", Worth::Evidence),
        ]
    };
    let header = |width| fitted(&[1, 2], columns(), Some(width), "").lines().nth(1).unwrap().to_owned();
    assert_eq!(header(80), "│ rule      low     high   theory │");
    assert_eq!(header(32), "│ rule   theory │");
    let text = fitted(&[1, 2], columns(), Some(32), "a").replace('\n', " ");
    assert!(text.ends_with("for lack of width: low, high; a"), "{text}");
}

#[test]
fn a_long_first_column_is_broken_where_only_what_is_needed_is_left() {
    let columns = vec![
        Column::new("group", Worth::Needed, |_: &i32| "heavy-ball m=0.9 ema, delay 16, batch 64".to_owned()),
        Column::new("points", Worth::Needed, |_: &i32| "-1.7 ± 1.4 *".to_owned()),
        Column::new("loss", Worth::Evidence, |_: &i32| "0.03 ± 0.14".to_owned()),
    ];
    let text = fitted(&[1], columns, Some(40), "a");
    assert!(text.contains("-1.7 ± 1.4 *") && text.contains("width: loss; a"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
}

#[test]
fn names_of_columns_may_have_blanks_around_them_and_the_nearest_is_named() {
    use crate::table::TheoryRow;
    let columns = of_file::<TheoryRow>(|_| Worth::Setting);
    let checked = |names: &[&str]| {
        check(&columns, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
            .map_err(|error| error.to_string())
    };
    assert_eq!(checked(&[" rule ", " delay"]), Ok(()));
    let told = checked(&["treshold_gain"]).unwrap_err();
    assert!(
        told.starts_with("--columns treshold_gain: there is no such column; nearest: 'threshold_gain'; "),
        "{told}"
    );
    let told = checked(&["x"]).unwrap_err();
    assert!(told.starts_with("--columns x: there is no such column; accepted: rule, momentum, "), "{told}");
    assert!(checked(&["rule", " rule"]).unwrap_err().contains("given twice"));
}

#[test]
fn csv_has_all_digits_and_the_columns_that_were_chosen() {
    use crate::table::DelayRow;
    let rows = [DelayRow { cell_id: "a".into(), delay: 3, count: 12 }];
    assert_eq!(csv(&rows, &[]).unwrap(), "cell_id,delay,count\na,3,12\n");
    assert_eq!(csv(&rows, &["count".to_owned(), " delay".to_owned()]).unwrap(), "count,delay\n12,3\n");
    let text = table(&rows, of_file(|_| Worth::Needed), &[], Some(80), "");
    assert!(text.contains("│ a             3      12 │"), "{text}");
}
