//! What convolutions and poolings say of the window that they slide over the pixels: its text and the shape that it leaves.

use super::text::Call;
use crate::math::{Shape, Window};

/// The options of a window, as [`Call::numbers`] takes them.
pub const OPTIONS: [&str; 2] = ["stride=", "pad="];

/// The window of `kernel` x `kernel` pixels that `call` describes.
///
/// # Errors
/// A stride of 0.
pub fn read(call: &Call, kernel: usize, usual_stride: usize) -> Result<Window, String> {
    let stride = call.option("stride").unwrap_or(usual_stride);
    if stride == 0 {
        return Err("'stride=0' is less than 1".into());
    }
    Ok(Window { kernel, stride, padding: call.option("pad").unwrap_or(0) })
}

/// The options that differ from what is usual.
pub fn show(window: Window, usual_stride: usize) -> Vec<String> {
    let Window { stride, padding, .. } = window;
    let stride = (stride != usual_stride).then(|| format!("stride={stride}"));
    let padding = (padding != 0).then(|| format!("pad={padding}"));
    stride.into_iter().chain(padding).collect()
}

/// The shape that a window makes of `input`; the channels stay.
///
/// # Errors
/// Where it does not fit.
pub fn slide(input: Shape, window: Window) -> Result<Shape, String> {
    let Window { kernel, stride, padding } = window;
    if kernel == 0 || stride == 0 {
        return Err(format!("a window of {kernel} with stride {stride}; accepted: both at least 1"));
    }
    let fits = window.places(input.height).zip(window.places(input.width));
    let (height, width) =
        fits.ok_or_else(|| format!("a window of {kernel} x {kernel} with padding {padding} on a value of {input}"))?;
    Ok(Shape { height, width, ..input })
}
