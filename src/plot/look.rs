//! How series look. Which rows belong to them is decided in [`crate::table`].

use super::scene::Marker;
use crate::table::Series;
use plotters::style::RGBColor;

/// A series with its colour and its mark.
#[derive(Clone, Debug)]
pub struct Styled<'a, R> {
    pub name: String,
    pub color: RGBColor,
    pub marker: Marker,
    pub rows: Vec<&'a R>,
}

/// The palette of Okabe and Ito, which people with any kind of colour vision can tell apart; its yellow is left out, as
/// it is too faint on white.
pub const COLORS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x00, 0x00),
];

/// Colour and mark of the series at a place. 7 colours and 8 markers have no common divisor: 56 series pass before a pair
/// returns.
pub fn look(place: usize) -> (RGBColor, Marker) {
    (COLORS[place % COLORS.len()], Marker::ALL[place % Marker::ALL.len()])
}

/// Gives each series a look of its own.
pub fn styled<R>(series: Vec<Series<'_, R>>) -> Vec<Styled<'_, R>> {
    let style = |(place, Series { name, rows }): (usize, _)| {
        let (color, marker) = look(place);
        Styled { name, color, marker, rows }
    };
    series.into_iter().enumerate().map(style).collect()
}

/// The colour of one of `count` series that share a hue, from dark to light.
pub fn shade(hue: RGBColor, place: usize, count: usize) -> RGBColor {
    let RGBColor(r, g, b) = hue;
    // From 35 % black to 45 % white; alone, the hue itself.
    let lightness = if count > 1 { -0.35 + 0.8 * place as f64 / (count - 1) as f64 } else { 0.0 };
    let goal = if lightness > 0.0 { 255.0 } else { 0.0 };
    let channel = |value: u8| (f64::from(value) + lightness.abs() * (goal - f64::from(value))).round() as u8;
    RGBColor(channel(r), channel(g), channel(b))
}
