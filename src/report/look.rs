//! How series look on a page: the same as in pictures ([`crate::plot::look`]), in the words of style sheets and scripts.

use crate::plot::look::Look;
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
