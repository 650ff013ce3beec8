//! Vectors of the processor: which instructions it has ([`Instructions`]), products in register tiles over matrices that lie in panels
//! ([`tile`]) and over images that lie in planes ([`slide()`] and [`correlate`], in f32 and f64), transposes of square blocks (`transpose`),
//! and loops over arrays ([`Pieces`]). Written once for every instruction set.
//!
//! A *panel* is [`PANEL`] columns of a matrix, row after row; a matrix of more columns is one panel after the other.
//!
//! Not here: what is multiplied: perceptrons ([`crate::engine::cpu`]) and convolutions ([`crate::kernels::conv`]).

mod element;
mod instructions;
mod pieces;
mod slide;
mod span;
pub mod tile;
mod transpose;

pub use element::Element;
pub use instructions::Instructions;
pub use pieces::{Pieces, Work};
pub use slide::{Places, Tiles, correlate, slide, vectors_of_tile};
pub use transpose::transpose;

/// Columns of a panel: the numbers of the widest vector.
pub const PANEL: usize = 16;
