//! A picture as a list of shapes, in pixels of a canvas with its origin at the top left. Not here: what becomes of it ([`super::render`]).

pub use super::letters::{Anchor, Style};
pub use super::marks::{Dash, Marker, Point};
use plotters::style::{Color, RGBAColor};

/// Shapes in drawing order, later ones on top.
#[derive(Clone, Debug)]
pub struct Scene {
    pub(super) width: u32,
    pub(super) height: u32,
    /// How much lower than where it is put everything is drawn from now on, pixels.
    lowered: f64,
    pub(super) shapes: Vec<Shape>,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    Line { points: Vec<Point>, width: f64, color: RGBAColor, dash: Dash },
    Polygon { points: Vec<Point>, color: RGBAColor },
    Text { at: Point, text: String, style: Style },
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
        self.dashed(points, width, color, Dash::Solid);
    }

    pub fn dashed(&mut self, points: impl Into<Vec<Point>>, width: f64, color: impl Color, dash: Dash) {
        let (points, color) = (self.placed(points.into()), color.to_rgba());
        if points.len() > 1 {
            self.shapes.push(Shape::Line { points, width, color, dash });
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
    pub fn fixed_text(&mut self, at: Point, text: impl Into<String>, style: Style) {
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

    /// The picture with other colours, on a ground of its own.
    pub fn recolored(mut self, ground: RGBAColor, other: impl Fn(RGBAColor) -> RGBAColor) -> Self {
        for shape in &mut self.shapes {
            match shape {
                Shape::Line { color, .. } | Shape::Polygon { color, .. } => *color = other(*color),
                Shape::Text { style, .. } => style.color = other(style.color),
            }
        }
        let (width, height) = (f64::from(self.width), f64::from(self.height));
        let corners = vec![(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)];
        self.shapes.insert(0, Shape::Polygon { points: corners, color: ground });
        self
    }
}
