//! A picture as a list of shapes, in pixels of a canvas with its origin at the top left, and its two renderings.
//!
//! Both go through plotters, whose coordinates are whole pixels with hard edges. So everything is drawn [`SCALE`] times
//! too large, which the SVG undoes by its viewBox and the PNG by averaging. Text stays text in the SVG; for the PNG it
//! is set here, as plotters ignores the left side bearings of letters.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use anyhow::{Context, Result, anyhow};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBAColor, ShapeStyle};
use std::f64::consts::{FRAC_PI_4, PI, TAU};
use std::sync::LazyLock;

/// A place on the canvas: rightwards, downwards.
pub type Point = (f64, f64);

/// Sub-pixels per pixel.
const SCALE: u32 = 3;

/// Shapes in drawing order, later ones on top.
#[derive(Clone, Debug)]
pub struct Scene {
    width: u32,
    height: u32,
    /// How much lower than where it is put everything is drawn from now on, pixels.
    lowered: f64,
    shapes: Vec<Shape>,
}

/// Which ground a picture has. Scenes are made of the colours for a light one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Theme {
    #[default]
    Light,
    Dark,
}

/// How a line is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dash {
    Solid,
    Long,
    Short,
    DashDot,
}

impl Dash {
    /// Lengths of strokes and gaps in turn, pixels; empty where there are no gaps.
    pub fn pattern(self) -> &'static [f64] {
        match self {
            Self::Solid => &[],
            Self::Long => &[16.0, 6.0],
            Self::Short => &[6.0, 4.0],
            Self::DashDot => &[12.0, 4.0, 2.5, 4.0],
        }
    }

    /// The pattern as SVG has it, for a page whose lines are thinner.
    pub fn css(self) -> String {
        let lengths: Vec<String> = self.pattern().iter().map(|length| format!("{}", 0.7 * length)).collect();
        if lengths.is_empty() { "none".into() } else { lengths.join(" ") }
    }
}

#[derive(Clone, Debug)]
enum Shape {
    Line { points: Vec<Point>, width: f64, color: RGBAColor },
    Polygon { points: Vec<Point>, color: RGBAColor },
    Text { at: Point, text: String, style: Style },
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Size of the em square, pixels.
    pub size: f64,
    pub bold: bool,
    pub color: RGBAColor,
    /// Which end of the baseline stands at the text's place.
    pub anchor: Anchor,
    /// Reads upwards.
    pub vertical: bool,
}

/// Part of a text's baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Style {
    pub fn new(size: f64, color: RGBAColor) -> Self {
        Self { size, bold: false, color, anchor: Anchor::Start, vertical: false }
    }

    pub fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub fn anchor(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub fn vertical(self) -> Self {
        Self { vertical: true, ..self }
    }

    /// Width of `text` in pixels.
    pub fn width(&self, text: &str) -> f64 {
        self.glyphs(text).1
    }

    /// The glyphs of `text`, each with its distance from the start of the text in pixels, and the text's width.
    fn glyphs(&self, text: &str) -> (Vec<(ab_glyph::GlyphId, f64)>, f64) {
        let font = self.face().as_scaled(self.px_scale(1.0));
        let mut pen = 0.0;
        let mut previous = None;
        let glyphs = text.chars().map(|character| {
            let glyph = font.glyph_id(character);
            pen += previous.map_or(0.0, |previous| f64::from(font.kern(previous, glyph)));
            let place = pen;
            pen += f64::from(font.h_advance(glyph));
            previous = Some(glyph);
            (glyph, place)
        });
        (glyphs.collect(), pen)
    }

    fn face(&self) -> &'static FontRef<'static> {
        if self.bold { &BOLD } else { &NORMAL }
    }

    /// The scale at which ab_glyph, which wants ascent plus descent, draws this size with `zoom` sub-pixels per pixel.
    fn px_scale(&self, zoom: f64) -> PxScale {
        let face = self.face();
        let units_per_em = face.units_per_em().expect("an embedded font has them");
        PxScale::from((self.size * zoom) as f32 * face.height_unscaled() / units_per_em)
    }

    /// `text` in lines of at most `width` pixels, broken between words; a word that is wider stands on a line of its own.
    pub fn wrapped(&self, text: &str, width: f64) -> Vec<String> {
        let mut lines: Vec<String> = vec![];
        for word in text.split(' ') {
            match lines.last_mut() {
                Some(line) if self.width(&format!("{line} {word}")) <= width => *line += &format!(" {word}"),
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }

    /// `text`, cut short with an ellipsis where it is wider than `width` pixels.
    pub fn fitted(&self, text: &str, width: f64) -> String {
        let mut kept = text.to_owned();
        let mut fitted = kept.clone();
        while self.width(&fitted) > width && kept.pop().is_some() {
            fitted = format!("{}…", kept.trim_end());
        }
        fitted
    }

    /// How far below the middle of its capitals the baseline of a text lies, pixels.
    pub fn drop(&self) -> f64 {
        0.364 * self.size
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
    fn outline(self) -> Vec<Point> {
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

impl Scene {
    /// A white canvas of this many pixels.
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, lowered: 0.0, shapes: Vec::new() }
    }

    /// Makes room: what is drawn from now on stands so much lower, and the canvas is so much higher.
    pub fn lower(&mut self, pixels: f64) {
        self.shift(pixels);
        self.grow(pixels);
    }

    /// A higher canvas, with nothing moved.
    pub fn grow(&mut self, pixels: f64) {
        self.height += pixels.ceil() as u32;
    }

    /// What is drawn from now on stands so much lower, on the canvas as it is.
    pub fn shift(&mut self, pixels: f64) {
        self.lowered += pixels;
    }

    fn placed(&self, points: Vec<Point>) -> Vec<Point> {
        points.into_iter().map(|(x, y)| (x, y + self.lowered)).collect()
    }

    pub fn line(&mut self, points: impl Into<Vec<Point>>, width: f64, color: impl Color) {
        let (points, color) = (self.placed(points.into()), color.to_rgba());
        if points.len() > 1 {
            self.shapes.push(Shape::Line { points, width, color });
        }
    }

    /// A broken line. The SVG library knows no dashes, so that every stroke is a line of its own.
    pub fn dashed(&mut self, points: impl Into<Vec<Point>>, width: f64, color: impl Color, dash: Dash) {
        let (points, pattern) = (points.into(), dash.pattern());
        if pattern.is_empty() {
            return self.line(points, width, color);
        }
        let (mut index, mut left) = (0, pattern[0]);
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
                    self.line(drawn, width, color.to_rgba());
                }
                index = (index + 1) % pattern.len();
                left = pattern[index];
            }
            left -= length - gone;
            stroke.push((u, v));
        }
        if index % 2 == 0 {
            self.line(stroke, width, color);
        }
    }

    pub fn polygon(&mut self, points: impl Into<Vec<Point>>, color: impl Color) {
        self.shapes.push(Shape::Polygon { points: self.placed(points.into()), color: color.to_rgba() });
    }

    /// A filled rectangle between two corners.
    pub fn rectangle(&mut self, (left, top): Point, (right, bottom): Point, color: impl Color) {
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], color);
    }

    /// A mark of about `radius` pixels with a white rim; `open` ones are white inside.
    pub fn mark(&mut self, marker: Marker, (x, y): Point, radius: f64, color: impl Color, open: bool) {
        let white = plotters::style::WHITE;
        let outline = marker.outline();
        let mut layer = |scale: f64, color: RGBAColor| {
            self.polygon(outline.iter().map(|(u, v)| (x + scale * u, y + scale * v)).collect::<Vec<_>>(), color);
        };
        layer(radius + 1.6, white.to_rgba());
        layer(radius, color.to_rgba());
        if open {
            layer(0.58 * radius, white.to_rgba());
        }
    }

    /// A text with its baseline at `at`.
    pub fn text(&mut self, (x, y): Point, text: impl Into<String>, style: Style) {
        self.shapes.push(Shape::Text { at: (x, y + self.lowered), text: text.into(), style });
    }

    /// A text that no lowering moves.
    pub fn from_the_top(&mut self, at: Point, text: impl Into<String>, style: Style) {
        self.shapes.push(Shape::Text { at, text: text.into(), style });
    }

    /// A text in as many lines of `width` pixels as it takes, the baseline of the first at `at`; all but the first make
    /// room for themselves.
    pub fn paragraph(&mut self, (x, y): Point, text: &str, style: Style, width: f64) {
        for (index, line) in style.wrapped(text, width).into_iter().enumerate() {
            if index > 0 {
                self.lower((1.3 * style.size).round());
            }
            self.text((x, y), line, style);
        }
    }

    /// The picture in the colours of a theme.
    pub fn themed(mut self, theme: Theme) -> Self {
        if theme == Theme::Dark {
            for shape in &mut self.shapes {
                match shape {
                    Shape::Line { color, .. } | Shape::Polygon { color, .. } => *color = super::theme::dark(*color),
                    Shape::Text { style, .. } => style.color = super::theme::dark(style.color),
                }
            }
            let (width, height) = (f64::from(self.width), f64::from(self.height));
            let corners = vec![(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)];
            let color = super::theme::dark(plotters::style::WHITE.to_rgba());
            self.shapes.insert(0, Shape::Polygon { points: corners, color });
        }
        self
    }

    /// The picture as an SVG document.
    pub fn svg(&self) -> Result<String> {
        let (width, height) = self.subpixels();
        let mut document = String::new();
        self.draw(&mut SVGBackend::with_string(&mut document, (width, height)), name_text)?;
        let oversized = format!(r#"width="{width}" height="{height}""#);
        Ok(document.replacen(&oversized, &format!(r#"width="{}" height="{}""#, self.width, self.height), 1))
    }

    /// The picture as a PNG file.
    pub fn png(&self) -> Result<Vec<u8>> {
        let (width, height) = self.subpixels();
        let mut subpixels = vec![255; width as usize * height as usize * 3];
        self.draw(&mut BitMapBackend::with_buffer(&mut subpixels, (width, height)), paint_text)?;

        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::Best);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&averaged(&subpixels, self.width as usize, self.height as usize))?;
        writer.finish().context("cannot encode the picture")?;
        Ok(file)
    }

    fn subpixels(&self) -> (u32, u32) {
        (self.width * SCALE, self.height * SCALE)
    }

    /// Draws all shapes; text as `set_text` does it.
    fn draw<B: DrawingBackend>(&self, backend: &mut B, set_text: SetText<B>) -> Result<()> {
        let white = plotters::style::WHITE.to_backend_color();
        let (width, height) = self.subpixels();
        backend.ensure_prepared().map_err(failed)?;
        backend.draw_rect((0, 0), (width as i32, height as i32), &white, true).map_err(failed)?;
        for shape in &self.shapes {
            match shape {
                Shape::Line { points, width, color } => {
                    let stroke_width = scaled(*width).round().max(1.0) as u32;
                    let style = ShapeStyle { color: *color, filled: false, stroke_width };
                    backend.draw_path(points.iter().copied().map(subpixel), &style).map_err(failed)?;
                }
                Shape::Polygon { points, color } => {
                    let corners = points.iter().copied().map(subpixel);
                    backend.fill_polygon(corners, &color.to_backend_color()).map_err(failed)?;
                }
                Shape::Text { at, text, style } => set_text(backend, *at, text, style)?,
            }
        }
        backend.present().map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

fn scaled(length: f64) -> f64 {
    length * f64::from(SCALE)
}

fn subpixel((x, y): Point) -> (i32, i32) {
    (scaled(x).round() as i32, scaled(y).round() as i32)
}

/// Sets a text with its baseline at a point.
type SetText<B> = fn(&mut B, Point, &str, &Style) -> Result<()>;

/// The embedded font by the names under which an SVG viewer may have it. Verdana has the same widths.
const FAMILY: FontFamily<'static> = FontFamily::Name("DejaVu Sans, Verdana, sans-serif");

static NORMAL: LazyLock<FontRef<'static>> =
    LazyLock::new(|| embedded(include_bytes!("../../assets/DejaVuSans-subset.ttf")));
static BOLD: LazyLock<FontRef<'static>> =
    LazyLock::new(|| embedded(include_bytes!("../../assets/DejaVuSans-Bold-subset.ttf")));

fn embedded(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the embedded font is valid")
}

/// Leaves the letters to whoever shows the picture. plotters-svg writes font-size = size / 1.24, and for a text anchored
/// at its top, dy = 0.76em.
fn name_text<B: DrawingBackend>(backend: &mut B, (x, y): Point, text: &str, style: &Style) -> Result<()> {
    let rise = 0.76 * style.size;
    let (at, turn) = match style.vertical {
        true => ((x - rise, y), FontTransform::Rotate270),
        false => ((x, y - rise), FontTransform::None),
    };
    let anchor = match style.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = FontDesc::new(FAMILY, 1.24 * scaled(style.size), weight).transform(turn);
    backend.draw_text(text, &font.color(&style.color).pos(Pos::new(anchor, VPos::Top)), subpixel(at)).map_err(failed)
}

/// Fills the letters sub-pixel by sub-pixel.
fn paint_text<B: DrawingBackend>(backend: &mut B, (x, y): Point, text: &str, style: &Style) -> Result<()> {
    let (glyphs, width) = style.glyphs(text);
    let start = match style.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -0.5 * width,
        Anchor::End => -width,
    };
    let origin = subpixel((x, y));
    for (glyph, place) in glyphs {
        let offset = point(scaled(start + place) as f32, 0.0);
        let Some(outline) =
            style.face().outline_glyph(glyph.with_scale_and_position(style.px_scale(SCALE.into()), offset))
        else {
            continue;
        };
        let corner = outline.px_bounds().min;
        let mut painted = Ok(());
        outline.draw(|column, row, coverage| {
            let (right, down) = (corner.x as i32 + column as i32, corner.y as i32 + row as i32);
            let (right, down) = if style.vertical { (down, -right) } else { (right, down) };
            let color = style.color.mix(coverage.min(1.0).into()).to_backend_color();
            if painted.is_ok() {
                painted = backend.draw_pixel((origin.0 + right, origin.1 + down), color);
            }
        });
        painted.map_err(failed)?;
    }
    Ok(())
}

/// The mean of every `SCALE` x `SCALE` block of an RGB image; `width` and `height` are those of the result.
fn averaged(subpixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let scale = SCALE as usize;
    let area = SCALE * SCALE;
    let stride = width * scale * 3;
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let rows = &subpixels[y * scale * stride..][..scale * stride];
        for x in 0..width {
            for channel in 0..3 {
                let sum: u32 = rows
                    .chunks_exact(stride)
                    .flat_map(|row| row[x * scale * 3 + channel..].iter().step_by(3).take(scale))
                    .map(|&value| u32::from(value))
                    .sum();
                pixels.push(((sum + area / 2) / area) as u8);
            }
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::style::BLACK;

    /// Position (left, top, right, bottom) of everything that is not white.
    fn inked(scene: &Scene) -> (usize, usize, usize, usize) {
        let file = scene.png().unwrap();
        let mut reader = png::Decoder::new(file.as_slice()).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        reader.next_frame(&mut pixels).unwrap();
        let width = scene.width as usize;
        let dark = pixels.chunks(3).enumerate().filter(|(_, rgb)| rgb[0] < 128).map(|(i, _)| (i % width, i / width));
        dark.fold((usize::MAX, usize::MAX, 0, 0), |(left, top, right, bottom), (x, y)| {
            (left.min(x), top.min(y), right.max(x), bottom.max(y))
        })
    }

    #[test]
    fn text_stands_on_its_baseline_and_is_as_wide_as_it_claims() {
        let style = Style::new(40.0, BLACK.to_rgba());
        let mut scene = Scene::new(200, 100);
        scene.text((20.0, 70.0), "HEH", style);
        let (left, top, right, bottom) = inked(&scene);
        assert!(bottom.abs_diff(69) <= 1, "baseline at {bottom}");
        assert!(top.abs_diff(70 - 29) <= 1, "capitals are 0.73 em high; top at {top}");
        let middle = 20.0 + 0.5 * style.width("HEH");
        assert!(((left + right) as f64 / 2.0 - middle).abs() <= 1.0, "centred in its width: {left}..{right}");

        let mut scene = Scene::new(100, 200);
        scene.text((70.0, 100.0), "HEH", style.vertical().anchor(Anchor::Middle));
        let (left, top, right, bottom) = inked(&scene);
        assert!(right.abs_diff(69) <= 1 && left.abs_diff(41) <= 1, "reads upwards: {left}..{right}");
        assert!((top + bottom).abs_diff(199) <= 2, "centred: {top}..{bottom}");
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        let style = Style::new(20.0, BLACK.to_rgba());
        assert_eq!(style.fitted("sgd", 100.0), "sgd");
        let fitted = style.fitted("heavy-ball m=0.9 ema, batch 64", 150.0);
        assert!(fitted.ends_with('…') && style.width(&fitted) <= 150.0, "{fitted}");
    }

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
