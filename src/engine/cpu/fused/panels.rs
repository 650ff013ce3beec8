//! The layout of a network's parameters in panels, and the way into it and back.
//!
//! A layer is W^T cut into panels of [`PANEL`] outputs, each with one row for every input, then the biases. Inputs and
//! outputs are padded to whole panels with zeros, which every update rule leaves at zero: the gradient there is a sum of
//! products with zeros, and the minimum and the direction are zero too.

use crate::kernels::perceptron::{Perceptron, PerceptronLayer};
use crate::math::vector::PANEL;

/// One dense layer, its shape and its place in the vector of all parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PanelLayer {
    pub inputs: usize,
    pub outputs: usize,
    /// Inputs and outputs, padded.
    pub depth: usize,
    pub width: usize,
    /// Where the panels begin, `width / PANEL` of `depth` x [`PANEL`] elements.
    pub weight: usize,
    /// Where the biases begin, `width` of them.
    pub bias: usize,
    flat: PerceptronLayer,
}

impl PanelLayer {
    /// Elements of one panel.
    pub fn stride(&self) -> usize {
        self.depth * PANEL
    }

    fn end(&self) -> usize {
        self.bias + self.width
    }
}

/// All layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub layers: Vec<PanelLayer>,
}

impl Layout {
    pub fn new(model: &Perceptron) -> Self {
        let mut weight = 0;
        let layers = model.layers.iter().map(|flat| {
            let (inputs, outputs) = (flat.inputs, flat.outputs);
            let (depth, width) = (inputs.next_multiple_of(PANEL), outputs.next_multiple_of(PANEL));
            let bias = weight + depth * width;
            let layer = PanelLayer { inputs, outputs, depth, width, weight, bias, flat: *flat };
            weight = layer.end();
            layer
        });
        Self { layers: layers.collect() }
    }

    /// Elements of a vector of all parameters in panels.
    pub fn len(&self) -> usize {
        self.layers.last().map_or(0, PanelLayer::end)
    }

    /// Where in panels the parameters end that lie before the place `flat` of a flat vector, which is the end of a layer.
    pub fn position(&self, flat: usize) -> usize {
        self.layers.iter().find(|layer| layer.flat.weight == flat).map_or(self.len(), |layer| layer.weight)
    }

    /// A flat vector (PyTorch's layout) in panels.
    pub fn pack(&self, flat: &[f64]) -> Vec<f32> {
        let mut packed = vec![0.0; self.len()];
        self.visit(|at, from| packed[at] = flat[from] as f32);
        packed
    }

    /// The flat vector that lies in panels.
    pub fn unpack(&self, packed: &[f32]) -> Vec<f64> {
        let parameters = self.layers.iter().map(|layer| layer.outputs * (layer.inputs + 1)).sum();
        let mut flat = vec![0.0; parameters];
        self.visit(|at, from| flat[from] = f64::from(packed[at]));
        flat
    }

    /// Every parameter's index in panels, and in the flat vector.
    fn visit(&self, mut each: impl FnMut(usize, usize)) {
        for layer in &self.layers {
            for output in 0..layer.outputs {
                let (panel, column) = (output / PANEL, output % PANEL);
                for input in 0..layer.inputs {
                    let at = layer.weight + panel * layer.stride() + input * PANEL + column;
                    each(at, layer.flat.weight + output * layer.inputs + input);
                }
                each(layer.bias + output, layer.flat.bias + output);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::Activation;

    /// 17 inputs and 18 outputs: two panels, of which the second has two outputs, over 32 rows.
    #[test]
    fn parameters_lie_where_the_layout_says() {
        let layout = Layout::new(&Perceptron::new(17, &[18], 3, Activation::Tanh));
        let flat: Vec<f64> = (0..18 * 17 + 18 + 3 * 18 + 3).map(|i| f64::from(i) + 1.0).collect();
        let packed = layout.pack(&flat);
        assert_eq!((layout.len(), packed.len()), (2 * 32 * 16 + 32 + 32 * 16 + 16, layout.len()));
        // Output 16 of the first layer from input 5: the first column of the second panel.
        assert_eq!(packed[32 * 16 + 5 * 16], (16 * 17 + 5) as f32 + 1.0);
        assert_eq!(packed[2 * 32 * 16 + 17], (18 * 17 + 17) as f32 + 1.0, "the last bias of the first layer");
        assert_eq!(packed.iter().filter(|x| **x != 0.0).count(), flat.len(), "all else is zero");
        assert_eq!(layout.unpack(&packed), flat);
    }
}
