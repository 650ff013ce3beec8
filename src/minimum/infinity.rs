//! Minima at infinity: without weight decay cross-entropy falls for ever where the weights can grow and separate the samples.

use crate::layer::Op;
use crate::math::Loss;
use crate::problem::network::{FullBatch, Network};

/// Sizes of the last layer's weights, relative to what they are, at which the loss is looked at.
const SIZES: [f64; 6] = [1.5, 2.0, 4.0, 16.0, 128.0, 1024.0];

/// Relative fall of the loss that is more than rounding.
const FALL: f64 = 1e-10;

/// Where the last layer's weights stand in the vector, if the outputs are linear in them: they can then grow alone.
fn last_layer(network: &Network) -> Option<std::ops::Range<usize>> {
    let graph = &network.model.graph;
    let is_dense = matches!(graph.nodes.last()?.op, Op::DenseOp(_));
    let layer = |name: &str| name.rsplit_once('.').map(|(layer, _)| layer.to_owned());
    let last = layer(&graph.tensors.parameters.last()?.name);
    let first = graph.tensors.parameters.iter().find(|tensor| layer(&tensor.name) == last)?;
    is_dense.then(|| first.offset..network.dimension())
}

/// Whether `loss` proves that there is no minimum: a mean of cross-entropies below ln 2 / samples has no sample at ln 2 or more,
/// each gives more than half of the probability to its own class, and the loss falls to 0 as the last layer's weights grow.
pub fn is_separated(network: &Network, loss: f64) -> bool {
    network.weight_decay == 0.0
        && network.loss == Loss::Ce
        && loss * (network.data.samples() as f64) < std::f64::consts::LN_2
        && last_layer(network).is_some()
}

/// A place far away where the loss is smaller, and how many times larger the last layer's weights are there; only where it falls
/// on all of the way, so that no minimum here keeps them back.
pub fn falls_for_ever(network: &Network, batch: &mut FullBatch, weights: &[f64], loss: f64) -> Option<(f64, f64)> {
    if network.weight_decay != 0.0 || network.loss != Loss::Ce {
        return None;
    }
    let last = last_layer(network)?;
    let mut gradient = vec![0.0; weights.len()];
    let mut before = loss;
    for size in SIZES {
        let mut grown = weights.to_vec();
        grown[last.clone()].iter_mut().for_each(|x| *x *= size);
        let here = batch.loss_and_gradient(&grown, &mut gradient);
        // A loss that has fallen to 0 can fall no further.
        if !(here < before || here == 0.0) {
            return None;
        }
        before = here;
    }
    let size = SIZES[SIZES.len() - 1];
    (before < (1.0 - FALL) * loss).then_some((before, size))
}
