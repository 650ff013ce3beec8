//! Planes beside written-out windows in f64, for any shape, every instruction set, and shared by threads.

use super::super::{Backward, Forward, windows};
use super::*;
use crate::math::vector::Instructions;
use crate::math::vector::{Element, Pieces};
use crate::math::{Activation, EXACT, KERNEL_F32, close};
use proptest::prelude::*;
use strum::IntoEnumIterator;

/// Numbers in (-1, 1) that look random, and that f32 holds.
fn numbers<T: Real>(count: usize, seed: u64) -> Vec<T> {
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(T::of(f64::from((*state >> 40) as f32) / f64::from(1u32 << 23) - 1.0))
    };
    let mut state = seed;
    (0..count).filter_map(|_| next(&mut state)).collect()
}

/// Ways through a convolution.
trait Ways<T> {
    fn forward(&mut self, convolution: Convolution, at: Forward<T>);
    fn backward(&mut self, convolution: Convolution, at: Backward<T>);
}

struct Planar<T>(Scratch<T>, Pieces);

impl<T: Element> Ways<T> for Planar<T> {
    fn forward(&mut self, convolution: Convolution, at: Forward<T>) {
        convolution.forward_planar(at, &mut self.0, self.1);
    }
    fn backward(&mut self, convolution: Convolution, at: Backward<T>) {
        convolution.backward_planar(at, &mut self.0, self.1);
    }
}

#[derive(Default)]
struct WrittenOut(windows::Scratch<f64>);

impl Ways<f64> for WrittenOut {
    fn forward(&mut self, convolution: Convolution, at: Forward<f64>) {
        convolution.forward_by_windows(at, &mut self.0, false);
    }
    fn backward(&mut self, convolution: Convolution, at: Backward<f64>) {
        convolution.backward_by_windows(at, &mut self.0, false);
    }
}

/// Output, gradients of weight and bias, delta of the input. What is there before does not matter.
fn both_ways<T: Real>(convolution: Convolution, rows: usize, ways: &mut impl Ways<T>) -> [Vec<T>; 4] {
    let Convolution { input, output, .. } = convolution;
    let inputs = numbers(rows * input.elements(), 1);
    let weight = numbers(output.channels * convolution.depth(), 2);
    let bias = numbers(output.channels, 3);
    let delta = numbers(rows * output.elements(), 4);
    let [mut made, mut of_weight, mut of_bias, mut below] =
        [&delta, &weight, &bias, &inputs].map(|like| vec![T::nan(); like.len()]);
    let then = Some(Activation::LeakyRelu);
    ways.forward(convolution, Forward { input: &inputs, weight: &weight, bias: Some(&bias), then, output: &mut made });
    let backward = Backward {
        input: &inputs,
        weight: &weight,
        delta: &delta,
        of_weight: &mut of_weight,
        of_bias: Some(&mut of_bias),
        below: Some(&mut below),
    };
    ways.backward(convolution, backward);
    [made, of_weight, of_bias, below]
}

fn convolution([channels, height, width, outputs]: [usize; 4], window: Window) -> Option<Convolution> {
    let shape = |height, width| Shape { channels: outputs, height, width };
    let output = shape(window.places(height)?, window.places(width)?);
    Some(Convolution { input: Shape { channels, height, width }, output, window })
}

fn check<T: Element>(convolution: Convolution, rows: usize, instructions: Instructions, tolerance: f64) {
    let pieces = Pieces { instructions, parallel: false };
    let found = both_ways(convolution, rows, &mut Planar::<T>(Scratch::default(), pieces));
    let expected = both_ways(convolution, rows, &mut WrittenOut::default());
    for (what, (found, expected)) in ["forward", "weight", "bias", "below"].iter().zip(found.iter().zip(&expected)) {
        let what = format!("{what} of {rows} x {convolution:?}, {instructions}, {}", T::NAME);
        let found: Vec<f64> = found.iter().map(|x| x.widen()).collect();
        // Windows that lie in the border see nothing.
        if expected.iter().all(|x| *x == 0.0) {
            assert_eq!(&found, expected, "{what}");
            continue;
        }
        close(&what, &found, expected, tolerance).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn any_shape_makes_what_written_out_windows_make_in_f64(
        channels in 1usize..20, height in 1usize..20, width in 1usize..20, outputs in 1usize..20,
        kernel in 1usize..6, stride in 1usize..4, padding in 0usize..7, rows in 1usize..12,
    ) {
        let window = Window { kernel, stride, padding };
        if let Some(convolution) = convolution([channels, height, width, outputs], window) {
            for instructions in Instructions::iter().filter(|set| set.are_there()) {
                // Gradients are sums of up to thousands of terms that cancel in part.
                check::<f32>(convolution, rows, instructions, 3.0 * KERNEL_F32);
                check::<f64>(convolution, rows, instructions, EXACT);
            }
        }
    }
}

#[test]
fn threads_share_groups_without_another_bit() {
    let window = Window { kernel: 3, stride: 2, padding: 1 };
    let convolution = convolution([17, 33, 30, 35], window).unwrap();
    let rows = 21;
    let [alone, shared] = [false, true].map(|parallel| {
        let mut ways = Planar::<f32>(Scratch::default(), Pieces { parallel, ..Pieces::default() });
        // What an earlier convolution leaves in the buffers changes nothing.
        both_ways(convolution, rows + 5, &mut ways);
        both_ways(convolution, rows, &mut ways).map(|made| made.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
    });
    assert_eq!(alone, shared);
}
