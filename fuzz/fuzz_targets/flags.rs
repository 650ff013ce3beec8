//! Any text as the value of every flag that has a grammar of its own. The first byte chooses the flag.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fmt::Debug;
use std::str::FromStr;
use tauscope::config::{Batch, Delays, ModelSpec, Momenta, Samples, non_negative, positive};
use tauscope::data::DataSource;
use tauscope::delay::ScheduleSpec;
use tauscope::rule::{Dampening, RuleSpec};

fn says_what_is_accepted<T: FromStr<Err = String>>(text: &str) -> Option<T> {
    // A message quotes what it refuses, line breaks and all.
    let lines = 1 + text.matches('\n').count();
    let refused = |message: &String| assert!((1..=lines).contains(&message.lines().count()), "{message:?}");
    text.parse().inspect_err(refused).ok()
}

/// Values that are shown as the text that makes them again.
fn comes_back<T: FromStr<Err = String> + ToString + PartialEq + Debug>(text: &str) {
    if let Some(value) = says_what_is_accepted::<T>(text) {
        assert_eq!(value.to_string().parse::<T>().as_ref(), Ok(&value));
    }
}

fuzz_target!(|input: (u8, &str)| {
    let (flag, text) = input;
    match flag % 12 {
        0 => says_what_is_accepted::<Delays>(text).map(|Delays(delays)| assert!(!delays.is_empty())),
        1 => says_what_is_accepted::<Momenta>(text)
            .map(|Momenta(momenta)| assert!(momenta.iter().all(|m| (0.0..1.0).contains(m)))),
        2 => says_what_is_accepted::<Dampening>(text).map(|dampening| assert!(dampening.beside(0.5) <= 1.0)),
        3 => Some(comes_back::<Samples>(text)),
        4 => Some(comes_back::<Batch>(text)),
        5 => Some(comes_back::<ModelSpec>(text)),
        // Anything else is a file's name, and other people's files are left alone.
        6 if text.starts_with("uniform:") || text.starts_with("geometric:") => {
            says_what_is_accepted::<ScheduleSpec>(&format!("iid:{text}")).map(drop)
        }
        7 => {
            // Its files stay closed until it is resolved.
            let spec = says_what_is_accepted::<ScheduleSpec>(text).filter(ScheduleSpec::takes_delay);
            let delay = u32::from(flag) / 12;
            spec.and_then(|spec| spec.resolve(delay).ok()).map(|schedule| assert!(schedule.slots() >= 1))
        }
        8 => Some(comes_back::<ScheduleSpec>(text)),
        9 => Some(comes_back::<RuleSpec>(text)),
        10 => Some(comes_back::<DataSource>(text)),
        11 => positive(text).ok().map(|number| assert!(number > 0.0 && number.is_finite())),
        _ => non_negative(text).ok().map(|number| assert!(number >= 0.0 && number.is_finite())),
    };
});
