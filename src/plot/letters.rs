//! Letters: how a text looks, how wide it is, and where it is broken into lines. Not here: putting it on a picture ([`super::render`]).

use ab_glyph::{Font, FontRef, PxScale, ScaleFont};
use plotters::style::RGBAColor;
use std::sync::LazyLock;

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
    pub fn glyphs(&self, text: &str) -> (Vec<(ab_glyph::GlyphId, f64)>, f64) {
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

    pub fn face(&self) -> &'static FontRef<'static> {
        if self.bold { &BOLD } else { &NORMAL }
    }

    /// The scale at which ab_glyph, which wants ascent plus descent, draws this size with `zoom` sub-pixels per pixel.
    pub fn px_scale(&self, zoom: f64) -> PxScale {
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

static NORMAL: LazyLock<FontRef<'static>> =
    LazyLock::new(|| embedded(include_bytes!("../../assets/DejaVuSans-subset.ttf")));
static BOLD: LazyLock<FontRef<'static>> =
    LazyLock::new(|| embedded(include_bytes!("../../assets/DejaVuSans-Bold-subset.ttf")));

fn embedded(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the embedded font is valid")
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::style::{BLACK, Color};

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        let style = Style::new(20.0, BLACK.to_rgba());
        assert_eq!(style.fitted("sgd", 100.0), "sgd");
        let fitted = style.fitted("heavy-ball m=0.9 ema, batch 64", 150.0);
        assert!(fitted.ends_with('…') && style.width(&fitted) <= 150.0, "{fitted}");
    }

    #[test]
    fn long_text_is_wrapped_between_words_and_loses_none() {
        let style = Style::new(20.0, BLACK.to_rgba());
        let text = "digits · 512 samples · mlp:16 tanh · ce · weight decay 0.001";
        let lines = style.wrapped(text, 240.0);
        assert!(lines.len() > 2 && lines.iter().all(|line| style.width(line) <= 240.0), "{lines:?}");
        assert_eq!(lines.join(" "), text);
    }
}
