//! The rows of the data that each step sees: the order of minibatches, and random changes of images.
//!
//! *What it is:* made on the host from seeds and followed by every engine, so that engines agree bit for bit. *What it is
//! not:* the data ([`crate::data`]), nor which slot a step reads ([`crate::delay`]).

mod augment;
mod order;
mod rows;

pub use augment::{Augmentation, Draw, MOST_CROP, MOST_ROWS};
pub(crate) use augment::{DOWN, RIGHT, ROW_BITS};
pub use order::{BatchOrder, Sampling};
pub use rows::RowTables;
