//! Every angle at which an eigenvalue of a small matrix crosses the negative real axis, as the angle goes round the half circle.
//!
//! Eigenvalues move continuously with the angle, so those of two neighbouring angles belong together by their distance; where
//! that is not clear near the axis, the interval between the angles is halved. Not here: which matrix it is.

use std::f64::consts::PI;

use nalgebra::DMatrix;
use num_complex::Complex64;

use super::super::TheoryError;
use super::eigen::eigenvalues;
use super::response::StageResponse;

/// A matrix for every angle of the half circle.
pub(super) trait MatrixOnCircle {
    fn matrix(&self, angle: f64) -> DMatrix<Complex64>;

    /// A bound on the modulus of the eigenvalues that may lie near the negative real axis at this angle: 0 where none can.
    fn reach(&self, angle: f64) -> f64;
}

/// A solution `-1/lr` on the circle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossing {
    /// In `(0, pi]`.
    pub angle: f64,
    pub lr: f64,
}

impl Crossing {
    /// The eigenvalue.
    pub fn value(self) -> Complex64 {
        Complex64::from(-1.0 / self.lr)
    }

    /// Whether two crossings are one, known with this relative accuracy.
    pub fn is_near(self, other: Self, accuracy: f64) -> bool {
        (self.angle - other.angle).abs() <= accuracy * self.angle && (self.lr - other.lr).abs() <= accuracy * self.lr
    }
}

/// Turn of a response from one angle of the grid to the next, radians.
const TURN: f64 = 0.12;

/// Change of the modulus of a response from one angle of the grid to the next.
const CHANGE: f64 = 1.25;

/// Halvings of the arcs of the grid, at most: a response that has a zero on the circle turns there at once.
const DEPTH: u32 = 40;

/// Angles so near to each other that no response changes much between them.
///
/// The lowest of them is so small that all responses have the phase of their pole at `z = 1` there, -pi/2, and no eigenvalue is
/// near the negative real axis.
pub(super) fn grid<'a>(responses: impl Iterator<Item = &'a StageResponse> + Clone) -> Vec<f64> {
    let turning = |a: f64, b: f64| responses.clone().map(|response| response.turning(a, b)).fold(0.0, f64::max);
    let mut lowest = PI / 4.0;
    while turning(0.0, lowest) * lowest > TURN && lowest > 1e-12 {
        lowest *= 0.5;
    }
    let moduli = |angle: f64| responses.clone().map(|response| response.at(angle).norm()).collect::<Vec<f64>>();
    let mut angles = vec![lowest];
    let mut arcs = vec![(lowest, PI, 0)];
    while let Some((a, b, depth)) = arcs.pop() {
        let is_even = || moduli(a).iter().zip(moduli(b)).all(|(a, b)| *a <= CHANGE * b && b <= CHANGE * *a);
        if depth == DEPTH || (b - a < 0.25 * PI && turning(a, b) * (b - a) <= TURN && is_even()) {
            angles.push(b);
        } else {
            let middle = 0.5 * (a + b);
            arcs.extend([(middle, b, depth + 1), (a, middle, depth + 1)]);
        }
    }
    angles
}

/// Halvings between two angles of the grid, at most. Eigenvalues that are still not told apart cross together.
const HALVINGS: u32 = 12;

/// Eigenvalues below this share of the largest at their angle are left out.
const SMALLEST: f64 = 1e-9;

/// A crossing so near to pi is one at pi.
const AT_END: f64 = 1e-7;

/// Allowance for what happens between two angles of the grid.
const SLACK: f64 = 1.6;

/// What is at one angle.
struct Spectrum {
    angle: f64,
    values: Vec<Complex64>,
}

/// A search in progress.
struct Search<'a, M> {
    matrices: &'a M,
    /// Crossings beyond this multiple of the least are of no interest.
    range: f64,
    found: Vec<Crossing>,
    least: f64,
}

/// Crossings on the grid's arcs and at its end, by learning rate, the least first; those beyond `range` times the least may be
/// missing.
///
/// # Errors
/// Where a matrix is not finite.
pub(super) fn crossings(
    matrices: &impl MatrixOnCircle,
    grid: &[f64],
    range: f64,
) -> Result<Vec<Crossing>, TheoryError> {
    let mut search = Search { matrices, range, found: Vec::new(), least: f64::INFINITY };
    // At z = -1 everything is real.
    for value in spectrum(matrices, PI)?.values {
        if value.re < 0.0 && value.im.abs() <= 1e-7 * value.norm() {
            search.push(Crossing { angle: PI, lr: -1.0 / value.re });
        }
    }
    let mut before: Option<Spectrum> = None;
    for &angle in grid {
        if matrices.reach(angle) * SLACK < search.floor() || matrices.reach(angle) == 0.0 {
            before = None;
            continue;
        }
        let here = spectrum(matrices, angle)?;
        if let Some(before) = &before {
            search.visit(before, &here, HALVINGS)?;
        }
        before = Some(here);
    }
    let mut found = search.found;
    found.sort_by(|a, b| a.lr.total_cmp(&b.lr));
    found.dedup_by(|b, a| a.is_near(*b, 1e-9));
    Ok(found)
}

fn spectrum(matrices: &impl MatrixOnCircle, angle: f64) -> Result<Spectrum, TheoryError> {
    let values = eigenvalues(matrices.matrix(angle)).ok_or(TheoryError::OutOfRange)?;
    Ok(Spectrum { angle, values })
}

impl<M: MatrixOnCircle> Search<'_, M> {
    /// Modulus of the eigenvalues that are of interest, at least.
    fn floor(&self) -> f64 {
        1.0 / (self.range * self.least)
    }

    fn push(&mut self, crossing: Crossing) {
        self.least = self.least.min(crossing.lr);
        self.found.push(crossing);
    }

    /// Finds the crossings between two angles.
    fn visit(&mut self, a: &Spectrum, b: &Spectrum, halvings: u32) -> Result<(), TheoryError> {
        let largest = a.values.iter().chain(&b.values).map(|value| value.norm()).fold(0.0, f64::max);
        let floor = (self.floor() / SLACK).max(SMALLEST * largest);
        let mut crossing = Vec::new();
        for (i, j, is_clear) in pairs(a, b, floor) {
            let (p, q) = (a.values[i], b.values[j]);
            let moved = (p - q).norm();
            if p.re.min(q.re) >= 0.0 || p.im.abs().min(q.im.abs()) > moved {
                continue;
            }
            let is_clear = is_clear && moved <= 0.3 * p.norm().min(q.norm());
            if !is_clear && halvings > 0 {
                let middle = spectrum(self.matrices, 0.5 * (a.angle + b.angle))?;
                self.visit(a, &middle, halvings - 1)?;
                return self.visit(&middle, b, halvings - 1);
            }
            // Of values that are the same one is enough.
            let is_known = |(a, b): &(Complex64, Complex64)| (a - p).norm() + (b - q).norm() <= 1e-9 * p.norm();
            if (p.im < 0.0) != (q.im < 0.0) && !crossing.iter().any(is_known) {
                crossing.push((p, q));
            }
        }
        for (p, q) in crossing {
            if let Some(found) = self.refine((a.angle, p), (b.angle, q))? {
                self.push(found);
            }
        }
        Ok(())
    }

    /// The crossing of an eigenvalue that is on one side of the axis at one angle and on the other side at the other: regula falsi
    /// with the Illinois rule. None where there is none after all.
    fn refine(&self, mut a: (f64, Complex64), mut b: (f64, Complex64)) -> Result<Option<Crossing>, TheoryError> {
        let (mut weight_a, mut weight_b) = (1.0, 1.0);
        for _ in 0..80 {
            let (left, right) = (a.1.im * weight_a, b.1.im * weight_b);
            let share = if left == right { 0.5 } else { left / (left - right) };
            let angle = a.0 + share * (b.0 - a.0);
            let expected = a.1 + (b.1 - a.1) * ((angle - a.0) / (b.0 - a.0));
            let value = nearest(&spectrum(self.matrices, angle)?.values, expected).1;
            let is_exact = value.im.abs() <= 1e-14 * value.norm() || angle <= a.0 || angle >= b.0;
            if is_exact || (b.0 - a.0) <= 2.0 * f64::EPSILON * b.0 {
                let is_crossing = value.re < 0.0 && value.im.abs() <= 1e-8 * value.norm();
                // Rounding decides on which side of the axis a value at z = -1 is.
                let angle = if PI - angle < AT_END { PI } else { angle };
                return Ok(is_crossing.then(|| Crossing { angle, lr: -1.0 / value.re }));
            }
            if (value.im < 0.0) == (a.1.im < 0.0) {
                (a, weight_a, weight_b) = ((angle, value), 1.0, 0.5 * weight_b);
            } else {
                (b, weight_b, weight_a) = ((angle, value), 1.0, 0.5 * weight_a);
            }
        }
        Ok(None)
    }
}

/// Pairs of values that belong together, each once, and whether there is no doubt about it: every value of at least `floor` with the
/// nearest one at the other angle.
fn pairs(a: &Spectrum, b: &Spectrum, floor: f64) -> Vec<(usize, usize, bool)> {
    let clear = |from: &Spectrum, to: &Spectrum, i: usize| {
        let (j, _) = nearest(&to.values, from.values[i]);
        let distance = (to.values[j] - from.values[i]).norm();
        let others = to.values.iter().enumerate().filter(|(other, _)| *other != j);
        let second = others.map(|(_, value)| (value - from.values[i]).norm()).fold(f64::INFINITY, f64::min);
        (j, second > 2.5 * distance)
    };
    let mut pairs = Vec::new();
    for i in (0..a.values.len()).filter(|i| a.values[*i].norm() >= floor) {
        let (j, is_clear) = clear(a, b, i);
        let (back, is_clear_back) = clear(b, a, j);
        pairs.push((i, j, is_clear && is_clear_back && back == i));
    }
    for j in (0..b.values.len()).filter(|j| b.values[*j].norm() >= floor) {
        let (i, is_clear) = clear(b, a, j);
        if !pairs.iter().any(|(known, with, _)| *known == i && *with == j) {
            pairs.push((i, j, is_clear && clear(a, b, i).0 == j));
        }
    }
    pairs
}

fn nearest(values: &[Complex64], to: Complex64) -> (usize, Complex64) {
    let distance = |value: &Complex64| (value - to).norm_sqr();
    let (index, value) = values
        .iter()
        .enumerate()
        .min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)))
        .expect("a matrix has eigenvalues");
    (index, *value)
}

/// The crossing near a known one, on matrices that have changed a little: the secant method. None where it is lost.
///
/// # Errors
/// Where a matrix is not finite.
pub(super) fn follow(matrices: &impl MatrixOnCircle, known: Crossing) -> Result<Option<Crossing>, TheoryError> {
    let value_at = |angle: f64, near: Complex64| Ok(nearest(&spectrum(matrices, angle)?.values, near).1);
    let mut before = (known.angle, value_at(known.angle, known.value())?);
    let crossing = |(angle, value): (f64, Complex64)| {
        let is_near = value.re < 0.0 && (angle - known.angle).abs() <= 0.1 * known.angle;
        is_near.then(|| Crossing { angle, lr: -1.0 / value.re })
    };
    if known.angle == PI {
        return Ok(crossing(before).filter(|_| before.1.im.abs() <= 1e-7 * before.1.norm()));
    }
    let mut angle = known.angle * (1.0 - 1e-5);
    for _ in 0..30 {
        let here = (angle, value_at(angle, before.1)?);
        if here.1.im.abs() <= 1e-13 * here.1.norm() {
            return Ok(crossing(here));
        }
        let slope = (here.1.im - before.1.im) / (here.0 - before.0);
        let next = here.0 - here.1.im / slope;
        let is_lost = !((next - known.angle).abs() <= 0.1 * known.angle && next <= PI);
        if is_lost {
            return Ok(None);
        }
        if (next - here.0).abs() <= 4.0 * f64::EPSILON * next {
            return Ok(crossing(here).filter(|_| here.1.im.abs() <= 1e-8 * here.1.norm()));
        }
        (before, angle) = (here, next);
    }
    Ok(None)
}
