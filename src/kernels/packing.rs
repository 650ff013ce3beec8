//! Packed vectors: the layout in which `fused` keeps the parameters of a network, and everything that has as many numbers.
//!
//! For each layer the rows of W^T, padded to a multiple of four rows, then the bias; each row padded to a multiple of four outputs:
//! so a vec4 is what four outputs have of one input. Padding is 0.
//!
//! Not a kernel: vectors are packed on the host, once, and stay so on the device.

use crate::kernels::perceptron::Perceptron;

/// vec4s that hold `width` numbers.
pub fn quads(width: usize) -> usize {
    width.div_ceil(4)
}

/// `width` and its padding to whole vec4s.
pub fn padded(width: usize) -> usize {
    4 * quads(width)
}

/// Where every parameter of a flat vector lies in a packed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    /// The place of each parameter.
    places: Vec<usize>,
    /// Where the parameters of each layer begin.
    pub weights: Vec<usize>,
    /// Numbers of a packed vector.
    length: usize,
}

impl Packing {
    pub fn of(model: &Perceptron) -> Self {
        let mut places = vec![0; model.parameters()];
        let (mut weights, mut length) = (Vec::new(), 0);
        for layer in &model.layers {
            let stride = padded(layer.outputs);
            let bias = length + padded(layer.inputs) * stride;
            for output in 0..layer.outputs {
                for input in 0..layer.inputs {
                    places[layer.weight + output * layer.inputs + input] = length + input * stride + output;
                }
                places[layer.bias + output] = bias + output;
            }
            weights.push(length);
            length = bias + stride;
        }
        Self { places, weights, length }
    }

    /// That of vectors which are stored as they are.
    pub fn none(parameters: usize) -> Self {
        Self { places: (0..parameters).collect(), weights: Vec::new(), length: parameters }
    }

    /// Numbers of a packed vector, padding included.
    pub fn length(&self) -> usize {
        self.length
    }

    /// vec4s of a packed vector.
    pub fn quads(&self) -> usize {
        self.length / 4
    }

    /// Where in a packed vector the parameters end that lie before the place `flat` of a flat one, which is the end of a layer.
    pub fn position(&self, flat: usize) -> usize {
        match self.places.get(flat) {
            // Of a layer the first weight lies first.
            Some(place) => *place,
            None => self.length,
        }
    }

    /// `flat` in f32, packed; P numbers, of which none may be missing.
    pub fn pack(&self, flat: &[f64]) -> Vec<f32> {
        assert_eq!(flat.len(), self.places.len(), "numbers to pack");
        let mut packed = vec![0.0; self.length];
        for (place, value) in self.places.iter().zip(flat) {
            packed[*place] = *value as f32;
        }
        packed
    }

    /// The P numbers of a packed vector.
    pub fn unpack(&self, packed: &[f32]) -> Vec<f64> {
        self.places.iter().map(|place| f64::from(packed[*place])).collect()
    }
}

/// `rows` (each `width` long) with every row padded to whole vec4s.
pub fn pad_rows(rows: &[f32], width: usize) -> Vec<f32> {
    let pad = vec![0.0; padded(width) - width];
    rows.chunks_exact(width).flat_map(|row| row.iter().chain(&pad)).copied().collect()
}

/// A network of these widths, from inputs to outputs.
#[cfg(test)]
pub(super) fn model(widths: &[usize]) -> Perceptron {
    let (inputs, rest) = widths.split_first().unwrap();
    let (outputs, hidden) = rest.split_last().unwrap();
    Perceptron::new(*inputs, hidden, *outputs, crate::math::Activation::Tanh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_the_transpose_with_its_bias_and_comes_back() {
        // W = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]], b = [11, 12].
        let packing = Packing::of(&model(&[5, 2]));
        let flat: Vec<f64> = (1..=12).map(f64::from).collect();
        let mut rows = [[0f32; 4]; 9];
        (0..5).for_each(|k| rows[k] = [k as f32 + 1.0, k as f32 + 6.0, 0.0, 0.0]);
        rows[8] = [11.0, 12.0, 0.0, 0.0];
        assert_eq!(packing.pack(&flat), rows.concat());

        for widths in [&[1, 1][..], &[4, 4], &[3, 17, 33, 5], &[64, 16, 10]] {
            let model = model(widths);
            let packing = Packing::of(&model);
            let flat: Vec<f64> = (1..=model.parameters()).map(|x| x as f64).collect();
            let packed = packing.pack(&flat);
            assert_eq!(packed.len(), packing.length());
            assert_eq!(packed.iter().filter(|x| **x != 0.0).count(), flat.len());
            assert_eq!(packing.unpack(&packed), flat);
        }
        let flat = [1.0, 2.0, 3.0];
        assert_eq!(Packing::none(3).unpack(&Packing::none(3).pack(&flat)), flat);
    }
}
