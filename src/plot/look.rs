//! How a rule looks: colour, mark and line, the same in every picture and on every page, whatever stands beside it.
//!
//! Colour and mark are those of the rule, the line is that of the form of its momentum, and how light the colour is tells
//! momenta apart. Not here: which rows belong to a series ([`crate::table`]), and what a mark is (`marks`).

use super::marks::{Dash, Marker};
use crate::table::{RateRow, Series, SummaryRow, TheoryRow, ThresholdRow, TuneRow, distinct};
use plotters::style::RGBColor;

/// The palette of Okabe and Ito, which people with any kind of colour vision can tell apart; its yellow is left out, as
/// it is too faint on white. Beside each the colour that takes its place on a dark ground.
pub const HUES: [(RGBColor, RGBColor); 7] = [
    (RGBColor(0x00, 0x72, 0xb2), RGBColor(0x3d, 0x9b, 0xe0)),
    (RGBColor(0xd5, 0x5e, 0x00), RGBColor(0xf2, 0x84, 0x3f)),
    (RGBColor(0x00, 0x9e, 0x73), RGBColor(0x2f, 0xc7, 0x9a)),
    (RGBColor(0xcc, 0x79, 0xa7), RGBColor(0xe3, 0x9c, 0xc3)),
    (RGBColor(0x56, 0xb4, 0xe9), RGBColor(0xa5, 0xdc, 0xff)),
    (RGBColor(0xe6, 0x9f, 0x00), RGBColor(0xf2, 0xb3, 0x3d)),
    (RGBColor(0x00, 0x00, 0x00), RGBColor(0xec, 0xec, 0xec)),
];

/// Rules by the place of their look; the first seven, which are most often beside each other, have a colour each. A new rule is added at the end: the place of a rule never changes, or old and new
/// pictures would contradict each other.
const PLACES: [&str; 29] = [
    "sgd",
    "heavy-ball",
    "nesterov",
    "shifted",
    "mixing",
    "staleness-scaled",
    "weight-prediction",
    "mixing-adam",
    "delayed-nesterov",
    "prediction-2",
    "mixing-adamw",
    "nesterov-every",
    "delay-adaptive",
    "gap-aware",
    "dc-asgd",
    "dc-asgd-adaptive",
    "dc-asgd-exact",
    "clipped",
    "ringmaster",
    "rennala",
    "buffer",
    "ormo",
    "adam",
    "adamw",
    "nadam",
    "nadamw",
    "lion",
    "signum",
    "muon",
];

/// Pairs of a colour and a mark: 7 and 8 have no common divisor.
const PAIRS: usize = HUES.len() * Marker::ALL.len();

/// Most series that one panel holds; more are drawn as small panels, one for each rule.
pub const MOST_TOGETHER: usize = 8;

/// Colour, mark and line of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Place of its colour in [`HUES`].
    pub hue: usize,
    /// From -1, black, over 0, the hue itself, to 1, white.
    pub lightness: f64,
    pub marker: Marker,
    pub dash: Dash,
}

impl Look {
    /// The look of a rule as tables name it (`mixing:0.5`, `adam:0.9+eps=1e-3`) with its momentum and dampening. Rules that
    /// this crate does not know get one of the pairs of colour and mark that no rule of its own has.
    pub fn of(rule: &str, momentum: f64, dampening: f64) -> Self {
        let name = rule.split([':', '+']).next().unwrap_or(rule);
        let foreign = || PLACES.len() + fnv(name) as usize % (PAIRS - PLACES.len());
        let place = PLACES.iter().position(|known| *known == name).unwrap_or_else(foreign);
        let dash = match () {
            () if momentum == 0.0 && dampening == 0.0 => Dash::Solid,
            () if dampening == 0.0 => Dash::Long,
            () if dampening == momentum => Dash::Short,
            () => Dash::Mixed,
        };
        // A quarter lighter for each factor of ten by which the momentum is closer to 1, from 0.9 on.
        let decades = if momentum == 0.0 { 1.0 } else { -(1.0 - momentum).log10() };
        let lightness = (0.25 * (decades - 1.0)).clamp(-0.25, 0.5);
        Self { hue: place % HUES.len(), lightness, marker: Marker::ALL[place % Marker::ALL.len()], dash }
    }

    pub fn color(&self) -> RGBColor {
        shade(HUES[self.hue].0, self.lightness)
    }

    /// The colour as a page says it, where style sheets define the hues of either theme.
    pub fn css(&self) -> String {
        let hue = format!("var(--hue-{})", self.hue);
        let kept = 100.0 * (1.0 - self.lightness.abs());
        match self.lightness {
            0.0 => hue,
            dark if dark < 0.0 => format!("color-mix(in srgb, {hue} {kept:.0}%, var(--deep))"),
            _ => format!("color-mix(in srgb, {hue} {kept:.0}%, #fff)"),
        }
    }
}

/// A hash of a name by Fowler, Noll and Vo (FNV-1a, 32 bits), which no version of the compiler changes.
fn fnv(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A row of which the rule is known.
pub trait Ruled {
    /// The rule as tables name it.
    fn rule(&self) -> &str;

    /// Momentum and dampening.
    fn momenta(&self) -> (f64, f64);

    fn look(&self) -> Look {
        let (momentum, dampening) = self.momenta();
        Look::of(self.rule(), momentum, dampening)
    }

    /// The rule without its numbers.
    fn family(&self) -> &str {
        self.rule().split([':', '+']).next().unwrap_or_default()
    }
}

macro_rules! ruled {
    ($($row:ty),*) => {$(
        impl Ruled for $row {
            fn rule(&self) -> &str {
                &self.rule
            }

            fn momenta(&self) -> (f64, f64) {
                (self.momentum, self.dampening)
            }
        }
    )*};
}

ruled!(ThresholdRow, TheoryRow, SummaryRow, RateRow, TuneRow);

/// A series with its look.
#[derive(Clone, Debug)]
pub struct Styled<'a, R> {
    pub name: String,
    pub look: Look,
    pub color: RGBColor,
    pub rows: Vec<&'a R>,
}

/// Gives each series the look of its rule; series of one look are told apart by [`told_apart`].
pub fn styled<R: Ruled>(series: Vec<Series<'_, R>>) -> Vec<Styled<'_, R>> {
    let looks = told_apart(series.iter().map(|one| one.rows[0].look()).collect());
    let style = |(Series { name, rows }, look): (_, Look)| Styled { name, color: look.color(), look, rows };
    series.into_iter().zip(looks).map(style).collect()
}

/// Colours that are less apart in lightness cannot be told apart.
const DISCERNIBLE: f64 = 0.06;

/// The looks, where colours of one hue, mark and line are too close spread from dark to light: what those series differ in is no rule, or
/// their momenta are close.
pub fn told_apart(mut looks: Vec<Look>) -> Vec<Look> {
    let key = |look: &Look| (look.hue, look.marker, look.dash);
    for one in distinct(looks.iter().map(key)) {
        let alike: Vec<usize> = (0..looks.len()).filter(|place| key(&looks[*place]) == one).collect();
        let mut lightness: Vec<f64> = alike.iter().map(|place| looks[*place].lightness).collect();
        lightness.sort_by(f64::total_cmp);
        if lightness.windows(2).all(|pair| pair[1] - pair[0] >= DISCERNIBLE) {
            continue;
        }
        // As many steps as one panel holds series, from 35 % black to 45 % white.
        let steps = alike.len().min(MOST_TOGETHER);
        for (nth, place) in alike.iter().enumerate() {
            looks[*place].lightness = -0.35 + 0.8 * (nth % steps) as f64 / (steps - 1) as f64;
        }
    }
    looks
}

/// Places of series by the panel that they are drawn in: all in one where they are few, else one panel for each rule, and
/// for each eight of a rule that has more. With each panel the name of its rule.
pub fn panels<'a>(families: &[&'a str]) -> Vec<(&'a str, Vec<usize>)> {
    if families.len() <= MOST_TOGETHER {
        return vec![("", (0..families.len()).collect())];
    }
    let of_family = |family: &'a str| {
        let own: Vec<usize> = (0..families.len()).filter(|place| families[*place] == family).collect();
        own.chunks(MOST_TOGETHER).map(|places| (family, places.to_vec())).collect::<Vec<_>>()
    };
    distinct(families.iter().copied()).into_iter().flat_map(of_family).collect()
}

/// A colour mixed with black (down to -1) or white (up to 1).
pub fn shade(hue: RGBColor, lightness: f64) -> RGBColor {
    let RGBColor(r, g, b) = hue;
    let goal = if lightness > 0.0 { 255.0 } else { 0.0 };
    let channel = |value: u8| (f64::from(value) + lightness.abs() * (goal - f64::from(value))).round() as u8;
    RGBColor(channel(r), channel(g), channel(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::RuleKind;
    use strum::IntoEnumIterator;

    #[test]
    fn every_rule_has_a_colour_and_a_mark_that_no_other_has() {
        let mut seen = vec![];
        for kind in RuleKind::iter() {
            let name = kind.definition().name;
            assert!(PLACES.contains(&name), "{name} needs a place, at the end of the list");
            let Look { hue, marker, .. } = Look::of(name, 0.0, 0.0);
            assert!(!seen.contains(&(hue, marker)), "{name} looks like another rule");
            seen.push((hue, marker));
        }
        let Look { hue, marker, .. } = Look::of("my-own-rule", 0.0, 0.0);
        assert!(!seen.contains(&(hue, marker)), "a rule of another program has a pair of its own");
    }

    #[test]
    fn rules_that_are_often_beside_each_other_have_a_colour_each() {
        let common = ["sgd", "heavy-ball", "nesterov", "shifted", "mixing", "staleness-scaled", "weight-prediction"];
        assert_eq!(distinct(common.map(|rule| Look::of(rule, 0.0, 0.0).hue)).len(), common.len());
    }

    #[test]
    fn a_rule_looks_the_same_whatever_stands_beside_it_and_whatever_its_numbers() {
        let look = |rule: &str, m, d| Look::of(rule, m, d);
        assert_eq!((look("sgd", 0.0, 0.0).hue, look("sgd", 0.0, 0.0).marker), (0, Marker::Circle));
        assert_eq!((look("heavy-ball", 0.9, 0.0).hue, look("heavy-ball", 0.9, 0.0).marker), (1, Marker::Square));
        for rule in ["mixing", "mixing:0.5", "mixing:1/T", "mixing:age+eps=1e-3"] {
            assert_eq!(look(rule, 0.0, 0.0), look("mixing", 0.0, 0.0), "{rule}");
        }
        // The same forms have the same lines, whatever the rule; momenta differ in lightness alone.
        for rule in ["heavy-ball", "shifted"] {
            let dashes =
                [(0.0, 0.0), (0.9, 0.0), (0.9, 0.9), (0.9, 0.5)].map(|(momentum, d)| look(rule, momentum, d).dash);
            assert_eq!(dashes, [Dash::Solid, Dash::Long, Dash::Short, Dash::Mixed]);
            let lightness = [0.5, 0.9, 0.99].map(|momentum| look(rule, momentum, 0.0).lightness);
            assert!(lightness[0] < lightness[1] && lightness[1] < lightness[2] && lightness[1].abs() < 1e-12);
        }
        assert_eq!(look("nesterov", 0.9, 0.0).css(), "var(--hue-2)");
    }

    #[test]
    fn series_of_one_look_are_told_apart_and_a_single_one_is_left_as_it_is() {
        let sgd = Look::of("sgd", 0.0, 0.0);
        let looks = told_apart(vec![sgd, Look::of("lion", 0.0, 0.0), sgd, sgd]);
        assert_eq!(looks[1], Look::of("lion", 0.0, 0.0));
        assert!(looks[0].lightness < looks[2].lightness && looks[2].lightness < looks[3].lightness);
        assert_eq!(looks.iter().filter(|look| look.hue == sgd.hue && look.marker == sgd.marker).count(), 3);
        let momenta = |momenta: [f64; 3]| momenta.map(|momentum| Look::of("heavy-ball", momentum, 0.0)).to_vec();
        assert_eq!(told_apart(momenta([0.5, 0.9, 0.99])), momenta([0.5, 0.9, 0.99]), "apart as they are");
        assert_ne!(told_apart(momenta([0.5, 0.51, 0.99])), momenta([0.5, 0.51, 0.99]), "too close");
    }

    #[test]
    fn panels_hold_every_series_once() {
        assert_eq!(panels(&["sgd"; 8]).len(), 1);
        let four_rules: Vec<&str> =
            ["sgd", "nesterov", "shifted", "lion"].into_iter().flat_map(|one| [one; 16]).collect();
        for count in [9, 13, 64] {
            let families: Vec<&str> = four_rules.iter().copied().step_by(64 / count).take(count).collect();
            let panels = panels(&families);
            let mut drawn: Vec<usize> = panels.iter().flat_map(|(_, places)| places.clone()).collect();
            drawn.sort_unstable();
            assert_eq!(drawn, (0..count).collect::<Vec<_>>());
            assert!(panels.iter().all(|(_, places)| places.len() <= MOST_TOGETHER));
        }
    }
}
