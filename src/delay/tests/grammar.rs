//! The grammar of schedules against texts written by hand, and against itself.

use super::super::columns::FileSpec;
use super::super::hybrid::HybridSpec;
use super::super::iid::IidSpec;
use super::super::normal::NormalSpec;
use super::super::random::RandomSpec;
use super::super::round_robin::RoundRobinSpec;
use super::super::service::LARGEST_SIGMA;
use super::super::trace::TraceSpec;
use super::super::workers::{Means, Times, WorkersSpec};
use super::super::*;
use crate::theory::DelayLaw;
use proptest::prelude::*;

fn parse(text: &str) -> Result<ScheduleSpec, String> {
    text.parse()
}

fn file(text: &str) -> FileSpec {
    OsStr::new(text).into()
}

#[test]
fn every_form_is_typed_and_shown_as_documented() {
    use ScheduleSpec::*;
    let forms = [
        ("round-robin", RoundRobin(RoundRobinSpec)),
        ("random", Random(RandomSpec { cap: None })),
        ("random:cap=16", Random(RandomSpec { cap: Some(16) })),
        ("normal:cap=9", Normal(NormalSpec { cap: Some(9) })),
        (
            "workers:exponential",
            Workers(WorkersSpec { times: Times::Law(Service::Exponential, Means::Equal), cap: None }),
        ),
        (
            "workers:pareto:shape=1.5:spread=4",
            Workers(WorkersSpec { times: Times::Law(Service::Pareto { shape: 1.5 }, Means::Spread(4.0)), cap: None }),
        ),
        (
            "workers:lognormal:shape=1:means=1/1/2/4",
            Workers(WorkersSpec {
                times: Times::Law(Service::Lognormal { shape: 1.0 }, Means::Listed(vec![1.0, 1.0, 2.0, 4.0])),
                cap: None,
            }),
        ),
        (
            "workers:constant:spread=8:cap=20",
            Workers(WorkersSpec { times: Times::Law(Service::Constant, Means::Spread(8.0)), cap: Some(20) }),
        ),
        ("iid:geometric", Iid(IidSpec::Geometric)),
        ("iid:uniform", Iid(IidSpec::Uniform)),
        ("iid:uniform:2..=5", Iid(IidSpec::Own("uniform:2..=5".into()))),
        ("iid:geometric:0.5", Iid(IidSpec::Own("geometric:0.5".into()))),
        ("iid:some/file.csv", Iid(IidSpec::Histogram(file("some/file.csv")))),
        (
            "workers:recorded:cap=9:file=a:b=c.csv",
            Workers(WorkersSpec { times: Times::Recorded(file("a:b=c.csv")), cap: Some(9) }),
        ),
        ("hybrid:8", Hybrid(HybridSpec { workers: 8 })),
        ("trace:C:/delays.csv", Trace(TraceSpec { file: file("C:/delays.csv") })),
    ];
    for (text, spec) in forms {
        assert_eq!(parse(text).as_ref(), Ok(&spec), "{text}");
        assert_eq!(spec.to_string(), text);
        assert_eq!(serde_json::to_string(&spec).unwrap(), format!("{text:?}"));
        let own = match &spec {
            Trace(_) | Iid(IidSpec::Own(_) | IidSpec::Histogram(_)) => true,
            Workers(WorkersSpec { times, .. }) => matches!(times, Times::Recorded(_)),
            _ => false,
        };
        assert_eq!(spec.takes_delay(), !own, "{text}");
    }
    // Options come in any order.
    assert_eq!(
        parse("workers:pareto:cap=9:spread=2:shape=3").unwrap().to_string(),
        "workers:pareto:shape=3:spread=2:cap=9"
    );
}

#[test]
fn what_is_no_schedule_is_named_beside_what_would_be() {
    for (text, parts) in [
        ("robin", &["no process 'robin'", "accepted: round-robin, random[:cap=C], normal[:cap=C], workers:LAW"][..]),
        ("", &["no process ''"]),
        ("round-robin:cap=3", &["unknown key 'cap' of round-robin", "accepted: round-robin, which has no options"]),
        ("random:3", &["'3' of random", "accepted: cap=VALUE"]),
        ("random:", &["'' of random"]),
        ("random:cap=-1", &["cap=-1", "accepted: a whole number of updates"]),
        ("random:cap=3:cap=4", &["cap is given twice"]),
        ("normal:scale=3", &["unknown key 'scale' of normal", "accepted: cap=VALUE"]),
        ("workers", &["no law ''", "workers:pareto:shape=ALPHA"]),
        ("workers:gamma", &["no law 'gamma'", "accepted: workers:constant,"]),
        ("workers:pareto", &["pareto has no shape", "accepted: shape=an alpha above 1"]),
        ("workers:pareto:shape=1", &["shape=1; accepted: an alpha above 1"]),
        ("workers:pareto:shape=inf", &["shape=inf"]),
        ("workers:lognormal:shape=6", &["shape=6; accepted: a sigma above 0, up to 5"]),
        ("workers:lognormal:shape=NaN", &["shape=NaN"]),
        (
            "workers:constant:shape=2",
            &["unknown key 'shape' of workers:constant", "spread=VALUE, means=VALUE, cap=VALUE"],
        ),
        ("workers:constant:shpe=2", &["unknown key 'shpe'"]),
        ("workers:constant:spread=0.5", &["spread=0.5; accepted: a number from 1 to 1e6"]),
        ("workers:constant:spread=2:means=1/2", &["both spread and means"]),
        ("workers:constant:means=1/0", &["means=1/0: '0'; accepted: means=M/M/..., from 1e-6 to 1e6"]),
        ("workers:constant:means=", &["means=: ''"]),
        ("iid", &["iid names no DISTRIBUTION"]),
        ("iid:uniform:4..=2", &["'uniform:4..=2'", "accepted: uniform:FIRST..=LAST"]),
        ("iid:geometric:1", &["'geometric:1'", "0..=0.999"]),
        ("hybrid", &["hybrid takes the number of workers"]),
        ("hybrid:0", &["accepted: hybrid:1"]),
        ("trace:", &["trace names no FILE; accepted: trace:FILE"]),
        ("workers:recorded", &["recorded names no file; accepted: workers:recorded[:cap=C]:file=FILE"]),
        ("workers:recorded:file=", &["recorded names no file"]),
        ("workers:recorded:spread=2:file=t", &["unknown key 'spread' of workers:recorded; accepted: cap=VALUE"]),
    ] {
        let error = parse(text).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{text:?}: {error:?} lacks {part:?}");
        }
    }
}

#[test]
fn a_delay_that_does_not_go_with_a_process_is_refused() {
    for (text, delay, parts) in [
        ("random:cap=6", 7, &["--schedule random:cap=6 at delay 7", "8 workers", "accepted: cap=7 or more"][..]),
        ("workers:constant:cap=0", 1, &["2 workers cannot all report within cap=0 updates"]),
        ("workers:constant:means=1/2", 8, &["2 means for 9 workers; accepted: 9 means, or delay 1"]),
        ("hybrid:8", 2, &["8 workers cannot be 3 equal groups", "one less than a divisor of 8"]),
        ("hybrid:8", 15, &["16 equal groups"]),
        ("round-robin", 1_000_001, &["accepted: up to 1000000 updates"]),
        ("iid:geometric", 100_000, &["at delay 100000: its delays exceed 1000000 updates"]),
        ("trace:delays.csv", 3, &["--schedule trace:delays.csv at delay 3: it brings its own delays"]),
        ("iid:uniform:1..=3", 3, &["it brings its own delays"]),
    ] {
        let error = parse(text).unwrap().resolve(delay).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{text:?}: {error:?} lacks {part:?}");
        }
    }
    let error = parse("normal").unwrap().own().unwrap_err().to_string();
    assert_eq!(error, "--schedule normal: it has no delays of its own; accepted: with --delays");
}

#[test]
fn files_are_read_when_a_schedule_is_made_and_named_where_they_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let trace = write("trace.csv", "delay\n1\n0\n4\n");
    let spec = parse(&format!("trace:{trace}")).unwrap();
    let schedule = spec.own().unwrap();
    assert_eq!(schedule.name(), spec.to_string());
    assert_eq!((schedule.slots(), schedule.workers(), schedule.mean_delay()), (5, None, 5.0 / 3.0));
    // The same delays from another file are the same schedule.
    let copy = parse(&format!("trace:{}", write("copy.csv", "1\n0\n4\n"))).unwrap().own().unwrap();
    assert_eq!(copy, schedule);
    let json = serde_json::to_string(&schedule).unwrap();
    assert_eq!(json, r#"{"name":"trace","delays":[1,0,4]}"#);
    assert_eq!(serde_json::to_string(&copy).unwrap(), json);

    let histogram = write("histogram.csv", "delay,count\n0,1\n2,3\n");
    let schedule = parse(&format!("iid:{histogram}")).unwrap().own().unwrap();
    assert_eq!(serde_json::to_string(&schedule).unwrap(), r#"{"name":"iid","probabilities":[0.25,0.0,0.75]}"#);
    assert!(matches!(schedule.theory(), Some(DelayLaw::Independent(pmf)) if pmf.mean() == 1.5));

    let wrong = write("wrong.csv", "delay,count\n0,1\nx,3\n");
    let cells = write("cells.csv", "cell_id,delay,count\na,0,1\nb,2,3\n");
    for (text, parts) in [
        (format!("iid:{trace}"), ["no column probability or count, but columns delay", "are trace:FILE; accepted"]),
        (format!("iid:{cells}"), ["histograms of several cells, a and b", "accepted: one of them alone"]),
        (
            format!("trace:{wrong}"),
            ["wrong.csv: a histogram, with columns delay, count, and no record", "accepted: iid:FILE"],
        ),
        (format!("iid:{wrong}"), ["wrong.csv: line 3: delay 'x'", "accepted: uniform:FIRST..=LAST"]),
        ("trace:none.csv".into(), ["--schedule trace:none.csv: cannot read it as a file", "accepted: a table"]),
        ("iid:none.csv".into(), ["--schedule iid:none.csv: cannot read it as a file", "or a CSV file"]),
    ] {
        let error = parse(&text).unwrap().own().unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{text:?}: {error:?} lacks {part:?}");
        }
    }
}

/// A file brings its workers and their times, whatever its form; only their ratios count.
#[test]
fn service_times_of_workers_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("times.csv");
    let own = |content: &str| {
        std::fs::write(&path, content).unwrap();
        parse(&format!("workers:recorded:file={}", path.display())).unwrap().own().map_err(|error| error.to_string())
    };
    let wide = own("w1,w2\n1.0,4\n3.0,12\n,8\n").unwrap();
    assert_eq!((wide.slots(), wide.workers(), wide.mean_delay(), wide.is_random()), (2, Some(2), 1.0, true));
    let json =
        r#"{"name":"workers","service":"recorded","times":[[0.5,1.5],[0.5,1.5,1.0]],"means":[2.0,8.0],"cap":null}"#;
    assert_eq!(serde_json::to_string(&wide).unwrap(), json);
    for same in [
        "1.0 4\n3.0 12\n2 8\n",
        "worker,seconds\n2,4\n1,1.0\n1,3.0\n2,12\n1,2\n2,8\n",
        ",w1,w2\n0,1.0,4\n1,3.0,12\n2,2,8\n",
        "{\"worker\": \"a\", \"time\": 1}\n{\"worker\": \"a\", \"time\": 3}\n{\"worker\": \"a\", \"time\": 2}\n\
         {\"worker\": \"b\", \"time\": 4}\n{\"worker\": \"b\", \"time\": 12}\n{\"worker\": \"b\", \"time\": 8}\n",
    ] {
        let json = serde_json::to_string(&own(same).unwrap()).unwrap();
        assert!(json.contains(r#""times":[[0.5,1.5,1.0],[0.5,1.5,1.0]],"means":[2.0,8.0]"#), "{same:?}: {json}");
    }
    // A fast worker and one four times as slow: by the law of large numbers four of five reports are the first's.
    let slots = (0..40_000).scan(wide.start(3), |stream, _| Some(stream.next().read)).filter(|slot| *slot == 0).count();
    assert!((slots as f64 / 40_000.0 - 0.8).abs() < 0.01, "{slots} reports of the fast worker");
    // Times that never vary are a constant law, and of one length the round robin.
    assert_eq!(own("a,b\n2,2\n2,2\n").unwrap().theory(), Some(DelayLaw::Fixed(1)));
    let expected = parse("workers:constant:means=1/2").unwrap().resolve(1).unwrap();
    assert_eq!(own("a,b\n1,2\n").unwrap(), expected);

    for (content, part) in [
        ("a,b\n1,0\n", "line 2: time '0'; accepted: a table with a column of times above 0"),
        ("a,b\n1,\n,2\n3,4\n", "line 3: time ''"),
        ("a,b\n1,x\n", "line 2: time 'x'"),
        ("a,b\n1,inf\n", "line 2: time 'inf'"),
        ("a,b\n1,2,3\n", "line 2: 3 fields under a header of 2"),
        ("a,b\n1,\n", "worker b has no times"),
        ("0,1\n0.5,0.5\n", "line 1: '0,1' may be names of workers or times"),
        ("worker,a,b\n0,1,2\n", "no column seconds, but columns worker, a, b"),
        ("", "0 workers"),
    ] {
        let error = own(content).unwrap_err();
        assert!(
            error.contains(part) && error.contains("accepted: ") && error.lines().count() == 1,
            "{content:?}: {error}"
        );
    }
    let error = parse("workers:recorded:cap=0:file=none").unwrap().own().unwrap_err().to_string();
    assert!(error.contains("cannot read it as a file"), "{error}");
}

#[cfg(unix)]
#[test]
fn files_are_found_by_any_bytes_of_their_names() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(OsStr::from_bytes(b"t\xe9.csv"));
    for (begin, content) in [
        (&b"trace:"[..], "1\n0\n4\n"),
        (b"iid:", "delay,count\n0,1\n2,3\n"),
        (b"workers:recorded:file=", "a,b\n1,2\n3,4\n"),
    ] {
        std::fs::write(&path, content).unwrap();
        let text = [begin, path.as_os_str().as_bytes()].concat();
        let schedule = ScheduleSpec::parse_os(OsStr::from_bytes(&text)).unwrap().own().unwrap();
        assert!(schedule.name().ends_with("t\u{fffd}.csv"), "{}", schedule.name());
    }
    let error = ScheduleSpec::parse_os(OsStr::from_bytes(b"random:\xff")).unwrap_err();
    assert_eq!(error, "'\u{fffd}' is not UTF-8; accepted: random[:cap=C]");
}

#[test]
fn spread_workers_are_geometrically_spaced() {
    let schedule = |delay| parse("workers:constant:spread=8").unwrap().resolve(delay).unwrap();
    let means = |delay| match schedule(delay).process() {
        Process::Workers(workers) => workers.means.to_vec(),
        other => panic!("{other:?}"),
    };
    for (mean, expected) in means(3).iter().zip([1.0, 2.0, 4.0, 8.0]) {
        assert!((mean - expected).abs() < 1e-12, "{:?}", means(3));
    }
    assert_eq!(means(0), [1.0]);
}

fn means() -> impl Strategy<Value = Means> {
    prop_oneof![
        Just(Means::Equal),
        (1.0..1e6).prop_map(Means::Spread),
        prop::collection::vec(1e-6..1e6, 1..6).prop_map(Means::Listed),
    ]
}

fn service() -> impl Strategy<Value = Service> {
    prop_oneof![
        Just(Service::Constant),
        Just(Service::Exponential),
        (1e-3..=LARGEST_SIGMA).prop_map(|shape| Service::Lognormal { shape }),
        (1.001..1e3).prop_map(|shape| Service::Pareto { shape }),
    ]
}

fn specs() -> impl Strategy<Value = ScheduleSpec> {
    let cap = || prop::option::of(any::<u32>());
    let path = "[a-z/.: =-]{0,12}\\.csv";
    prop_oneof![
        Just(ScheduleSpec::RoundRobin(RoundRobinSpec)),
        cap().prop_map(|cap| ScheduleSpec::Random(RandomSpec { cap })),
        cap().prop_map(|cap| ScheduleSpec::Normal(NormalSpec { cap })),
        (service(), means(), cap()).prop_map(|(service, means, cap)| ScheduleSpec::Workers(WorkersSpec {
            times: Times::Law(service, means),
            cap
        })),
        Just(ScheduleSpec::Iid(IidSpec::Geometric)),
        Just(ScheduleSpec::Iid(IidSpec::Uniform)),
        path.prop_map(|path| ScheduleSpec::Iid(IidSpec::Histogram(file(&path)))),
        (path, cap()).prop_map(|(path, cap)| {
            ScheduleSpec::Workers(WorkersSpec { times: Times::Recorded(file(&path)), cap })
        }),
        (1..=LONGEST).prop_map(|workers| ScheduleSpec::Hybrid(HybridSpec { workers })),
        path.prop_map(|path| ScheduleSpec::Trace(TraceSpec { file: file(&path) })),
    ]
}

/// The registry enumerates: every process says how it is typed, and its examples are what they say.
#[test]
fn every_process_has_a_name_forms_and_examples_that_make_runs() {
    let help = ScheduleSpec::help();
    let examples = ScheduleSpec::examples();
    assert!(examples.len() >= 12, "{examples:?}");
    for text in examples {
        let spec = parse(text).unwrap();
        assert_eq!(spec.to_string(), text);
        let schedule = spec.example();
        assert_eq!(schedule.name(), text);
        assert!(help.contains(&format!("- {}", text.split(':').next().unwrap())), "{text} is not in: {help}");
        let delays = schedule.realised(0, 20_000);
        assert!((delays.mean().unwrap() - schedule.mean_delay()).abs() < 0.5, "{text}: {:?}", delays.mean());
        assert!(delays.max().unwrap() < 20_000);
        // What the theory says of the mean is what the run does.
        if let Some(law) = schedule.theory() {
            assert!((law.mean_delay() - schedule.mean_delay()).abs() < 1e-6, "{text}");
        }
        let round_trip: serde_json::Value = serde_json::to_value(&schedule).unwrap();
        assert_eq!(round_trip["name"], text.split(':').next().unwrap());
    }
}

#[test]
fn laws_are_those_that_the_theory_knows() {
    let law = |text: &str, delay: Option<usize>| parse(text).unwrap().law(delay).map_err(|error| error.to_string());
    assert_eq!(law("round-robin", Some(900_000_000)), Ok(DelayLaw::Fixed(900_000_000)), "nothing is stored");
    assert_eq!(law("random", Some(7)), Ok(DelayLaw::RandomWorkers(8)));
    assert_eq!(law("random:cap=7", Some(7)), Ok(DelayLaw::Fixed(7)));
    assert_eq!(law("hybrid:8", Some(3)), Ok(DelayLaw::Fixed(3)));
    for (text, delay, part) in [
        (
            "normal",
            Some(7),
            "--schedule normal: the theory does not know its delays; accepted: those like round-robin, random",
        ),
        ("random", Some(2_000_000), "accepted: up to 1000000 updates"),
        ("iid:uniform:1..=5", Some(3), "without --delays"),
        ("random", None, "with --delays"),
    ] {
        let error = law(text, delay).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn what_is_shown_can_be_typed(spec in specs()) {
        let text = spec.to_string();
        prop_assert!(!text.contains(','));
        prop_assert_eq!(parse(&text), Ok(spec.clone()));
        let json = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(serde_json::from_str::<ScheduleSpec>(&json).unwrap(), spec);
    }

    #[test]
    fn a_resolved_schedule_carries_the_name_it_was_typed_as(spec in specs(), delay in 0u32..40) {
        if let Ok(schedule) = spec.resolve(delay) {
            prop_assert_eq!(schedule.name(), spec.to_string());
            prop_assert!((schedule.mean_delay() - f64::from(delay)).abs() <= 3e-8 * f64::from(delay));
        }
    }
}
