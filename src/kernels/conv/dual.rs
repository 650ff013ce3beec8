//! Convolutions of dual numbers by those of their parts: (a + a' e) (b + b' e) = a b + (a' b + a b') e.

use super::{Backward, Buffers, Convolution, Forward};
use crate::math::vector::Pieces;
use num_dual::Dual64;

/// Values, and derivatives.
fn parts(numbers: &[Dual64]) -> [Vec<f64>; 2] {
    [numbers.iter().map(|x| x.re).collect(), numbers.iter().map(|x| x.eps).collect()]
}

/// Sets numbers to values and the sum of two parts of their derivatives.
fn join(numbers: &mut [Dual64], [values, one, two]: [&[f64]; 3]) {
    for (number, (value, (one, two))) in numbers.iter_mut().zip(values.iter().zip(one.iter().zip(two))) {
        *number = Dual64::new(*value, one + two);
    }
}

impl Convolution {
    /// [`Self::forward`].
    pub(super) fn forward_dual(&self, at: Forward<Dual64>, buffers: &mut Buffers<f64>, pieces: Pieces) {
        let Forward { input, weight, bias, then, output } = at;
        let [[x, dx], [w, dw]] = [input, weight].map(parts);
        let [b, db] = bias.map(parts).map_or([None, None], |parts| parts.map(Some));
        let [value, one, two] = [(&x, &w, &b), (&dx, &w, &db), (&x, &dw, &None)].map(|(input, weight, bias)| {
            let mut made = vec![0.0; output.len()];
            let at = Forward { input, weight, bias: bias.as_deref(), then: None, output: &mut made };
            self.forward_in(at, buffers, pieces);
            made
        });
        join(output, [&value, &one, &two]);
        then.iter().for_each(|then| then.alter(output, pieces));
    }

    /// [`Self::backward`].
    pub(super) fn backward_dual(&self, at: Backward<Dual64>, buffers: &mut Buffers<f64>, pieces: Pieces) {
        let Backward { input, weight, delta, of_weight, of_bias, below } = at;
        let [[x, dx], [w, dw], [d, dd]] = [input, weight, delta].map(parts);
        let mut biases = vec![0.0; self.output.channels];
        let mut back = |input: &[f64], weight: &[f64], delta: &[f64], of_bias: &mut [f64]| {
            let mut of_weight = vec![0.0; weight.len()];
            let mut under = below.as_ref().map(|below| vec![0.0; below.len()]);
            let of = (&mut of_weight, Some(of_bias), under.as_deref_mut());
            let at = Backward { input, weight, delta, of_weight: of.0, of_bias: of.1, below: of.2 };
            self.backward_in(at, buffers, pieces);
            (of_weight, under.unwrap_or_default())
        };
        let mut slopes = biases.clone();
        let value = back(&x, &w, &d, &mut biases);
        let one = back(&x, &w, &dd, &mut slopes);
        let two = back(&dx, &dw, &d, &mut biases.clone());
        join(of_weight, [&value.0, &one.0, &two.0]);
        if let Some(of_bias) = of_bias {
            join(of_bias, [&biases, &slopes, &vec![0.0; biases.len()]]);
        }
        if let Some(below) = below {
            join(below, [&value.1, &one.1, &two.1]);
        }
    }
}
