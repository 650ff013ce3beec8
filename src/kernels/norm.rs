//! `norm`: (x - mean) / sqrt(variance + epsilon) weight + bias, over a channel of the whole batch or groups of channels of a
//! sample, and its gradient.
//!
//! Mean and variance are those of the numbers that are there; the variance is divided by their count, but for the running
//! one, which is unbiased, as in PyTorch.
//!
//! Bindings of `norm.wgsl`; one workgroup for every set of numbers with a mean of its own, of the gradient one for every
//! channel:
//! - `lane_steps`: steps x lanes
//! - `versions`: weight and bias, read at the lane's read slot
//! - `input`: lanes x rows x shape
//! - `delta`: of the output, lanes x rows x shape; read in the backward pass
//! - `moments`: lanes x sets x 2, mean and 1 / sqrt(variance + epsilon); written forward, read in the backward pass
//! - `running`: lanes x all running statistics; updated in the forward pass, read in evaluation
//! - `output`: lanes x rows x shape, or in the backward pass the delta below; the gradient goes into the flat one, lanes x P

use super::{Batch, Call, Kernel, LANE_STEP, LaneStep, codes, read, read_write, shader, shared_struct};
use crate::math::vector::{Pieces, Work};
use crate::math::{Activation, Number, Shape, ordered_sum_of, ordered_sum_of_pairs};

shared_struct! {
    /// Immediates of `norm.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        pub rows: u32,
        pub channels: u32,
        pub pixels: u32,
        /// Groups of the channels of a sample; 1 for a batch norm, which does not use it.
        pub groups: u32,
        pub version_lane_stride: u32,
        pub version_slot_stride: u32,
        /// Where weight and bias begin in a version, and in the gradient.
        pub weight: u32,
        /// P.
        pub parameters: u32,
        /// Where the running means begin in a lane's statistics.
        pub statistics: u32,
        /// Running statistics of a lane.
        pub statistics_stride: u32,
        /// Share of this batch in the running statistics; 0 where they stay.
        pub freshness: f32,
    }
}

/// Invocations of a workgroup.
pub const WORKGROUP: usize = 128;

/// Fours of numbers that an invocation takes at a time.
pub const FOURS: usize = 2;

pub const KERNEL: Kernel = Kernel {
    name: "norm",
    files: &[shader!("norm.wgsl"), LANE_STEP],
    bindings: &[
        read("lane_steps"),
        read("versions"),
        read("input"),
        read("delta"),
        read_write("moments"),
        read_write("running"),
        read_write("output"),
    ],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[Over::CODES, Pass::CODES],
    constants: &[("WORKGROUP", WORKGROUP as f64), ("EPSILON", EPSILON)],
    variants: &["OVER", "PASS", "FOURS"],
};

/// Which numbers a norm takes the mean and the variance of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A channel of all samples of the batch. In evaluation running statistics take their place: `statistics` is where in
    /// the vector of statistics the running means begin, which the running variances follow.
    ///
    /// A gradient that arrives late was taken with the statistics of its own batch at the weights that it read. The running
    /// ones belong to the run, one set for all workers, and take those batches in as they arrive: running = 0.9 running +
    /// 0.1 new, with the unbiased variance, as in PyTorch.
    Batch { statistics: usize },
    /// So many groups of the channels of one sample.
    Groups(usize),
}

/// Added to the variance under a norm's root, as in PyTorch.
pub const EPSILON: f64 = 1e-5;

/// Share of a new batch in running statistics, as in PyTorch.
pub const FRESHNESS: f64 = 0.1;

/// What a dispatch computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Forward,
    /// With running statistics, where they are kept.
    Evaluate,
    /// The delta below.
    Backward,
    Gradient,
}

codes!(Over { BATCH: Self::Batch { .. }, GROUPS: Self::Groups(_) });
codes!(Pass { FORWARD: Self::Forward, EVALUATE: Self::Evaluate, BACKWARD: Self::Backward, GRADIENT: Self::Gradient });

/// A norm in a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    pub batch: Batch,
    pub norm: Norm,
    /// Where its weight begins in a weight version; the bias follows.
    pub weight: usize,
    /// All running statistics of a lane.
    pub statistics: usize,
    /// Whether they take this batch in.
    pub updates_statistics: bool,
}

impl Layer {
    pub fn params(&self) -> Params {
        let Self { batch, norm: Norm { over, shape }, .. } = *self;
        let [version_lane_stride, version_slot_stride] = batch.version_strides();
        let (groups, statistics) = match over {
            Over::Batch { statistics } => (1, statistics),
            Over::Groups(groups) => (groups, 0),
        };
        Params {
            step: 0,
            lanes: batch.lanes as u32,
            rows: batch.rows as u32,
            channels: shape.channels as u32,
            pixels: shape.pixels() as u32,
            groups: groups as u32,
            version_lane_stride,
            version_slot_stride,
            weight: self.weight as u32,
            parameters: batch.parameters as u32,
            statistics: statistics as u32,
            statistics_stride: self.statistics as u32,
            freshness: if self.updates_statistics { FRESHNESS as f32 } else { 0.0 },
        }
    }

    /// The values of [`KERNEL`]'s variants.
    pub fn variant(&self, pass: Pass) -> [(&'static str, f64); 3] {
        [("OVER", f64::from(self.norm.over.code())), ("PASS", f64::from(pass.code())), ("FOURS", FOURS as f64)]
    }

    pub fn workgroups(&self, pass: Pass) -> [u32; 3] {
        let Self { batch: Batch { lanes, rows, .. }, norm, .. } = *self;
        let units = if pass == Pass::Gradient { norm.shape.channels } else { norm.sets(rows) };
        [units as u32, lanes as u32, 1]
    }

    /// `buffers`: lane_steps, versions, input, delta, moments, running, output.
    pub fn call<B>(&self, pass: Pass, buffers: [B; 7]) -> Call<B> {
        let (variant, workgroups) = (self.variant(pass), self.workgroups(pass));
        Call::new(&KERNEL, &variant, buffers, &self.params(), workgroups, self.iterations())
    }

    /// Turns of an invocation's loops in any pass.
    pub fn iterations(&self) -> usize {
        let Self { batch: Batch { rows, .. }, norm, .. } = *self;
        let sums = 2 * WORKGROUP.ilog2() as usize;
        let channel = rows * norm.shape.pixels();
        3 * channel.max(norm.count(rows)).div_ceil(4 * FOURS * WORKGROUP) + sums
    }
}

/// One norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norm {
    pub over: Over,
    /// Shape of a sample.
    pub shape: Shape,
}

/// What a forward pass leaves for the backward pass, for every set of numbers that has a mean of its own.
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
    pub fn sets(&self, rows: usize) -> usize {
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
    pub fn count(&self, rows: usize) -> usize {
        rows * self.shape.elements() / self.sets(rows)
    }

    /// Sums what there is of every plane over the planes of every set, in their order.
    fn sums<T: Number>(&self, rows: usize, planes: impl Iterator<Item = T>) -> Vec<T> {
        let mut sums = vec![T::zero(); self.sets(rows)];
        planes.enumerate().for_each(|(plane, sum)| sums[self.set(plane)] += sum);
        sums
    }

    /// `output` of `input`, both rows x shape, and behind it the activation `then`.
    #[expect(clippy::too_many_arguments, reason = "an activation may follow")]
    pub fn forward<T: Number>(
        &self,
        input: &[T],
        weight: &[T],
        bias: &[T],
        moments: &mut Moments<T>,
        output: &mut [T],
        then: Option<Activation>,
        pieces: Pieces,
    ) {
        let pixels = self.shape.pixels();
        let rows = input.len() / self.shape.elements();
        let count = T::of(self.count(rows) as f64);
        let mut planes = vec![[T::zero(); 2]; rows * self.shape.channels];
        let samples = input.chunks_exact(self.shape.elements()).zip(planes.chunks_mut(self.shape.channels)).collect();
        pieces.each(input.len(), samples, &Spread { pixels });
        let mut mean = self.sums(rows, planes.iter().map(|[sum, _]| *sum));
        mean.iter_mut().for_each(|mean| *mean /= count);
        let size = T::of(pixels as f64);
        let about_mean = |(plane, [sum, squares]): (usize, &[T; 2])| {
            let away = *sum / size - mean[self.set(plane)];
            *squares + size * away * away
        };
        let mut variance = self.sums(rows, planes.iter().enumerate().map(about_mean));
        variance.iter_mut().for_each(|variance| *variance /= count);
        let scale = variance.iter().map(|variance| T::one() / (*variance + T::of(EPSILON)).sqrt()).collect();
        *moments = Moments { mean, variance, scale };
        self.apply(input, weight, bias, moments, output, then, pieces);
    }

    /// The same with running `statistics` of the batch norms in place of the batch's own.
    #[expect(clippy::too_many_arguments, reason = "an activation may follow")]
    pub fn evaluate<T: Number>(
        &self,
        input: &[T],
        weight: &[T],
        bias: &[T],
        statistics: &[T],
        output: &mut [T],
        then: Option<Activation>,
        pieces: Pieces,
    ) {
        let Over::Batch { statistics: first } = self.over else {
            return self.forward(input, weight, bias, &mut Moments::default(), output, then, pieces);
        };
        let (mean, variance) = statistics[first..][..2 * self.shape.channels].split_at(self.shape.channels);
        let scale = variance.iter().map(|variance| T::one() / (*variance + T::of(EPSILON)).sqrt()).collect();
        let moments = Moments { mean: mean.to_vec(), variance: variance.to_vec(), scale };
        self.apply(input, weight, bias, &moments, output, then, pieces);
    }

    #[expect(clippy::too_many_arguments, reason = "an activation may follow")]
    fn apply<T: Number>(
        &self,
        input: &[T],
        weight: &[T],
        bias: &[T],
        moments: &Moments<T>,
        output: &mut [T],
        then: Option<Activation>,
        pieces: Pieces,
    ) {
        let elements = self.shape.elements();
        let samples = input.chunks_exact(elements).zip(output.chunks_exact_mut(elements)).enumerate().collect();
        pieces.each(input.len(), samples, &Apply { norm: self, weight, bias, moments, then });
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
    /// lost what would move the moments. Where an activation is behind it, the delta is that of the activation.
    #[expect(clippy::too_many_arguments, reason = "a gradient has as many parts as the layer")]
    pub fn backward<T: Number>(
        &self,
        input: &[T],
        weight: &[T],
        (delta, behind): (&[T], Option<(Activation, &[T])>),
        moments: &Moments<T>,
        gradient: [&mut [T]; 2],
        below: &mut [T],
        pieces: Pieces,
    ) {
        let (elements, channels) = (self.shape.elements(), self.shape.channels);
        let rows = input.len() / elements;
        // For every plane the sums of delta and of delta times the normalised input.
        let mut planes = vec![[T::zero(); 2]; rows * channels];
        let samples = planes.chunks_mut(channels).zip(below.chunks_exact_mut(elements)).enumerate().collect();
        pieces.each(input.len(), samples, &Along { norm: self, input, delta, behind, moments });
        let [weight_gradient, bias_gradient] = gradient;
        weight_gradient.fill(T::zero());
        bias_gradient.fill(T::zero());
        for (index, [sum, along]) in planes.iter().enumerate() {
            weight_gradient[index % channels] += *along;
            bias_gradient[index % channels] += *sum;
        }
        let count = T::of(self.count(rows) as f64);
        let [mean_delta, mean_along] = [0, 1].map(|part| {
            self.sums(rows, planes.iter().enumerate().map(|(index, plane)| plane[part] * weight[index % channels]))
        });
        let means = [mean_delta, mean_along].map(|sums| sums.into_iter().map(|sum| sum / count).collect::<Vec<T>>());
        let below = below.chunks_mut(elements).enumerate().collect();
        let delta = if behind.is_some() { None } else { Some(delta) };
        pieces.each(input.len(), below, &Below { norm: self, input, delta, weight, moments, means });
    }
}

/// The sum of every plane of a sample, and that of squared distances from its mean.
struct Spread {
    pixels: usize,
}

impl<T: Number> Work<(&[T], &mut [[T; 2]])> for Spread {
    #[inline(always)]
    fn run(&self, (input, sums): (&[T], &mut [[T; 2]])) {
        for (plane, sums) in input.chunks_exact(self.pixels).zip(sums) {
            let sum = ordered_sum_of(plane, |x| x);
            let mean = sum / T::of(self.pixels as f64);
            *sums = [sum, ordered_sum_of(plane, |x| (x - mean) * (x - mean))];
        }
    }
}

/// The sums of delta and of delta times the normalised input, for every plane of a sample. Where an activation is behind, the delta of
/// what it acts on is left in `below`.
struct Along<'a, T> {
    norm: &'a Norm,
    input: &'a [T],
    delta: &'a [T],
    behind: Option<(Activation, &'a [T])>,
    moments: &'a Moments<T>,
}

impl<'a, T: Number> Work<(usize, (&mut [[T; 2]], &mut [T]))> for Along<'a, T> {
    #[inline(always)]
    fn run(&self, (row, (sums, below)): (usize, (&mut [[T; 2]], &mut [T]))) {
        let (channels, pixels) = (self.norm.shape.channels, self.norm.shape.pixels());
        for (channel, (sums, below)) in sums.iter_mut().zip(below.chunks_exact_mut(pixels)).enumerate() {
            let index = row * channels + channel;
            let plane = |numbers: &'a [T]| &numbers[index * pixels..][..pixels];
            let mut delta: &[T] = plane(self.delta);
            if let Some((activation, made)) = self.behind {
                activation.delta_below(delta, plane(made), below);
                delta = below;
            }
            let set = self.norm.set(index);
            let (mean, scale) = (self.moments.mean[set], self.moments.scale[set]);
            let along = ordered_sum_of_pairs(delta, plane(self.input), |delta, x| delta * ((x - mean) * scale));
            *sums = [ordered_sum_of(delta, |delta| delta), along];
        }
    }
}

/// The way forward with known moments.
struct Apply<'a, T> {
    norm: &'a Norm,
    weight: &'a [T],
    bias: &'a [T],
    moments: &'a Moments<T>,
    then: Option<Activation>,
}

impl<T: Number> Work<(usize, (&[T], &mut [T]))> for Apply<'_, T> {
    #[inline(always)]
    fn run(&self, (row, (input, output)): (usize, (&[T], &mut [T]))) {
        let Shape { channels, .. } = self.norm.shape;
        let pixels = self.norm.shape.pixels();
        let planes = input.chunks_exact(pixels).zip(output.chunks_exact_mut(pixels));
        for (channel, (input, output)) in planes.enumerate() {
            let (set, bias) = (self.norm.set(row * channels + channel), self.bias[channel]);
            let (mean, scale) = (self.moments.mean[set], self.moments.scale[set] * self.weight[channel]);
            let normalise = |x: T| (x - mean) * scale + bias;
            match self.then {
                None => output.iter_mut().zip(input).for_each(|(y, x)| *y = normalise(*x)),
                Some(then) => then.of_each(output, input, normalise),
            }
        }
    }
}

/// The delta of the input.
struct Below<'a, T> {
    norm: &'a Norm,
    input: &'a [T],
    /// None where it is already in the place of the delta of the input.
    delta: Option<&'a [T]>,
    weight: &'a [T],
    moments: &'a Moments<T>,
    /// The means of every set: of delta, and of delta times the normalised input.
    means: [Vec<T>; 2],
}

impl<T: Number> Work<(usize, &mut [T])> for Below<'_, T> {
    #[inline(always)]
    fn run(&self, (row, below): (usize, &mut [T])) {
        let (channels, pixels) = (self.norm.shape.channels, self.norm.shape.pixels());
        for (channel, below) in below.chunks_exact_mut(pixels).enumerate() {
            let index = row * channels + channel;
            let (set, weight) = (self.norm.set(index), self.weight[channel]);
            let (mean, scale) = (self.moments.mean[set], self.moments.scale[set]);
            let [mean_delta, mean_along] = [0, 1].map(|part| self.means[part][set]);
            let of = |delta: T, x: T| scale * (weight * delta - mean_delta - (x - mean) * scale * mean_along);
            let input = &self.input[index * pixels..][..pixels];
            match self.delta {
                None => below.iter_mut().zip(input).for_each(|(below, x)| *below = of(*below, *x)),
                Some(delta) => {
                    let numbers = delta[index * pixels..][..pixels].iter().zip(input);
                    below.iter_mut().zip(numbers).for_each(|(below, (delta, x))| *below = of(*delta, *x));
                }
            }
        }
    }
}
