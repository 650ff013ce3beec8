//! Pictures: `thresholds` and `rates` of a results folder, what was measured beside theory, a `theory` table alone, a `tuning`, rules beside one of
//! them ([`compare()`]), and those of a `training`.
//!
//! All are laid out from the same parts, so that they look alike: an axis says where a value falls, a panel has an axis
//! below and one to its left, names stand beside the ends of their lines, and a scene renders the whole.
//! Nothing is computed here that the tables do not say. The same rows give the same bytes.

mod axis;
mod compare;
mod compare_training;
mod intervals;
mod letters;
pub mod look;
mod marks;
mod multiples;
mod panel;
mod rates;
mod render;
mod scene;
mod theme;
mod theory;
mod thresholds;
mod training;
mod tuning;

pub use compare::{Drawing, compare};
pub use compare_training::compare_training;
pub use rates::{draw_rates, rates};
pub use theme::Theme;
pub use theory::theory;
pub use thresholds::thresholds;
pub use training::training;
pub use tuning::tuning;

use crate::files::write_whole;
use crate::session::{RUN, UNFINISHED};
use anyhow::{Context, Result};
use plotters::style::{Color, RGBColor};
use scene::{Anchor, Scene, Style};
use std::fs;
use std::path::Path;

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FADED: RGBColor = RGBColor(0x66, 0x66, 0x66);
const GRID: RGBColor = RGBColor(0xe3, 0xe3, 0xe3);
const SHADE: RGBColor = RGBColor(0xf4, 0xf4, 0xf4);
const FRAME: RGBColor = RGBColor(0x99, 0x99, 0x99);
const ALARM: RGBColor = RGBColor(0xb4, 0x23, 0x18);
const BAND: RGBColor = RGBColor(0xd9, 0xea, 0xdf);

/// Width of every picture, pixels.
const WIDTH: u32 = 1600;
/// Left edge of all panels.
const LEFT: f64 = 140.0;
/// Right edge of everything.
const RIGHT: f64 = 1570.0;
/// Top of the first panel.
const TOP: f64 = 136.0;

/// What the axis of delays is called.
const DELAY_TITLE: &str = "delay τ (updates), on a logarithmic scale of τ + 1";

/// The title and the line below it.
fn heading(scene: &mut Scene, title: &str, subtitle: &str) {
    scene.text((LEFT, 62.0), title, Style::new(32.0, INK.to_rgba()).bold());
    scene.paragraph((LEFT, 104.0), subtitle, Style::new(20.0, FADED.to_rgba()), RIGHT - LEFT);
}

/// Writes a picture into `folder` as `<name>.svg` and `<name>.png`, those on a dark ground as `<name>-dark.svg` and so on. Where the
/// folder's run.json says that its job is unfinished, so does the picture. Returns the names of the files.
fn write(scene: &Scene, folder: &Path, name: &str, theme: Theme) -> Result<Vec<String>> {
    let mut scene = scene.clone();
    if let Some(told) = unfinished(folder) {
        let style = Style::new(24.0, ALARM.to_rgba()).bold().anchor(Anchor::End);
        scene.fixed_text((RIGHT, 62.0), format!("unfinished: {told}"), style);
    }
    let scene = theme::themed(scene, theme);
    let name = if theme == Theme::Dark { format!("{name}-dark") } else { name.to_owned() };
    let mut names = vec![];
    for (ending, bytes) in [("svg", scene.svg()?.into_bytes()), ("png", scene.png()?)] {
        names.push(format!("{name}.{ending}"));
        let path = folder.join(&names[names.len() - 1]);
        write_whole(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(names)
}

fn unfinished(folder: &Path) -> Option<String> {
    let run: serde_json::Value = serde_json::from_slice(&fs::read(folder.join(RUN)).ok()?).ok()?;
    Some(run.get(UNFINISHED)?.as_str()?.to_owned())
}
