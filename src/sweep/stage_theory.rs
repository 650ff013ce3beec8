//! What theory says of the threshold of stages, at the minimum of a sweep.
//!
//! Not here: the eigenproblem ([`crate::theory::stages`]).

use super::PreparedSweep;
use crate::curvature::{Effort, Eigenpair, leading};
use crate::plan::Cell;
use crate::problem::Problem;
use crate::stages::Stages;
use crate::theory::stages::{Stage, StageResponse, StageThreshold, threshold, threshold_without_stashing};
use crate::theory::{self, DelayLaw, Equation, TheoryError};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Eigenvectors of the largest curvatures that the search for a crossing begins with.
const LEADING: usize = 12;

/// Cosine of an angle to the top eigenvector below which a displacement is looked at along a direction of its own.
const ALONG: f64 = 0.9;

/// What theory says of the threshold of stages, in learning rates; nothing where no theory is known.
#[derive(Clone, Debug, Default)]
pub(super) struct StagePrediction {
    /// First crossing of the whole Hessian, with its residual, where it has converged and nothing is drawn.
    pub crossing: Option<(f64, f64)>,
    /// A learning rate near the threshold.
    pub near: Option<f64>,
    /// For a Hessian with the top eigenpair alone.
    pub rank_one: Option<f64>,
    /// For a delay as long as the longest.
    pub uniform: Option<f64>,
    /// Where the displacement shows that is the first to grow, a unit vector of P; none where it shows along the top eigenvector.
    pub direction: Option<Arc<Vec<f64>>>,
}

/// What the cells with stages share, each made when it is first asked for.
#[derive(Debug, Default)]
pub(super) struct StageTheory {
    leading: OnceLock<Option<Vec<Eigenpair>>>,
    /// By the id of a cell.
    predictions: Mutex<HashMap<String, StagePrediction>>,
}

impl PreparedSweep {
    /// What theory says of a cell with stages. Under minibatches it is what is near, for their noise has no theory here.
    ///
    /// # Errors
    /// Where the theory refuses the numbers of a stage's rule.
    pub(super) fn stage_prediction(&self, cell: &Cell, stages: &Stages) -> Result<StagePrediction, TheoryError> {
        let id = self.plan.cell_id(cell);
        let lock = || self.shared.stages.predictions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&id) {
            return Ok(known.clone());
        }
        let found = self.solve_stages(cell, stages)?;
        lock().insert(id, found.clone());
        Ok(found)
    }

    /// The direction along which runs of a cell are looked at and displaced, where that is not the top eigenvector: of stages the
    /// displacement that is the first to grow may lie elsewhere.
    pub(super) fn own_direction(&self, cell: &Cell) -> Option<Arc<Vec<f64>>> {
        self.stage_prediction(cell, cell.stages.as_ref()?).ok()?.direction
    }

    fn solve_stages(&self, cell: &Cell, stages: &Stages) -> Result<StagePrediction, TheoryError> {
        let largest = &self.minimum.largest;
        let blocks = stages.blocks(&self.problem.layers(), self.problem.dimension());
        let blocks = blocks.expect("the plan has checked its stages");
        let of_one_delay = |equation: Equation| theory::threshold(&equation, theory::Criterion::Mean).ok();
        let uniform = cell.rule.equation(&DelayLaw::Fixed(stages.longest() as usize)).and_then(of_one_delay);
        let uniform = uniform.map(|found| found.gain / largest.value);
        let near = StagePrediction { near: uniform, uniform, ..StagePrediction::default() };
        let Some(responses) = responses(cell, stages)? else { return Ok(near) };
        let rank_one = rank_one(&blocks, &responses, largest).ok();
        let near = StagePrediction { near: rank_one.or(uniform), rank_one, ..near };
        if self.plan.rows(cell).is_some() {
            return Ok(near);
        }
        match self.first_crossing(&blocks, responses) {
            Ok(Some(found)) => {
                let crossing = found.converged.then_some((found.lr, found.residual));
                let along: f64 = found.direction.iter().zip(&largest.vector).map(|(a, b)| a * b).sum();
                let direction = (along.abs() < ALONG).then(|| Arc::new(found.direction));
                Ok(StagePrediction { crossing, near: Some(found.lr), direction, ..near })
            }
            Ok(None) | Err(TheoryError::Unbounded | TheoryError::Stages(_)) => Ok(near),
            Err(error) => Err(error),
        }
    }

    /// None where a product is not finite.
    fn first_crossing(
        &self,
        blocks: &[Range<usize>],
        responses: Responses,
    ) -> Result<Option<StageThreshold>, TheoryError> {
        let (minimum, problem) = (&self.minimum, &self.problem);
        let hessian = |vectors: &[Vec<f64>]| problem.hessian_products(&minimum.weights, vectors);
        let leading = self.shared.stages.leading.get_or_init(|| {
            let product = |v: &[f64], hv: &mut [f64]| hv.copy_from_slice(&hessian(&[v.to_vec()])[0]);
            leading(minimum.largest.clone(), LEADING, Effort::default(), product)
        });
        let Some(leading) = leading else { return Ok(None) };
        let leading: Vec<&[f64]> = leading.iter().map(|pair| &pair.vector[..]).collect();
        let Responses { forward, backward } = responses;
        let stages: Vec<Stage> = staged(blocks, forward);
        match (&**problem, backward) {
            (Problem::Network(network), Some(backward)) => {
                let derivative = |vectors: &[Vec<f64>]| network.backward_products(&minimum.weights, vectors);
                threshold_without_stashing(&stages, &backward, &leading, hessian, derivative).map(Some)
            }
            _ => threshold(&stages, &leading, hessian).map(Some),
        }
    }
}

/// Responses of all stages: to what forward passes read and, where that is something else, to what backward passes read.
struct Responses {
    forward: Vec<StageResponse>,
    backward: Option<Vec<StageResponse>>,
}

/// None where the rule has no equation, or none for a stage of a pipeline.
fn responses(cell: &Cell, stages: &Stages) -> Result<Option<Responses>, TheoryError> {
    let response = |stage: usize| {
        let rule = stages.rule(&cell.rule, stage);
        let Some(equation) = rule.equation(&DelayLaw::Fixed(stages.delays[stage] as usize)) else { return Ok(None) };
        match StageResponse::new(&equation, stages.lr_factor(stage)) {
            Ok(response) => Ok(Some(response)),
            Err(TheoryError::Unsupported(_)) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let forward: Result<Option<Vec<_>>, TheoryError> = (0..stages.count()).map(response).collect();
    Ok(forward?.map(|forward| {
        let backward = stages.backward_delays.as_ref().map(|delays| {
            // What is written for a backward pass is what is written for a forward one.
            let later = |stage: usize| i64::from(delays[stage]) - i64::from(stages.delays[stage]);
            forward.iter().enumerate().map(|(stage, response)| response.clone().read_later(later(stage))).collect()
        });
        Responses { forward, backward }
    }))
}

fn staged(blocks: &[Range<usize>], responses: Vec<StageResponse>) -> Vec<Stage> {
    let stage =
        |(parameters, response): (&Range<usize>, StageResponse)| Stage { parameters: parameters.clone(), response };
    blocks.iter().zip(responses).map(stage).collect()
}

/// Threshold of a Hessian with the top eigenpair alone: each stage has one coordinate, the root of its energy.
fn rank_one(blocks: &[Range<usize>], responses: &Responses, top: &Eigenpair) -> Result<f64, TheoryError> {
    let root = |block: &Range<usize>| top.vector[block.clone()].iter().map(|x| x * x).sum::<f64>().sqrt();
    let roots: Vec<f64> = blocks.iter().map(root).collect();
    let places: Vec<Range<usize>> = (0..roots.len()).map(|place| place..place + 1).collect();
    let product = |vectors: &[Vec<f64>]| {
        let product = |v: &Vec<f64>| {
            let along: f64 = v.iter().zip(&roots).map(|(v, root)| v * root).sum();
            roots.iter().map(|root| top.value * along * root).collect()
        };
        vectors.iter().map(product).collect()
    };
    threshold(&staged(&places, responses.forward.clone()), &[&roots], product).map(|found| found.lr)
}
