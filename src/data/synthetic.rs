//! Data drawn from a law: Gaussian clusters, and labels of a teacher network.
//!
//! Three streams of one seed draw the law itself, the part to train on and the part to test on, so that the samples of
//! either part are the same whatever the size of the other, and fewer samples are the first of more. Not here: the grammar
//! of `--data` ([`super::source`]).

use super::{Dataset, Part};
use crate::math::Shape;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::StandardNormal;

/// A law, and how much is drawn from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Synthetic {
    pub law: Law,
    pub shape: Shape,
    pub classes: usize,
    /// To train on.
    pub samples: usize,
    /// To test on.
    pub test: usize,
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// A class is drawn uniformly, and a sample around its centre; the centres are drawn from the standard normal law.
    Clusters {
        /// Standard deviation of each number around the centre.
        spread: f64,
    },
    /// A sample is drawn from the standard normal law; its class is the largest output of a network without biases and with
    /// tanh, whose weights are normal with variance 1 / inputs of the layer.
    Teacher { hidden: usize },
}

impl Synthetic {
    /// The samples of one part.
    pub fn draw(&self, part: Part) -> Dataset {
        let (count, stream) = match part {
            Part::Train => (self.samples, 1),
            Part::Test => (self.test, 2),
        };
        let (features, classes) = (self.shape.elements(), self.classes);
        let mut of_the_law = self.stream(0);
        let mut rng = self.stream(stream);
        let (mut inputs, mut labels) = (Vec::with_capacity(count * features), Vec::with_capacity(count));
        match self.law {
            Law::Clusters { spread } => {
                let centres = normal(&mut of_the_law, classes * features, 1.0);
                for _ in 0..count {
                    let class = rng.random_range(0..classes);
                    let around = normal(&mut rng, features, spread);
                    let centre = &centres[class * features..][..features];
                    inputs.extend(centre.iter().zip(around).map(|(centre, around)| (centre + around) as f32));
                    labels.push(class as u32);
                }
            }
            Law::Teacher { hidden } => {
                let into = normal(&mut of_the_law, hidden * features, (features as f64).sqrt().recip());
                let out = normal(&mut of_the_law, classes * hidden, (hidden as f64).sqrt().recip());
                for _ in 0..count {
                    let sample = normal(&mut rng, features, 1.0);
                    let units: Vec<f64> = product(&into, &sample).map(libm::tanh).collect();
                    let outputs = product(&out, &units).enumerate();
                    let (class, _) = outputs.max_by(|(_, a), (_, b)| a.total_cmp(b)).expect("there are classes");
                    inputs.extend(sample.iter().map(|number| *number as f32));
                    labels.push(class as u32);
                }
            }
        }
        Dataset { inputs, labels, shape: self.shape, classes }
    }

    fn stream(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        rng
    }
}

fn normal(rng: &mut ChaCha8Rng, count: usize, deviation: f64) -> Vec<f64> {
    (0..count).map(|_| deviation * rng.sample::<f64, _>(StandardNormal)).collect()
}

/// A row-major matrix times a vector.
fn product<'a>(matrix: &'a [f64], vector: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    matrix.chunks_exact(vector.len()).map(move |row| row.iter().zip(vector).map(|(a, b)| a * b).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(text: &str) -> Synthetic {
        match format!("synthetic:{text}").parse() {
            Ok(super::super::DataSource::Synthetic(law)) => law,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clusters_have_the_moments_of_their_law() {
        let law = law("clusters:classes=3:features=5:spread=0.5:samples=6000:test=10");
        let data = law.draw(Part::Train);
        let mut counts = [0.0; 3];
        let (mut sums, mut squares) = ([[0.0; 5]; 3], [[0.0; 5]; 3]);
        for (sample, label) in data.inputs.chunks_exact(5).zip(&data.labels) {
            let class = *label as usize;
            counts[class] += 1.0;
            for (place, number) in sample.iter().enumerate() {
                sums[class][place] += f64::from(*number);
                squares[class][place] += f64::from(*number).powi(2);
            }
        }
        let centres = normal(&mut law.stream(0), 15, 1.0);
        for class in 0..3 {
            let count: f64 = counts[class];
            // Five standard errors of a share of 1/3, of a mean and of a variance.
            assert!((count / 6000.0 - 1.0 / 3.0).abs() < 5.0 * (2.0_f64 / 9.0 / 6000.0).sqrt(), "{count}");
            for place in 0..5 {
                let mean = sums[class][place] / count;
                let variance = squares[class][place] / count - mean * mean;
                assert!((mean - centres[class * 5 + place]).abs() < 5.0 * 0.5 / count.sqrt(), "{mean}");
                assert!((variance - 0.25).abs() < 5.0 * 0.25 * (2.0 / count).sqrt(), "{variance}");
            }
        }
    }

    #[test]
    fn a_teacher_gives_its_largest_output_as_the_class() {
        let law = law("teacher:classes=4:features=3:hidden=2:samples=50:test=20");
        let (mut of_the_law, data) = (law.stream(0), law.draw(Part::Test));
        let mut weights = |count, inputs: f64| normal(&mut of_the_law, count, inputs.sqrt().recip());
        let (into, out) = (weights(6, 3.0), weights(8, 2.0));
        assert_eq!(data.samples(), 20);
        for (x, label) in data.inputs.chunks_exact(3).zip(&data.labels) {
            let unit = |j: usize| (0..3).map(|i| into[3 * j + i] * f64::from(x[i])).sum::<f64>().tanh();
            let output = |k: u32| out[2 * k as usize] * unit(0) + out[2 * k as usize + 1] * unit(1);
            assert!((0..4).all(|k| output(k) <= output(*label) + 1e-6), "{x:?} is no {label}");
        }
    }

    #[test]
    fn parts_are_streams_of_their_own() {
        let (small, large) = (law("clusters:samples=10:test=9"), law("clusters:samples=20:test=5"));
        let first = |data: Dataset, rows: usize| data.select(&(0..rows).collect::<Vec<_>>());
        assert_eq!(first(large.draw(Part::Train), 10), small.draw(Part::Train));
        assert_eq!(first(small.draw(Part::Test), 5), large.draw(Part::Test));
        assert_ne!(first(small.draw(Part::Test), 5), first(small.draw(Part::Train), 5));
        assert_ne!(law("clusters:seed=1:samples=10").draw(Part::Train), small.draw(Part::Train));
    }
}
