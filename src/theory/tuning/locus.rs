//! Where the roots of `D(z) + K N(z)` stand beside a circle `|z| = r`, for every gain at once.
//!
//! A root is on the circle exactly where `-D/N` is real and positive, and that value is its gain. The circle is covered by
//! arcs on which the phase of `-D/N` is proved monotone, so that the full turns between the phases of the two ends count the
//! crossings: nothing can fall between two samples. Sorted by gain the crossings tell for every gain how many roots lie
//! outside. The count at an infinite gain is known beforehand; where it is missed, nothing is called inside.
//!
//! Not here: which radius is asked for ([`super::rate`]), and the unit circle under random delays ([`crate::theory::margin_with_decay`]).

use std::f64::consts::{PI, TAU};

/// Halvings of the half circle after which two crossings count as one that touches the circle.
const DEEPEST: u32 = 60;

/// Phase, relative to itself, by which rounding may move a crossing beyond the end of its arc.
const SLACK: f64 = 1e-13;

/// `u^power - modulus e^(i angle)` with `u = z/r`, above the line of the fraction `D/N` or below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factor {
    above: bool,
    power: f64,
    modulus: f64,
    /// `modulus - 1`, to the last digit: the roots that decide lie close to the circle.
    gap: f64,
    angle: f64,
}

impl Factor {
    /// `z^power - constant`.
    pub fn real(above: bool, power: usize, constant: f64, rate: f64) -> Self {
        Self::complex(above, power, constant.abs(), if constant < 0.0 { PI } else { 0.0 }, rate)
    }

    /// `z^power - modulus e^(i angle)`.
    pub fn complex(above: bool, power: usize, modulus: f64, angle: f64, rate: f64) -> Self {
        let power = power as f64;
        let shrunk = (-power * rate).exp();
        let gap = ((modulus - 1.0) - (-power * rate).exp_m1()) / shrunk;
        // A root on the very circle has no side; one rounding error outside it has.
        let gap = if gap == 0.0 { f64::EPSILON } else { gap };
        Self { above, power, modulus: modulus / shrunk, gap, angle }
    }

    fn sign(&self) -> f64 {
        if self.above { 1.0 } else { -1.0 }
    }

    fn roots_outside(&self) -> i64 {
        if self.gap > 0.0 { self.power as i64 } else { 0 }
    }

    /// `|u^power - c|^2` from `sin^2` of half the angle between the two.
    fn distance_squared(&self, half_sine_squared: f64) -> f64 {
        self.gap * self.gap + 4.0 * self.modulus * half_sine_squared
    }

    fn slope_at(&self, half_sine_squared: f64) -> f64 {
        0.5 * self.power * (1.0 - self.gap * (2.0 + self.gap) / self.distance_squared(half_sine_squared))
    }

    fn turned(&self, w: f64) -> f64 {
        self.power * w - self.angle
    }

    /// The argument, continuous in `w`.
    fn phase(&self, w: f64) -> f64 {
        let turned = self.turned(w);
        let (sine, half) = (turned.sin(), (0.5 * turned).sin());
        if self.gap < 0.0 {
            self.power * w + (self.modulus * sine).atan2(2.0 * self.modulus * half * half - self.gap)
        } else {
            self.angle + PI + (-sine).atan2(self.gap + 2.0 * half * half)
        }
    }

    fn slope(&self, w: f64) -> f64 {
        self.slope_at((0.5 * self.turned(w)).sin().powi(2))
    }

    /// Least and largest slope of the argument on an arc: it is monotone in the distance, and that in the cosine.
    fn slopes(&self, a: f64, b: f64) -> [f64; 2] {
        let (from, to) = (self.turned(a), self.turned(b));
        let ends = [from, to].map(|turned| (0.5 * turned).sin().powi(2));
        let holds = |target: f64| ((from - target) / TAU).ceil() <= ((to - target) / TAU).floor();
        let least = if holds(0.0) { 0.0 } else { ends[0].min(ends[1]) };
        let most = if holds(PI) { 1.0 } else { ends[0].max(ends[1]) };
        let slopes = [least, most].map(|half_sine_squared| self.slope_at(half_sine_squared));
        [slopes[0].min(slopes[1]), slopes[0].max(slopes[1])]
    }
}

/// `-D/N = -z^power x (factors above) / (lead x factors below)` on the circle of radius `e^-rate`.
#[derive(Clone, Debug)]
pub(super) struct Locus {
    pub power: usize,
    pub lead: f64,
    pub factors: Vec<Factor>,
    pub rate: f64,
}

/// A root on the circle.
#[derive(Clone, Copy, Debug)]
struct Passage {
    log_gain: f64,
    /// Roots that leave as the gain grows; negative where they enter.
    leaving: i64,
}

impl Locus {
    /// The ranges of the logarithm of the gain in which every root is inside the circle.
    pub fn inside(&self) -> Vec<[f64; 2]> {
        let mut passages = self.passages();
        passages.sort_by(|a, b| a.log_gain.total_cmp(&b.log_gain));
        let outside =
            |above: bool| -> i64 { self.factors.iter().filter(|f| f.above == above).map(Factor::roots_outside).sum() };
        let degree = |above: bool| -> f64 { self.factors.iter().filter(|f| f.above == above).map(|f| f.power).sum() };
        let at_infinity = outside(false) + self.power as i64 + (degree(true) - degree(false)) as i64;
        let mut count = outside(true);
        let mut ranges = vec![];
        let mut since = (count == 0).then_some(f64::NEG_INFINITY);
        for Passage { log_gain, leaving } in passages {
            count += leaving;
            if count < 0 {
                return vec![];
            }
            if count > 0 {
                ranges.extend(since.take().map(|since| [since, log_gain]));
            } else if since.is_none() {
                since = Some(log_gain);
            }
        }
        ranges.extend(since.map(|since| [since, f64::INFINITY]));
        if count == at_infinity { ranges } else { vec![] }
    }

    fn phase(&self, w: f64) -> f64 {
        PI + self.power as f64 * w + self.factors.iter().map(|f| f.sign() * f.phase(w)).sum::<f64>()
    }

    fn slope(&self, w: f64) -> f64 {
        self.power as f64 + self.factors.iter().map(|f| f.sign() * f.slope(w)).sum::<f64>()
    }

    fn slopes(&self, a: f64, b: f64) -> [f64; 2] {
        self.factors.iter().fold([self.power as f64; 2], |[least, most], factor| {
            let [low, high] = factor.slopes(a, b);
            if factor.above { [least + low, most + high] } else { [least - high, most - low] }
        })
    }

    fn log_gain(&self, w: f64) -> f64 {
        let factor = |f: &Factor| {
            let distance = f.distance_squared((0.5 * f.turned(w)).sin().powi(2));
            f.sign() * (0.5 * distance.ln() - f.power * self.rate)
        };
        self.factors.iter().map(factor).sum::<f64>() - self.power as f64 * self.rate - self.lead.ln()
    }

    fn passages(&self) -> Vec<Passage> {
        let mut found = vec![];
        // At both ends -D/N is real: its phase is a whole number of half turns, of which an even one is a real root.
        let ends = [0.0, PI].map(|w| self.phase(w));
        for (w, phase) in [0.0, PI].into_iter().zip(ends) {
            if (phase / PI).round() % 2.0 == 0.0 {
                found.push(self.passage(w, if self.slope(w) > 0.0 { 1 } else { -1 }));
            }
        }
        let mut arcs = vec![([0.0, PI], ends, 0)];
        while let Some(([a, b], [start, end], depth)) = arcs.pop() {
            let [least, most] = self.slopes(a, b);
            let rising = least > 0.0;
            let middle = 0.5 * (a + b);
            if rising || most < 0.0 {
                // The ends of the half circle are counted above.
                let slack = |at_end: bool, phase: f64| {
                    if at_end {
                        (phase - (phase / PI).round() * PI).abs() + SLACK
                    } else {
                        -SLACK * (1.0 + phase.abs())
                    }
                };
                let (start, end) = ((start, slack(a == 0.0, start)), (end, slack(b == PI, end)));
                let (low, high) = if rising { (start, end) } else { (end, start) };
                let first = ((low.0 + low.1) / TAU).ceil();
                let last = ((high.0 - high.1) / TAU).floor();
                if last < first {
                    continue;
                }
                if first == last {
                    let angle = self.polish(a, b, first * TAU, rising);
                    found.push(self.passage(angle, if rising { 2 } else { -2 }));
                    continue;
                }
            } else {
                let (least, most) = (least * (b - a), most * (b - a));
                let slack = SLACK * (1.0 + start.abs());
                let low = (start + least.min(0.0)).max(end - most.max(0.0)) - slack;
                let high = (start + most.max(0.0)).min(end - least.min(0.0)) + slack;
                if (low / TAU).ceil() > (high / TAU).floor() {
                    continue;
                }
            }
            if depth < DEEPEST {
                let phase = self.phase(middle);
                arcs.push(([middle, b], [phase, end], depth + 1));
                arcs.push(([a, middle], [start, phase], depth + 1));
            } else if a > 0.0 && b < PI {
                found.extend([2, -2].map(|leaving| self.passage(middle, leaving)));
            }
        }
        // A crossing at the common end of two arcs is found from both.
        found.sort_by(|a, b| (a.1, a.0.leaving).partial_cmp(&(b.1, b.0.leaving)).expect("angles are numbers"));
        found.dedup_by(|b, a| b.0.leaving == a.0.leaving && b.1 - a.1 <= 1e-13 * a.1);
        found.into_iter().map(|(passage, _)| passage).collect()
    }

    fn passage(&self, w: f64, leaving: i64) -> (Passage, f64) {
        (Passage { log_gain: self.log_gain(w), leaving }, w)
    }

    /// Solves `phase(w) = target` on an arc on which the phase is monotone.
    fn polish(&self, mut a: f64, mut b: f64, target: f64, rising: bool) -> f64 {
        let mut w = 0.5 * (a + b);
        for _ in 0..80 {
            let miss = self.phase(w) - target;
            if (miss > 0.0) == rising {
                b = w;
            } else {
                a = w;
            }
            let newton = w - miss / self.slope(w);
            let next = if newton > a && newton < b { newton } else { 0.5 * (a + b) };
            if (next - w).abs() <= 1e-13 * w {
                return next;
            }
            w = next;
        }
        w
    }
}
