//! What is run: many delayed runs of one network, which differ in their learning rates alone.

use super::work;
use crate::batch::{Augmentation, BatchOrder, RowTables, Sampling};
use crate::config::ModelSpec;
use crate::data::{DataSource, Dataset};
use crate::delay::Schedule;
use crate::engine::{Needs, Run, WaveSpec};
use crate::math::{Activation, Loss};
use crate::problem::{Network, Problem};
use crate::rule::Rule;
use std::sync::Arc;

/// Learning rates of the first lane and the last: small enough for every model, batch and rule to stay finite for as long
/// as a benchmark takes, large enough for weights to move.
const LEARNING_RATES: [f64; 2] = [1e-4, 2e-3];

/// A workload with nothing left open.
#[derive(Clone, Debug)]
pub struct Workload {
    /// A network, and its data.
    pub problem: Arc<Problem>,
    /// Rows per gradient; `None` is the full batch.
    pub batch: Option<usize>,
    pub rule: Rule,
    /// Weight versions in a run's ring; each gradient is `slots - 1` updates old.
    pub slots: u32,
    pub lanes: usize,
    /// Steps of a round.
    pub steps: usize,
    /// Draws the samples, the start, which all lanes share, and the minibatches, which all lanes share too.
    pub seed: u64,
}

/// The network of a workload, as flags describe it.
#[derive(Clone, Debug)]
pub struct NetworkSpec<'a> {
    pub data: &'a DataSource,
    /// All where `None`.
    pub samples: Option<usize>,
    pub model: &'a ModelSpec,
    /// Of a perceptron.
    pub activation: Activation,
    pub loss: Loss,
    pub weight_decay: f64,
}

impl NetworkSpec<'_> {
    /// Loads the data and lays out the network.
    ///
    /// # Errors
    /// Where the data cannot be had, or does not suit the model.
    pub fn build(&self, seed: u64) -> anyhow::Result<Network> {
        let data = Dataset::load(self.data, self.samples, seed)?;
        let model = self.model.model(data.shape, data.classes, self.activation);
        let model = model.map_err(|why| anyhow::anyhow!("--model {}: {why}", self.model))?;
        Ok(Network::new(model, self.loss, self.weight_decay, data))
    }
}

impl Workload {
    pub fn network(&self) -> &Network {
        match &*self.problem {
            Problem::Network(network) => network,
            Problem::Quadratic(_) => unreachable!("a workload is made of a network"),
        }
    }

    /// Rows per gradient.
    pub fn rows(&self) -> usize {
        self.batch.unwrap_or(self.network().data.samples())
    }

    /// Useful floating-point operations of one step of one lane ([`work::flops_of_step`]).
    pub fn flops_of_step(&self) -> u64 {
        work::flops_of_step(&self.network().model.graph, self.rows())
    }

    /// x_0, P.
    pub fn start(&self) -> Vec<f64> {
        self.network().model.init(self.seed)
    }

    /// One learning rate for each lane, evenly spaced in their logarithms.
    pub fn learning_rates(&self) -> Vec<f64> {
        let [low, high] = LEARNING_RATES;
        let last = (self.lanes - 1).max(1) as f64;
        (0..self.lanes).map(|lane| low * (high / low).powf(lane as f64 / last)).collect()
    }

    /// Row numbers of the first `steps` minibatches, steps x batch; none where the batch is full.
    pub fn order(&self) -> Option<Vec<u32>> {
        let tables =
            RowTables::new(self.network().data.samples(), self.batch?, Sampling::Epochs, Augmentation::default());
        let mut order = BatchOrder::new(&tables, self.seed);
        Some((0..self.steps as u64).flat_map(|step| order.rows(step).to_vec()).collect())
    }

    fn schedule(&self) -> Schedule {
        Schedule::RoundRobin { delay: self.slots - 1 }
    }

    /// A wave of `lanes` of them, which advance by at most `block` steps at once. Distances are measured from 0.
    pub fn spec(&self, lanes: usize, block: usize) -> WaveSpec {
        let dimension = self.problem.dimension();
        WaveSpec {
            problem: Arc::clone(&self.problem),
            batch: self.batch,
            minimum: Arc::new(vec![0.0; dimension]),
            direction: Arc::new(vec![1.0 / (dimension as f64).sqrt(); dimension]),
            lanes,
            together: 1,
            sampling: Sampling::Epochs,
            needs: Needs::of(&self.rule, &self.schedule(), false),
            block,
        }
    }

    /// The run of every lane.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        let (start, schedule) = (Arc::new(self.start()), self.schedule());
        self.learning_rates().into_iter().map(move |lr| Run {
            rule: self.rule,
            lr: lr.into(),
            schedule: schedule.clone(),
            seed: self.seed,
            start: Arc::clone(&start),
            centred: false,
            statistics: None,
        })
    }
}
