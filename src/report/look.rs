//! How series look on a page: the same as in pictures ([`crate::plot::look`]), in the words of style sheets and scripts.

use crate::plot::look::{Look, panels};
use serde::Serialize;

/// Colour, symbol and dash of a series.
#[derive(Serialize)]
pub struct PageLook {
    color: String,
    symbol: &'static str,
    dash: String,
}

impl From<Look> for PageLook {
    fn from(look: Look) -> Self {
        Self { color: look.css(), symbol: look.marker.name(), dash: look.dash.css() }
    }
}

/// Series that are drawn together.
#[derive(Serialize)]
pub struct PagePanel {
    /// Their rule; empty where all stand in one panel.
    name: String,
    /// Places of the series.
    series: Vec<usize>,
}

impl PagePanel {
    /// The panels of series of these rules.
    pub fn of(families: &[&str]) -> Vec<Self> {
        panels(families).into_iter().map(|(name, series)| Self { name: name.to_owned(), series }).collect()
    }
}
