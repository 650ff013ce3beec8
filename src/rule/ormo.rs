//! Ordered momentum (OrMo): gradients are put into buckets of K, the number of workers, in the order in which their weights
//! were read, and a late one is weighted as if it had come with its bucket. With I the present bucket and b the gradient's:
//! at the first gradient of a bucket x -= lr m v, v = m v; then v += m^(I-b) (1-d) g and
//! x -= lr (1-d) (1 - m^(I-b+1)) / (1 - m) g, which keeps x = x_0 - lr sum_g (1-d) (1 - m^(I-b+1)) / (1 - m) g.
//!
//! Source: Shi et al., arXiv:2407.19234, for the weights of late gradients. Its listing was not at hand for the borders of
//! the buckets: here bucket 0 is the first K gradients, all taken at x_0, and every later one the next K, so that in turn
//! over K workers it is heavy-ball over buckets.

use super::{Action, Arrival, Dampening, Definition, Locality, MomentumDefaults, Rule};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "ormo",
    summary: "heavy-ball over buckets of gradients, a late one weighted as if it had come in order: OrMo",
    number: None,
    momentum: Some(MomentumDefaults { momentum: 0.9, dampenings: &[Dampening::Ema] }),
    workers: true,
    slot_velocity: false,
    update: |rule, arrival, _| Action::update(coefficients(rule, arrival)),
    locality: Locality::Scales,
    equation: |_, _| None,
    synchronous_gain: None,
};

fn coefficients(rule: &Rule, arrival: &Arrival) -> UpdateCoefficients {
    let Rule { momentum, .. } = *rule;
    let workers = u64::from(arrival.workers);
    let bucket = |version: u64| version.div_ceil(workers);
    let lateness = (bucket(arrival.updates) - bucket(arrival.updates - arrival.age)) as f64;
    let weight = 1.0 - rule.dampening;
    let gradient_to_velocity = weight * momentum.powf(lateness);
    let total = weight * (1.0 - momentum.powf(lateness + 1.0)) / (1.0 - momentum);
    let opens = arrival.updates > 0 && bucket(arrival.updates) > bucket(arrival.updates - 1);
    if opens {
        // The velocity that is applied holds `gradient_to_velocity` of this gradient already.
        UpdateCoefficients {
            momentum,
            gradient_to_velocity,
            gradient_to_weights: total - gradient_to_velocity,
            velocity_to_weights: 1.0,
            ..UpdateCoefficients::default()
        }
    } else {
        UpdateCoefficients {
            momentum: 1.0,
            gradient_to_velocity,
            gradient_to_weights: total,
            velocity_to_weights: 0.0,
            ..UpdateCoefficients::default()
        }
    }
}
