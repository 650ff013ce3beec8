//! The thresholds as curves: against the delay on two logarithmic axes, and against the momentum.

use anyhow::{Result, bail};
use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, Palette, Palette99, RGBColor, ShapeStyle, TextStyle};

use super::Row;

const WIDTH: u32 = 1400;
const HEIGHT: u32 = 700;
/// Most curves that a panel has room to name.
const MOST_NAMES: usize = 20;
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GRID: RGBColor = RGBColor(0xe3, 0xe3, 0xe3);

/// A curve: its name and its points.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

/// An axis between two values.
#[derive(Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Axis {
    fn logarithmic(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ends(values);
        Self {
            low: 10_f64.powf(low.log10().floor()),
            high: 10_f64.powf(high.log10().ceil().max(low.log10().floor() + 1.0)),
            logarithmic: true,
        }
    }

    /// Where a value lies between the ends, in `[0, 1]`.
    fn share(self, x: f64) -> f64 {
        if self.logarithmic {
            (x / self.low).ln() / (self.high / self.low).ln()
        } else {
            (x - self.low) / (self.high - self.low)
        }
    }

    fn ticks(self) -> Vec<f64> {
        if self.logarithmic {
            let decades = self.low.log10().round() as i32..=self.high.log10().round() as i32;
            decades.map(|n| 10_f64.powi(n)).collect()
        } else {
            (0..=5).map(|i| self.low + (self.high - self.low) * f64::from(i) / 5.0).collect()
        }
    }
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(low, high), x| (low.min(x), f64::max(high, x)))
}

/// The picture as SVG text.
///
/// # Errors
/// Where no axis has two values, so that there is no curve to draw.
pub fn draw(rows: &[Row]) -> Result<String> {
    let against_delay = curves(rows, |row| row.delay + 1.0, |row| label(row, true, false));
    let against_momentum =
        curves(rows.iter().filter(|row| row.rule != "sgd"), |row| row.momentum, |row| label(row, false, true));
    let panels: Vec<(&str, Vec<Curve>, bool)> =
        [("delay + 1 (updates)", against_delay, true), ("momentum", against_momentum, false)]
            .into_iter()
            .filter(|(_, curves, _)| !curves.is_empty())
            .collect();
    if panels.is_empty() {
        bail!("--svg: nothing to draw; give at least two --delays or two values of --momentum");
    }
    let mut text = String::new();
    {
        let mut backend = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT));
        let width = f64::from(WIDTH) / panels.len() as f64;
        backend.draw_rect((0, 0), (WIDTH as i32, HEIGHT as i32), &RGBColor(255, 255, 255), true)?;
        for (index, (name, curves, logarithmic)) in panels.iter().enumerate() {
            let left = width * index as f64;
            let horizontal = if *logarithmic {
                Axis::logarithmic(curves.iter().flat_map(|c| &c.points).map(|p| p.0))
            } else {
                let (low, high) = ends(curves.iter().flat_map(|c| &c.points).map(|p| p.0));
                Axis { low, high, logarithmic: false }
            };
            panel(&mut backend, (left + 90.0, left + width - 20.0), name, horizontal, curves)?;
        }
        backend.present()?;
    }
    Ok(text)
}

/// Groups rows by name, sorts each by abscissa, and keeps the groups with at least two abscissas.
fn curves<'a>(
    rows: impl IntoIterator<Item = &'a Row>,
    abscissa: impl Fn(&Row) -> f64,
    name: impl Fn(&Row) -> String,
) -> Vec<Curve> {
    let mut curves: Vec<Curve> = vec![];
    for row in rows {
        let (name, point) = (name(row), (abscissa(row), row.threshold_gain));
        match curves.iter_mut().find(|curve| curve.name == name) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { name, points: vec![point] }),
        }
    }
    for curve in &mut curves {
        curve.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    curves.retain(|curve| curve.points.first().map(|p| p.0) < curve.points.last().map(|p| p.0));
    curves
}

/// What all points of a curve share.
fn label(row: &Row, momentum: bool, delay: bool) -> String {
    let mut text = row.rule.to_owned();
    if row.rule != "sgd" {
        let ema = row.dampening == row.momentum && row.momentum > 0.0;
        if momentum {
            text += &format!(" m={}", row.momentum);
        }
        text += &if ema { " ema".to_owned() } else { format!(" d={}", row.dampening) };
    }
    if delay {
        text += &format!(", delay {}", row.delay);
    }
    // The name of a distribution carries its mean, so only its kind groups.
    text += match row.schedule.split(':').next() {
        Some("round-robin") | None => "",
        Some("random") => ", random workers",
        Some("uniform") => ", uniform delay",
        Some("geometric") => ", geometric delay",
        Some(_) => ", given delays",
    };
    if row.criterion == "mean-square" {
        text += &format!(", mean square r={}", row.relative_variance);
    }
    text
}

type Backend<'a> = SVGBackend<'a>;

fn panel(
    backend: &mut Backend<'_>,
    (left, right): (f64, f64),
    name: &str,
    across: Axis,
    curves: &[Curve],
) -> Result<()> {
    let (top, bottom) = (40.0, f64::from(HEIGHT) - 70.0);
    let up = Axis::logarithmic(curves.iter().flat_map(|curve| &curve.points).map(|point| point.1));
    let at_x = |x: f64| (left + across.share(x) * (right - left)) as i32;
    let at_y = |y: f64| (bottom - up.share(y) * (bottom - top)) as i32;
    let grid = ShapeStyle { color: GRID.to_rgba(), filled: false, stroke_width: 1 };

    for tick in across.ticks() {
        backend.draw_line((at_x(tick), top as i32), (at_x(tick), bottom as i32), &grid)?;
        write(backend, &short(tick), (at_x(tick), bottom as i32 + 8), HPos::Center, INK)?;
    }
    for tick in up.ticks() {
        backend.draw_line((left as i32, at_y(tick)), (right as i32, at_y(tick)), &grid)?;
        write(backend, &short(tick), (left as i32 - 8, at_y(tick) - 8), HPos::Right, INK)?;
    }
    let frame = ShapeStyle { color: INK.to_rgba(), filled: false, stroke_width: 1 };
    backend.draw_rect((left as i32, top as i32), (right as i32, bottom as i32), &frame, false)?;
    write(backend, name, (((left + right) / 2.0) as i32, bottom as i32 + 36), HPos::Center, INK)?;
    write(backend, "threshold gain (learning rate x curvature)", (left as i32, 12), HPos::Left, INK)?;

    let named = curves.len().min(MOST_NAMES);
    for (index, curve) in curves.iter().enumerate() {
        let (r, g, b) = Palette99::pick(index).to_rgba().rgb();
        let colour = RGBColor(r, g, b);
        let style = ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: 2 };
        backend.draw_path(curve.points.iter().map(|&(x, y)| (at_x(x), at_y(y))), &style)?;
        // The lower left corner is free: thresholds fall with the delay and mostly with the momentum.
        let line = bottom as i32 - 20 * (named + 1 - index.min(named)) as i32 - 6;
        if index < named {
            write(backend, &curve.name, (left as i32 + 12, line), HPos::Left, colour)?;
        }
    }
    if curves.len() > named {
        let rest = format!("and {} more", curves.len() - named);
        write(backend, &rest, (left as i32 + 12, bottom as i32 - 26), HPos::Left, INK)?;
    }
    Ok(())
}

fn short(tick: f64) -> String {
    if (1e-3..1e6).contains(&tick) { format!("{}", (tick * 1e6).round() / 1e6) } else { format!("{tick:e}") }
}

fn write(backend: &mut Backend<'_>, text: &str, at: (i32, i32), anchor: HPos, colour: RGBColor) -> Result<()> {
    let style = TextStyle::from(("sans-serif", 17).into_font()).color(&colour).pos(Pos::new(anchor, VPos::Top));
    backend.draw_text(text, &style, at)?;
    Ok(())
}
