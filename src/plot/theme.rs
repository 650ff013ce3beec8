//! The colours of a picture on a dark ground, from those on a light one. Not here: which colour a rule has ([`super::look`]).

use super::look::HUES;
use super::scene::Scene;
use super::{ALARM, BAND, FADED, FRAME, GRID, INK, SHADE};
use plotters::style::{Color, RGBAColor, RGBColor, WHITE};

/// Which ground a picture has. Scenes are made of the colours for a light one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Theme {
    #[default]
    Light,
    Dark,
}

/// The picture in the colours of a theme.
pub fn themed(scene: Scene, theme: Theme) -> Scene {
    match theme {
        Theme::Light => scene,
        Theme::Dark => scene.recolored(dark(WHITE.to_rgba()), dark),
    }
}

/// What is no data, and what takes its place.
const GROUND: [(RGBColor, RGBColor); 8] = [
    (WHITE, RGBColor(0x16, 0x18, 0x1c)),
    (INK, RGBColor(0xe6, 0xe8, 0xeb)),
    (FADED, RGBColor(0xa4, 0xab, 0xb4)),
    (GRID, RGBColor(0x2c, 0x31, 0x38)),
    (SHADE, RGBColor(0x1e, 0x21, 0x26)),
    (FRAME, RGBColor(0x6b, 0x72, 0x7c)),
    (ALARM, RGBColor(0xff, 0x8a, 0x80)),
    (BAND, RGBColor(0x1f, 0x3a, 0x2e)),
];

/// The colour that takes the place of `color`, as opaque as that. Shades of a hue, which stand in no list, become lighter.
fn dark(color: RGBAColor) -> RGBAColor {
    let RGBAColor(r, g, b, opacity) = color;
    let known = GROUND.iter().chain(&HUES).find(|(light, _)| *light == RGBColor(r, g, b));
    let lighter = |value: u8| (f64::from(value) + 0.35 * (255.0 - f64::from(value))).round() as u8;
    known.map_or_else(|| RGBColor(lighter(r), lighter(g), lighter(b)), |(_, dark)| *dark).mix(opacity)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast of two colours by the Web Content Accessibility Guidelines, from 1 to 21.
    fn contrast(a: RGBColor, b: RGBColor) -> f64 {
        let luminance = |RGBColor(r, g, b): RGBColor| {
            let linear = |value: u8| {
                let share = f64::from(value) / 255.0;
                if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
        };
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn text_and_data_stand_out_on_the_dark_ground() {
        let ground = GROUND[0].1;
        assert!((contrast(WHITE, RGBColor(0, 0, 0)) - 21.0).abs() < 1e-9);
        for (_, color) in [GROUND[1], GROUND[2], GROUND[6]] {
            assert!(contrast(color, ground) >= 4.5, "text {color:?}: {}", contrast(color, ground));
        }
        for (light, color) in HUES {
            assert!(contrast(color, ground) >= 3.0, "{light:?} as {color:?}: {}", contrast(color, ground));
        }
        assert_eq!(dark(INK.mix(0.5)), GROUND[1].1.mix(0.5), "as opaque as before");
    }
}
