//! `gather`: copies the samples of every lane's minibatch, and their labels, to where the products read them; augmented
//! where the run asks for it.
//!
//! ```text
//! inputs[lane][row]  = data[order[lane_steps[step][lane].rows + row]]
//! labels[lane][row]  = data_labels[order[lane_steps[step][lane].rows + row]]
//! ```
//!
//! Lanes that visit the same rows read the same row numbers. Augmented, a row number is a [`Draw`], and the image is cut
//! out of itself with zeros around it, and mirrored after that:
//!
//! ```text
//! input(c, y, x) = image(c, y + down - crop, (flip ? width - 1 - x : x) + right - crop), 0 beyond the image's edges
//! ```
//!
//! Bindings of `gather.wgsl`, one invocation per element:
//! - `lane_steps`: steps x lanes
//! - `order`: row numbers of the data, batch after batch, at most steps x lanes x rows
//! - `data`: samples x `stride`
//! - `data_labels`: samples
//! - `inputs`: lanes x rows x features
//! - `labels`: lanes x rows

use super::{Call, Kernel, LANE_STEP, LaneStep, read, read_write, shader, shared_struct};
use crate::batch::{Augmentation, DOWN, Draw, RIGHT, ROW_BITS};
use crate::math::Shape;

shared_struct! {
    /// Immediates of `gather.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// Rows of a minibatch.
        pub rows: u32,
        pub channels: u32,
        pub height: u32,
        pub width: u32,
        /// Numbers from one sample of the data to the next one.
        pub stride: u32,
        /// [`Augmentation::crop`].
        pub crop: u32,
    }
}

/// Elements per workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "gather",
    files: &[shader!("gather.wgsl"), LANE_STEP],
    bindings: &[
        read("lane_steps"),
        read("order"),
        read("data"),
        read("data_labels"),
        read_write("inputs"),
        read_write("labels"),
    ],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[],
    constants: &[
        ("WORKGROUP", WORKGROUP as f64),
        ("ROW_BITS", ROW_BITS as f64),
        ("DOWN", DOWN as f64),
        ("RIGHT", RIGHT as f64),
    ],
    variants: &["AUGMENTED"],
};

/// The values of [`KERNEL`]'s variants.
pub fn variant(augmentation: Augmentation) -> [(&'static str, f64); 1] {
    [("AUGMENTED", f64::from(u8::from(!augmentation.is_none())))]
}

/// For samples of `shape` that lie one after the other.
pub fn params(lanes: usize, rows: usize, shape: Shape, augmentation: Augmentation) -> Params {
    let Shape { channels, height, width } = shape;
    Params {
        step: 0,
        lanes: lanes as u32,
        rows: rows as u32,
        channels: channels as u32,
        height: height as u32,
        width: width as u32,
        stride: shape.elements() as u32,
        crop: augmentation.crop as u32,
    }
}

/// `buffers`: lane_steps, order, data, data_labels, inputs, labels.
pub fn call<B>(augmentation: Augmentation, params: &Params, buffers: [B; 6]) -> Call<B> {
    let Params { rows, channels, height, width, .. } = *params;
    let workgroups = [(rows * channels * height * width).div_ceil(WORKGROUP as u32), params.lanes, 1];
    Call::new(&KERNEL, &variant(augmentation), buffers, params, workgroups, 0)
}

/// One lane's minibatch: replaces `inputs` (draws x features) and `labels` (draws) by what `draws` make of the data, whose
/// samples have this `shape`. Without augmentation draws are row numbers.
pub fn cpu<T: Copy + Default>(
    draws: &[u32],
    augmentation: Augmentation,
    shape: Shape,
    data: &[T],
    data_labels: &[u32],
    inputs: &mut Vec<T>,
    labels: &mut Vec<u32>,
) {
    inputs.clear();
    labels.clear();
    for draw in draws {
        let plain = augmentation.is_none();
        let draw = if plain { Draw { row: *draw as usize, ..Draw::from(0) } } else { Draw::from(*draw) };
        let sample = &data[draw.row * shape.elements()..][..shape.elements()];
        if plain {
            inputs.extend_from_slice(sample);
        } else {
            sample
                .chunks_exact(shape.pixels())
                .for_each(|channel| cut(channel, shape, draw, augmentation.crop, inputs));
        }
        labels.push(data_labels[draw.row]);
    }
}

/// Appends what a draw makes of one channel.
fn cut<T: Copy + Default>(channel: &[T], shape: Shape, draw: Draw, crop: usize, inputs: &mut Vec<T>) {
    let Shape { height, width, .. } = shape;
    let Draw { flip, down, right, .. } = draw;
    for y in 0..height {
        let row = (y + down).checked_sub(crop).filter(|row| *row < height);
        inputs.extend((0..width).map(|x| {
            let column = (if flip { width - 1 - x } else { x } + right).checked_sub(crop);
            match (row, column.filter(|column| *column < width)) {
                (Some(row), Some(column)) => channel[row * width + column],
                _ => T::default(),
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked by hand, of the two channels 1 2 3 / 4 5 6 and 7 8 9 / 10 11 12.
    #[test]
    fn images_are_cut_and_then_mirrored() {
        let data: Vec<i32> = (0..12).chain(1..13).collect();
        let (shape, augmentation) = (Shape::new(2, 2, 3), Augmentation { flip: true, crop: 1 });
        let image = |flip: u32, down: u32, right: u32| {
            let (mut inputs, mut labels) = (Vec::new(), Vec::new());
            let draw = 1 | flip << ROW_BITS | down << DOWN | right << RIGHT;
            cpu(&[draw], augmentation, shape, &data, &[3, 4], &mut inputs, &mut labels);
            assert_eq!(labels, [4]);
            inputs
        };
        assert_eq!(image(0, 1, 1), data[12..], "the middle");
        assert_eq!(image(1, 1, 1), [3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10]);
        assert_eq!(image(0, 0, 0), [0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 7, 8]);
        assert_eq!(image(0, 2, 2), [5, 6, 0, 0, 0, 0, 11, 12, 0, 0, 0, 0]);
        assert_eq!(image(1, 2, 2), [0, 6, 5, 0, 0, 0, 0, 12, 11, 0, 0, 0]);
        assert_eq!(image(1, 1, 0), [2, 1, 0, 5, 4, 0, 8, 7, 0, 11, 10, 0]);
    }
}
