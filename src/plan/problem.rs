//! The problem of a sweep: what is minimised, and which of its minima thresholds are measured at.
//!
//! Not here: the cells ([`super::sweep`]), nor the search for the minimum ([`crate::minimum`]).

use super::{PlanError, refuse, shown};
use crate::config::{ModelSpec, ProblemArgs, Samples, SweepArgs};
use crate::data::{DataSource, Dataset, Hessians};
use crate::math::{Activation, Loss};
use crate::minimum;
use crate::problem::weights::WeightMap;
use crate::problem::{DenseQuadratic, Network, Problem, Quadratic};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Samples of a network's data, unless asked otherwise.
const USUAL_SAMPLES: Samples = Samples::Count(512);

/// What is minimised, and which of its minima.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepProblem {
    /// None for a quadratic, as are samples (a file of Hessians has its own), activation and loss.
    pub data: Option<DataSource>,
    pub samples: Option<Samples>,
    pub model: ModelSpec,
    pub activation: Option<Activation>,
    pub loss: Option<Loss>,
    pub weight_decay: f64,
    pub seed_data: u64,
    pub seed_init: u64,
    /// A file to load the minimum from, instead of training to it.
    #[serde(serialize_with = "shown")]
    pub minimum: Option<PathBuf>,
    /// What that file calls the model's modules. No part of the plan: the weights as they were read are in its hash of data.
    #[serde(skip)]
    pub map: Option<WeightMap>,
    /// A file with the weights that the descent begins with, instead of seeded ones.
    #[serde(serialize_with = "shown", default, skip_serializing_if = "Option::is_none")]
    pub minimum_from: Option<PathBuf>,
    /// A file with second moments that stand still.
    #[serde(serialize_with = "shown", default, skip_serializing_if = "Option::is_none")]
    pub preconditioner: Option<PathBuf>,
    /// Largest |gradient entry| that counts as zero.
    pub gradient_tolerance: f64,
    /// Most gradient evaluations of the search. They decide whether a minimum is found, not which: another number is the same plan.
    #[serde(skip, default = "usual_evaluations")]
    pub minimum_evaluations: u64,
}

fn usual_evaluations() -> u64 {
    minimum::EVALUATIONS
}

impl SweepProblem {
    pub(super) fn resolve(args: &SweepArgs) -> Result<Self, PlanError> {
        args.problem.check()?;
        if !(args.gradient_tolerance > 0.0 && args.gradient_tolerance.is_finite()) {
            refuse!("--gradient-tolerance {}: accepted: a positive number", args.gradient_tolerance);
        }
        let problem = &args.problem;
        let ProblemArgs { samples, model, .. } = problem;
        let shared = Self {
            data: None,
            samples: None,
            model: model.clone(),
            activation: None,
            loss: None,
            weight_decay: problem.weight_decay(),
            seed_data: args.grid.seed_data,
            seed_init: args.seed_init,
            minimum: args.minimum.clone(),
            map: args.map.clone(),
            minimum_from: args.minimum_from.clone(),
            preconditioner: args.preconditioner.clone(),
            minimum_evaluations: args.minimum_evaluations,
            gradient_tolerance: args.gradient_tolerance,
        };
        let flags = [("--minimum", args.minimum.is_some()), ("--minimum-from", args.minimum_from.is_some())];
        let given = flags.iter().find(|(_, given)| *given).map(|(flag, _)| flag);
        if model.is_quadratic() {
            if let Some(flag) = given {
                refuse!("{flag}: the minimum of a quadratic is 0; accepted: with mlp or linear models");
            }
            return Ok(Self { weight_decay: 0.0, ..shared });
        }
        let samples = Some(samples.unwrap_or(USUAL_SAMPLES));
        let activation = problem.activation();
        Ok(Self { data: Some(problem.data()), samples, activation, loss: Some(problem.loss()), ..shared })
    }

    /// Loads the data and lays out the model.
    ///
    /// # Errors
    /// Where the data cannot be had in the asked amount, or does not suit the model.
    pub fn build(&self) -> Result<Problem, PlanError> {
        match &self.model {
            ModelSpec::Quadratic(eigenvalues) => {
                return Ok(Problem::Quadratic(Quadratic { eigenvalues: eigenvalues.clone() }));
            }
            ModelSpec::QuadraticFile(file) => {
                let read = Hessians::read(file).map_err(|error| PlanError(format!("--model quadratic:npz:{error}")))?;
                let quadratic = DenseQuadratic::new(read.dimension, read.samples, read.entries);
                return quadratic
                    .map(Problem::Dense)
                    .map_err(|why| PlanError(format!("--model {}: {why}", self.model)));
            }
            _ => {}
        }
        let count = match self.samples {
            Some(Samples::Count(count)) => Some(count),
            Some(Samples::All) | None => None,
        };
        const RESOLVED: &str = "a resolved plan names the data and the loss of a network";
        let data = Dataset::load(self.data.as_ref().expect(RESOLVED), count, self.seed_data)
            .map_err(|error| PlanError(error.to_string()))?;
        // A linear model has none, and no layer that would apply it.
        let activation = self.activation.unwrap_or(Activation::Tanh);
        let model = self.model.model(data.shape, data.classes, activation);
        let model = model.map_err(|why| PlanError(format!("--model {}: {why}", self.model)))?;
        let (loss, weight_decay) = (self.loss.expect(RESOLVED), self.weight_decay);
        Ok(Problem::Network(Network::new(model, loss, weight_decay, data)))
    }
}
