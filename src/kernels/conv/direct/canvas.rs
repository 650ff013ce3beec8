//! Images pixel by pixel with a border, and the way there and back from images channel by channel.

use crate::math::Shape;
use crate::math::vector::tile::{At, Lines, ROWS, Rows};
use crate::math::vector::{PANEL, transpose};
use pulp::Simd;

/// An image with its border, pixel by pixel, and a window that slides over it.
#[derive(Clone, Copy)]
pub struct Canvas {
    pub height: usize,
    pub width: usize,
    /// Numbers of a pixel.
    pub channels: usize,
    pub kernel: usize,
}

impl Canvas {
    pub fn pitch(self) -> usize {
        self.width * self.channels
    }

    pub fn len(self) -> usize {
        self.height * self.pitch()
    }

    /// Numbers of a window.
    pub fn depth(self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    pub fn lines(self) -> Lines {
        Lines { count: self.kernel, pitch: self.pitch() }
    }

    pub fn window<'a>(self, data: &'a [f32], starts: &'a [usize], rows: usize) -> Rows<'a, At<'a>> {
        debug_assert!(starts.len() >= rows);
        Rows { data, starts: At(starts), width: self.kernel * self.channels }
    }

    /// Where the pixels of `samples` grids begin, `step` apart from `first` on in both directions; then the last of them again until
    /// they are a multiple of [`ROWS`].
    pub fn grid(self, shape: Shape, [first, step]: [usize; 2], samples: usize) -> Vec<usize> {
        let mut starts = Vec::with_capacity((samples * shape.pixels()).next_multiple_of(ROWS));
        for sample in 0..samples {
            for y in 0..shape.height {
                let line = sample * self.len() + (first + y * step) * self.pitch();
                starts.extend((0..shape.width).map(|x| line + (first + x * step) * self.channels));
            }
        }
        let last = starts.last().copied().unwrap_or(0);
        starts.resize(starts.len().next_multiple_of(ROWS), last);
        starts
    }
}

/// Lays the planes of a sample, channels x `pixels`, on its canvas, where pixel i begins at `starts[i]`.
#[inline(always)]
pub fn from_planes<S: Simd>(simd: S, planes: &[f32], pixels: usize, canvas: &mut [f32], starts: &[usize]) {
    let channels = planes.len() / pixels;
    let (whole_channels, whole_pixels) = (channels - channels % PANEL, pixels - pixels % PANEL);
    let mut block = [0.0; PANEL * PANEL];
    for channel in (0..whole_channels).step_by(PANEL) {
        for pixel in (0..whole_pixels).step_by(PANEL) {
            transpose(simd, &planes[channel * pixels + pixel..], pixels, &mut block, PANEL);
            for (start, numbers) in starts[pixel..].iter().zip(block.chunks_exact(PANEL)) {
                canvas[start + channel..][..PANEL].copy_from_slice(numbers);
            }
        }
    }
    for channel in 0..channels {
        let first = if channel < whole_channels { whole_pixels } else { 0 };
        for pixel in first..pixels {
            canvas[starts[pixel] + channel] = planes[channel * pixels + pixel];
        }
    }
}

/// The planes, channels x `pixels`, of rows of `width` numbers each, one for each pixel.
#[inline(always)]
pub fn to_planes<S: Simd>(simd: S, rows: &[f32], width: usize, planes: &mut [f32], pixels: usize) {
    let channels = planes.len() / pixels;
    let (whole_channels, whole_pixels) = (channels - channels % PANEL, pixels - pixels % PANEL);
    for channel in (0..whole_channels).step_by(PANEL) {
        for pixel in (0..whole_pixels).step_by(PANEL) {
            let to = &mut planes[channel * pixels + pixel..];
            transpose(simd, &rows[pixel * width + channel..], width, to, pixels);
        }
    }
    for channel in 0..channels {
        let first = if channel < whole_channels { whole_pixels } else { 0 };
        for pixel in first..pixels {
            planes[channel * pixels + pixel] = rows[pixel * width + channel];
        }
    }
}
