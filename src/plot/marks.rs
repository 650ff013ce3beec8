//! The shapes of marks and the strokes of broken lines: pure geometry. Not here: which rule has which ([`super::look`]).

use std::f64::consts::{FRAC_PI_4, PI, TAU};

/// A place on the canvas: rightwards, downwards, pixels.
pub type Point = (f64, f64);

/// How a line is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dash {
    Solid,
    Long,
    Short,
    Mixed,
}

impl Dash {
    /// Lengths of strokes and gaps in turn, pixels; empty where there are no gaps.
    pub fn pattern(self) -> &'static [f64] {
        match self {
            Self::Solid => &[],
            Self::Long => &[16.0, 6.0],
            Self::Short => &[6.0, 4.0],
            Self::Mixed => &[12.0, 4.0, 2.5, 4.0],
        }
    }

    /// The pattern as SVG has it, for a page whose lines are thinner.
    pub fn css(self) -> String {
        let lengths: Vec<String> = self.pattern().iter().map(|length| format!("{}", 0.7 * length)).collect();
        if lengths.is_empty() { "none".into() } else { lengths.join(" ") }
    }
}

/// The shape of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Wedge,
    Plus,
    Star,
    Cross,
}

impl Marker {
    /// The word that pages know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Diamond => "diamond",
            Self::Wedge => "wedge",
            Self::Plus => "plus",
            Self::Star => "star",
            Self::Cross => "cross",
        }
    }

    pub const ALL: [Self; 8] =
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond, Self::Wedge, Self::Plus, Self::Star, Self::Cross];

    /// Its outline around the origin; all have about the area of a circle of radius 1.
    pub fn outline(self) -> Vec<Point> {
        // Corners on circles of the given radii in turn, counted clockwise from `start` (0 is rightwards).
        let corners = |count: usize, start: f64, radii: &[f64]| -> Vec<Point> {
            let corner = |i: usize| {
                let (radius, angle) = (radii[i % radii.len()], start + TAU * i as f64 / count as f64);
                (radius * angle.cos(), radius * angle.sin())
            };
            (0..count).map(corner).collect()
        };
        let plus = |turn: f64| -> Vec<Point> {
            let (arm, half) = (1.2, 0.4);
            let quarter = [(arm, -half), (arm, half), (half, half)];
            let turned =
                |(x, y): Point, angle: f64| (x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos());
            (0..4).flat_map(|i| quarter.map(|point| turned(point, turn + f64::from(i) * PI / 2.0))).collect()
        };
        match self {
            Self::Circle => corners(24, 0.0, &[1.0]),
            Self::Square => corners(4, FRAC_PI_4, &[1.25]),
            Self::Triangle => corners(3, -PI / 2.0, &[1.4]),
            Self::Diamond => corners(4, 0.0, &[1.3]),
            Self::Wedge => corners(3, PI / 2.0, &[1.4]),
            Self::Plus => plus(0.0),
            Self::Star => corners(10, -PI / 2.0, &[1.45, 0.62]),
            Self::Cross => plus(FRAC_PI_4),
        }
    }
}

/// The strokes of a broken line.
pub fn strokes(points: &[Point], dash: Dash) -> Vec<Vec<Point>> {
    let pattern = dash.pattern();
    if pattern.is_empty() {
        return vec![points.to_vec()];
    }
    let (mut index, mut left) = (0, pattern[0]);
    let mut strokes = vec![];
    let mut stroke: Vec<Point> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let [(x, y), (u, v)] = [pair[0], pair[1]];
        let length = (u - x).hypot(v - y);
        let mut gone = 0.0;
        while length - gone > left {
            gone += left;
            let at = (x + (u - x) * gone / length, y + (v - y) * gone / length);
            stroke.push(at);
            let drawn = std::mem::replace(&mut stroke, vec![at]);
            if index % 2 == 0 {
                strokes.push(drawn);
            }
            index = (index + 1) % pattern.len();
            left = pattern[index];
        }
        left -= length - gone;
        stroke.push((u, v));
    }
    if index % 2 == 0 && stroke.len() > 1 {
        strokes.push(stroke);
    }
    strokes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_have_about_the_same_area() {
        for marker in Marker::ALL {
            let outline = marker.outline();
            let next = outline.iter().cycle().skip(1);
            let area = outline.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum::<f64>().abs() / 2.0;
            assert!((2.4..3.8).contains(&area), "{marker:?} has area {area}");
        }
    }
}
