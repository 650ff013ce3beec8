//! Workload of a benchmark: many delayed runs of one network, which differ in their learning rates alone.

use super::work;
use crate::batch::{Augmentation, BatchOrder, RowTables, Sampling};
use crate::config::ModelSpec;
use crate::data::{DataSource, Dataset};
use crate::delay::Schedule;
use crate::engine::{Needs, Run, WaveSpec};
use crate::math::{Activation, Loss};
use crate::memory;
use crate::outer::OuterLoop;
use crate::problem::{Network, Problem};
use crate::rule::Rule;
use std::sync::Arc;

/// Learning rates of the first and the last lane: small enough for every model, batch and rule to stay finite during a
/// benchmark, large enough for weights to change.
const LEARNING_RATES: [f64; 2] = [1e-4, 2e-3];

/// Workload with every setting resolved.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Network and its data.
    pub problem: Arc<Problem>,
    /// Rows per gradient; `None` for the full batch.
    pub batch: Option<usize>,
    pub rule: Rule,
    /// Weight versions in a run's ring; each gradient is `slots - 1` updates old.
    pub slots: u32,
    pub lanes: usize,
    /// Steps in a round.
    pub steps: usize,
    /// Seed of the samples, the start and the minibatches; all lanes share the latter two.
    pub seed: u64,
}

/// Network of a workload, as flags describe it.
#[derive(Clone, Debug)]
pub struct NetworkSpec<'a> {
    pub data: &'a DataSource,
    /// Number of samples; all where `None`.
    pub samples: Option<usize>,
    pub model: &'a ModelSpec,
    /// Activation of a perceptron's hidden layers.
    pub activation: Activation,
    pub loss: Loss,
    pub weight_decay: f64,
}

impl NetworkSpec<'_> {
    /// Loads the data and lays out the network.
    ///
    /// # Errors
    /// Where the data cannot be loaded, or does not fit the model.
    pub fn build(&self, seed: u64) -> anyhow::Result<Network> {
        let data = Dataset::load(self.data, self.samples, seed)?;
        let model = self.model.model(data.shape, data.classes, self.activation);
        let model = model.map_err(|why| anyhow::anyhow!("--model {}: {why}", self.model))?;
        let network = Network::new(model, self.loss, self.weight_decay, data);
        // The start, and what distances are measured from and projected on.
        memory::check(&self.model.to_string(), network.dimension(), 3, "").map_err(anyhow::Error::msg)?;
        Ok(network)
    }
}

impl Workload {
    pub fn network(&self) -> &Network {
        match &*self.problem {
            Problem::Network(network) => network,
            Problem::Quadratic(_) | Problem::Dense(_) => unreachable!("a workload is made of a network"),
        }
    }

    /// Returns the rows per gradient.
    pub fn rows(&self) -> usize {
        self.batch.unwrap_or(self.network().data.samples())
    }

    /// Counts the useful floating-point operations of one step of one lane ([`work::flops_of_step`]).
    pub fn flops_of_step(&self) -> u64 {
        work::flops_of_step(&self.network().model.graph, self.rows())
    }

    /// Returns the initial weights x_0, of length P.
    pub fn start(&self) -> Vec<f64> {
        self.network().model.init(self.seed)
    }

    /// Returns a learning rate for each lane, evenly spaced on a logarithmic scale.
    pub fn learning_rates(&self) -> Vec<f64> {
        let [low, high] = LEARNING_RATES;
        let last = (self.lanes - 1).max(1) as f64;
        (0..self.lanes).map(|lane| low * (high / low).powf(lane as f64 / last)).collect()
    }

    /// Returns the row numbers of the first `steps` minibatches, steps x batch; `None` where the batch is full.
    pub fn order(&self) -> Option<Vec<u32>> {
        let tables =
            RowTables::new(self.network().data.samples(), self.batch?, Sampling::Epochs, Augmentation::default());
        let mut order = BatchOrder::new(&tables, self.seed);
        Some((0..self.steps as u64).flat_map(|step| order.rows(step).to_vec()).collect())
    }

    fn schedule(&self) -> Schedule {
        Schedule::round_robin(self.slots - 1)
    }

    /// Returns the settings of a wave of `lanes` lanes that makes at most `block` steps at once. Distances are measured from 0.
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

    /// Returns the run of every lane.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        let (start, schedule) = (Arc::new(self.start()), self.schedule());
        self.learning_rates().into_iter().map(move |lr| Run {
            rule: self.rule,
            lr: lr.into(),
            schedule: schedule.clone(),
            seed: self.seed,
            start: Arc::clone(&start),
            centred: false,
            undamped_start: false,
            second_moment: None,
            outer: OuterLoop::default(),
            stages: [].into(),
            statistics: None,
        })
    }
}
