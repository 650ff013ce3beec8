//! `norm`: (x - mean) / sqrt(variance + epsilon) weight + bias, over a channel of the whole batch or groups of channels of a
//! sample, and its gradient.
//!
//! Mean and variance are those of the numbers that are there; the variance is divided by their count, but for the running
//! one, which is unbiased, as in PyTorch.

use super::real::Number;
use crate::problem::Shape;
use crate::problem::model::graph::{EPSILON, FRESHNESS, Over};

/// One norm.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    pub over: Over,
    /// Of a sample.
    pub shape: Shape,
}

/// What a forward pass leaves for the way back, for every set of numbers that has a mean of its own.
#[derive(Clone, Debug)]
pub struct Moments<T> {
    mean: Vec<T>,
    variance: Vec<T>,
    /// 1 / sqrt(variance + epsilon)
    scale: Vec<T>,
}

impl<T> Default for Moments<T> {
    fn default() -> Self {
        Self { mean: Vec::new(), variance: Vec::new(), scale: Vec::new() }
    }
}

impl Norm {
    /// Sets of numbers in `rows` samples.
    fn sets(&self, rows: usize) -> usize {
        match self.over {
            Over::Batch { .. } => self.shape.channels,
            Over::Groups(groups) => rows * groups,
        }
    }

    /// The set of a plane: one channel of one sample.
    fn set(&self, plane: usize) -> usize {
        let (row, channel) = (plane / self.shape.channels, plane % self.shape.channels);
        match self.over {
            Over::Batch { .. } => channel,
            Over::Groups(groups) => row * groups + channel / (self.shape.channels / groups),
        }
    }

    /// Numbers of a set.
    fn count(&self, rows: usize) -> usize {
        rows * self.shape.elements() / self.sets(rows)
    }

    /// Of every set the sum of what `of` makes of its planes, in their order.
    fn sums<T: Number>(&self, rows: usize, of: impl Fn(usize) -> T) -> Vec<T> {
        let mut sums = vec![T::zero(); self.sets(rows)];
        for plane in 0..rows * self.shape.channels {
            sums[self.set(plane)] += of(plane);
        }
        sums
    }

    /// `output` of `input`, both rows x shape.
    pub fn forward<T: Number>(
        &self,
        input: &[T],
        weight: &[T],
        bias: &[T],
        moments: &mut Moments<T>,
        output: &mut [T],
    ) {
        let pixels = self.shape.pixels();
        let rows = input.len() / self.shape.elements();
        let count = T::of(self.count(rows) as f64);
        let plane = |index: usize| &input[index * pixels..][..pixels];
        let mut mean = self.sums(rows, |index| plane(index).iter().copied().sum::<T>());
        mean.iter_mut().for_each(|mean| *mean /= count);
        let mut variance = self.sums(rows, |index| {
            let mean = mean[self.set(index)];
            plane(index).iter().map(|x| (*x - mean) * (*x - mean)).sum::<T>()
        });
        variance.iter_mut().for_each(|variance| *variance /= count);
        let scale = variance.iter().map(|variance| T::one() / (*variance + T::of(EPSILON)).sqrt()).collect();
        *moments = Moments { mean, variance, scale };
        self.apply(input, weight, bias, moments, output);
    }

    /// The same with running `statistics` of the batch norms in place of the batch's own.
    pub fn evaluate<T: Number>(&self, input: &[T], weight: &[T], bias: &[T], statistics: &[T], output: &mut [T]) {
        let Over::Batch { statistics: first } = self.over else {
            return self.forward(input, weight, bias, &mut Moments::default(), output);
        };
        let (mean, variance) = statistics[first..][..2 * self.shape.channels].split_at(self.shape.channels);
        let scale = variance.iter().map(|variance| T::one() / (*variance + T::of(EPSILON)).sqrt()).collect();
        let moments = Moments { mean: mean.to_vec(), variance: variance.to_vec(), scale };
        self.apply(input, weight, bias, &moments, output);
    }

    fn apply<T: Number>(&self, input: &[T], weight: &[T], bias: &[T], moments: &Moments<T>, output: &mut [T]) {
        let pixels = self.shape.pixels();
        for (index, (input, output)) in input.chunks_exact(pixels).zip(output.chunks_exact_mut(pixels)).enumerate() {
            let (set, channel) = (self.set(index), index % self.shape.channels);
            let (mean, scale) = (moments.mean[set], moments.scale[set] * weight[channel]);
            output.iter_mut().zip(input).for_each(|(y, x)| *y = (*x - mean) * scale + bias[channel]);
        }
    }

    /// Takes the moments of a batch of `rows` samples in.
    pub fn freshen<T: Number>(&self, rows: usize, moments: &Moments<T>, statistics: &mut [T]) {
        let Over::Batch { statistics: first } = self.over else { return };
        let (means, variances) = statistics[first..][..2 * self.shape.channels].split_at_mut(self.shape.channels);
        let count = self.count(rows) as f64;
        let (kept, fresh) = (T::of(1.0 - FRESHNESS), T::of(FRESHNESS));
        let unbiased = T::of(count / (count - 1.0));
        for (running, mean) in means.iter_mut().zip(&moments.mean) {
            *running = kept * *running + fresh * *mean;
        }
        for (running, variance) in variances.iter_mut().zip(&moments.variance) {
            *running = kept * *running + fresh * (unbiased * *variance);
        }
    }

    /// From `delta` (rows x shape): the gradients of weight and bias, and the delta of the input (rows x shape), which has
    /// lost what would move the moments.
    pub fn backward<T: Number>(
        &self,
        input: &[T],
        weight: &[T],
        delta: &[T],
        moments: &Moments<T>,
        gradient: [&mut [T]; 2],
        below: &mut [T],
    ) {
        let (pixels, channels) = (self.shape.pixels(), self.shape.channels);
        let rows = input.len() / self.shape.elements();
        let Moments { mean, scale, .. } = moments;
        let plane = |of: usize| of * pixels..(of + 1) * pixels;
        let normal = |set: usize, x: T| (x - mean[set]) * scale[set];
        // Of every plane the sums of delta and of delta times the normalised input.
        let planes: Vec<[T; 2]> = (0..rows * channels)
            .map(|index| {
                let set = self.set(index);
                let deltas = &delta[plane(index)];
                let along = deltas.iter().zip(&input[plane(index)]).map(|(d, x)| *d * normal(set, *x)).sum::<T>();
                [deltas.iter().copied().sum::<T>(), along]
            })
            .collect();
        let [weight_gradient, bias_gradient] = gradient;
        weight_gradient.fill(T::zero());
        bias_gradient.fill(T::zero());
        for (index, [sum, along]) in planes.iter().enumerate() {
            weight_gradient[index % channels] += *along;
            bias_gradient[index % channels] += *sum;
        }
        let count = T::of(self.count(rows) as f64);
        let [mean_delta, mean_along] =
            [0, 1].map(|part| self.sums(rows, |index| planes[index][part] * weight[index % channels]));
        for index in 0..rows * channels {
            let (set, weight) = (self.set(index), weight[index % channels]);
            let (mean_delta, mean_along) = (mean_delta[set] / count, mean_along[set] / count);
            let seen = delta[plane(index)].iter().zip(&input[plane(index)]);
            for (below, (d, x)) in below[plane(index)].iter_mut().zip(seen) {
                *below = scale[set] * (weight * *d - mean_delta - normal(set, *x) * mean_along);
            }
        }
    }
}
