//! The direct way beside written-out windows in f64, for any shape, every instruction set, and shared by threads.

use super::super::Scratch;
use super::*;
use crate::math::vector::Instructions;
use crate::math::{KERNEL_F32, close};
use proptest::prelude::*;
use strum::IntoEnumIterator;

/// Numbers in (-1, 1) that look random.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(f64::from((*state >> 40) as f32) / f64::from(1u32 << 23) - 1.0)
    };
    let mut state = seed;
    (0..count).filter_map(|_| next(&mut state)).collect()
}

fn narrow(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|x| *x as f32).collect()
}

/// Output, gradients of weight and bias, delta of the input, in f32.
fn both_ways(convolution: Convolution, rows: usize, scratch: &mut Scratch<f32>) -> [Vec<f32>; 4] {
    let Operands { input, weight, bias, delta } = Operands::of(convolution, rows);
    let [input, weight, bias, delta] = [&input, &weight, &bias, &delta].map(|numbers| narrow(numbers));
    // What is there before does not matter.
    let mut made = vec![f32::NAN; delta.len()];
    let Scratch { direct, pieces, .. } = scratch;
    convolution.forward_direct(&input, &weight, Some(&bias), &mut made, direct, *pieces);
    let [mut of_weight, mut of_bias, mut below] = [&weight, &bias, &input].map(|like| vec![f32::NAN; like.len()]);
    let gradients = Gradients { weight: &mut of_weight, bias: Some(&mut of_bias), below: Some(&mut below) };
    convolution.backward_direct(&input, &weight, &delta, gradients, direct, *pieces);
    [made, of_weight, of_bias, below]
}

struct Operands {
    input: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    delta: Vec<f64>,
}

impl Operands {
    /// Numbers that f32 holds.
    fn of(convolution: Convolution, rows: usize) -> Self {
        let Convolution { input, output, .. } = convolution;
        Self {
            input: numbers(rows * input.elements(), 1),
            weight: numbers(output.channels * convolution.depth(), 2),
            bias: numbers(output.channels, 3),
            delta: numbers(rows * output.elements(), 4),
        }
    }
}

/// Oracle: written-out windows in f64.
fn by_windows(convolution: Convolution, rows: usize) -> [Vec<f64>; 4] {
    let Operands { input, weight, bias, delta } = Operands::of(convolution, rows);
    let mut scratch = Scratch::default();
    let mut made = vec![0.0; delta.len()];
    convolution.forward(&input, &weight, Some(&bias), &mut made, &mut scratch);
    let [mut of_weight, mut of_bias, mut below] = [&weight, &bias, &input].map(|like| vec![0.0; like.len()]);
    let to_bias = Some(&mut of_bias[..]);
    convolution.backward(&input, &weight, &delta, &mut of_weight, to_bias, Some(&mut below), &mut scratch);
    [made, of_weight, of_bias, below]
}

fn convolution([channels, height, width, outputs]: [usize; 4], window: Window) -> Option<Convolution> {
    let shape = |height, width| Shape { channels: outputs, height, width };
    let output = shape(window.places(height)?, window.places(width)?);
    Some(Convolution { input: Shape { channels, height, width }, output, window })
}

fn check(convolution: Convolution, rows: usize, instructions: Instructions) {
    let mut scratch = Scratch::default();
    scratch.pieces.instructions = instructions;
    let (found, expected) = (both_ways(convolution, rows, &mut scratch), by_windows(convolution, rows));
    for (what, (found, expected)) in ["forward", "weight", "bias", "below"].iter().zip(found.iter().zip(&expected)) {
        let what = format!("{what} of {rows} x {convolution:?}, {instructions}");
        // Gradients are sums of up to thousands of terms that cancel in part.
        close(&what, found, expected, 3.0 * KERNEL_F32).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_shape_makes_what_written_out_windows_make_in_f64(
        channels in 1usize..40, height in 1usize..20, width in 1usize..20, outputs in 1usize..40,
        kernel in 1usize..6, stride in 1usize..4, padding in 0usize..5, rows in 1usize..12,
    ) {
        let window = Window { kernel, stride, padding: padding.min(kernel - 1) };
        if let Some(convolution) = convolution([channels, height, width, outputs], window) {
            assert!(convolution.can_be_direct());
            for instructions in Instructions::iter().filter(|set| set.are_there()) {
                check(convolution, rows, instructions);
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
        let mut scratch = Scratch::default();
        scratch.pieces.parallel = parallel;
        // What an earlier convolution leaves in the buffers changes nothing.
        both_ways(convolution, rows + 5, &mut scratch);
        both_ways(convolution, rows, &mut scratch).map(|made| made.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
    });
    assert_eq!(alone, shared);
}
