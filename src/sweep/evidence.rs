//! The minimum of a sweep: searched or certified with the unfinished folder open, kept there for `--resume`, and described in
//! run.json and in tables.
//!
//! Not here: the search itself ([`crate::minimum`]).

use crate::curvature::{self, Effort, Eigenpair};
use crate::files::write_whole;
use crate::layer::tensor::Tensor;
use crate::math::ordered_sum;
use crate::minimum::{self, DescentStart, KeptSearch, Minimum, MinimumError, MinimumSearch, Seen};
use crate::plan::SweepPlan;
use crate::problem::network::FullBatch;
use crate::problem::weights::to_safetensors;
use crate::problem::{DenseQuadratic, Network, Problem};
use crate::session::Stage;
use crate::table::number::significant;
use crate::table::{Convergence, EigenvalueRow, EnergyRow, write_csv};
use crate::text::counted;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::io;
use std::path::Path;

/// In an unfinished folder: the best weights of a search for a minimum, and the search itself.
const BEST: &str = "minimum-search.safetensors";
const SEARCH: &str = "minimum-search.cbor";

/// In an unfinished folder: the minimum with its eigenvectors, once it is found.
const FOUND: &str = "minimum.cbor";

/// In a finished folder, where they were asked for.
pub const EIGENVALUES: &str = "eigenvalues.csv";
pub const ENERGIES: &str = "energies.csv";

/// A minimum, and what else was asked of it.
#[derive(Clone, Debug)]
pub struct Evidence {
    pub minimum: Minimum,
    moved: Option<Moved>,
    /// The largest eigenpairs, where they were asked for.
    top: Vec<Eigenpair>,
}

/// How far a descent from given weights went.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Moved {
    from: String,
    /// ||minimum - given weights||
    distance: f64,
    /// The same over the norm of the given weights.
    relative: f64,
}

/// What run.json says of the minimum.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MinimumFacts {
    loss: f64,
    gradient_max: f64,
    gradient_evaluations: u64,
    lambda_max: Eigenpair,
    lambda_min: Eigenpair,
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<Moved>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    eigenvalues: Vec<EigenvalueRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    energies: Vec<EnergyRow>,
}

impl Evidence {
    /// Finds the minimum of a plan, or certifies that of its file; `given` are the weights of the file that the plan names. None
    /// where `stage` asks to stop.
    ///
    /// # Errors
    /// Where there is no minimum, or what is to be kept cannot be written.
    pub fn gather(
        plan: &SweepPlan,
        problem: &Problem,
        given: Option<&[f64]>,
        stage: &mut Stage,
    ) -> Result<Option<Self>> {
        let Some(minimum) = search(plan, problem, given, stage)? else { return Ok(None) };
        let from = plan.problem.minimum_from.as_deref().zip(given);
        let moved = from.map(|(from, given)| Moved::new(from, given, &minimum));
        let top = match plan.top {
            None => Vec::new(),
            Some(count) => match largest(problem, &minimum, count.into(), stage)? {
                Some(top) => top,
                None => return Ok(None),
            },
        };
        Ok(Some(Self { minimum, moved, top }))
    }

    /// The minimum in a line.
    pub fn describe(&self, problem: &Problem) -> String {
        let Minimum { loss, gradient_max, largest, smallest, .. } = &self.minimum;
        let moved = self.moved.as_ref().map_or(String::new(), |Moved { from, distance, relative }| {
            format!(", {distance:.2e} ({relative:.2e} of their norm) from the weights of {from}")
        });
        format!(
            "{}, loss {}, max|gradient| {}, lambda_max {}, lambda_min {}{moved}",
            counted(problem.dimension(), "parameter"),
            significant(*loss, 6),
            significant(*gradient_max, 2),
            significant(largest.value, 6),
            significant(smallest.value, 3)
        )
    }

    pub fn facts(&self, problem: &Problem) -> MinimumFacts {
        let minimum = &self.minimum;
        MinimumFacts {
            loss: minimum.loss,
            gradient_max: minimum.gradient_max,
            gradient_evaluations: minimum.evaluations,
            lambda_max: minimum.largest.clone(),
            lambda_min: minimum.smallest.clone(),
            moved: self.moved.clone(),
            eigenvalues: self.eigenvalues(),
            energies: self.energies(problem),
        }
    }

    fn eigenvalues(&self) -> Vec<EigenvalueRow> {
        let row = |(place, pair): (usize, &Eigenpair)| EigenvalueRow {
            index: place as u64 + 1,
            eigenvalue: pair.value,
            residual: pair.residual,
            status: if pair.converged { Convergence::Converged } else { Convergence::Unconverged },
            products: pair.iterations as u64,
        };
        self.top.iter().enumerate().map(row).collect()
    }

    fn energies(&self, problem: &Problem) -> Vec<EnergyRow> {
        let layers = layers(problem);
        let rows = |(place, pair): (usize, &Eigenpair)| {
            let row = |(layer, tensors): &(String, Vec<(usize, usize)>)| EnergyRow {
                index: place as u64 + 1,
                layer: layer.clone(),
                parameters: tensors.iter().map(|(_, length)| *length as u64).sum(),
                energy: tensors
                    .iter()
                    .map(|(offset, length)| {
                        let part = &pair.vector[*offset..offset + length];
                        ordered_sum(part.len(), |i| part[i] * part[i])
                    })
                    .sum(),
            };
            layers.iter().map(row).collect::<Vec<_>>()
        };
        self.top.iter().enumerate().flat_map(rows).collect()
    }

    /// Writes what a finished folder holds of the minimum beside its weights, and removes what only an unfinished one needs.
    ///
    /// # Errors
    /// Where a file cannot be written or removed.
    pub fn write(&self, problem: &Problem, dir: &Path) -> Result<()> {
        if !self.top.is_empty() {
            write_csv(&dir.join(EIGENVALUES), &self.eigenvalues())?;
            write_csv(&dir.join(ENERGIES), &self.energies(problem))?;
        }
        [SEARCH, BEST, FOUND].iter().try_for_each(|name| remove(&dir.join(name)))
    }
}

impl Moved {
    fn new(from: &Path, given: &[f64], minimum: &Minimum) -> Self {
        let norm = |at: &dyn Fn(usize) -> f64| ordered_sum(given.len(), |i| at(i) * at(i)).sqrt();
        let distance = norm(&|i| minimum.weights[i] - given[i]);
        Self { from: from.display().to_string(), distance, relative: distance / norm(&|i| given[i]) }
    }
}

/// The minimum that an earlier process has found in this folder, or else a new search, which goes on from what is kept there.
fn search(plan: &SweepPlan, problem: &Problem, given: Option<&[f64]>, stage: &mut Stage) -> Result<Option<Minimum>> {
    let dir = stage.dir.filter(|_| matches!(problem, Problem::Network(_)));
    let read = |name: &str| dir.and_then(|dir| fs::read(dir.join(name)).ok());
    let found = read(FOUND).and_then(|bytes| Minimum::from_bytes(&bytes));
    if let Some(minimum) = found.filter(|minimum| minimum.weights.len() == problem.dimension()) {
        return Ok(Some(minimum));
    }
    let tolerance = plan.problem.gradient_tolerance;
    let mut unwritten = None;
    let found = if plan.problem.minimum.is_some() {
        let weights = given.expect("a plan with --minimum has its weights").to_vec();
        minimum::certify_watched(problem, weights, tolerance, &mut *stage.watch)?
    } else {
        let kept = read(SEARCH);
        let seed = DescentStart::Seed(plan.problem.seed_init);
        let mut search = MinimumSearch {
            start: given.filter(|_| plan.problem.minimum_from.is_some()).map_or(seed, DescentStart::Given),
            tolerance,
            evaluations: plan.problem.minimum_evaluations,
            kept: kept.as_deref(),
            watch: &mut *stage.watch,
            keep: &mut |kept| {
                if let Some(Err(error)) = dir.map(|dir| keep(dir, problem, kept)) {
                    unwritten = Some(error);
                }
            },
        };
        let found = search.run(problem);
        match (found, unwritten) {
            // Who is to go on from what was kept must have it.
            (Ok(None), Some(error)) => return Err(error),
            (Err(refused), Some(error)) if refused.can_go_on() => return Err(error.context(refused)),
            (found, _) => found.map_err(|refused| named(refused, plan))?,
        }
    };
    let Some(minimum) = found else { return Ok(None) };
    if let Some(dir) = dir {
        write(&dir.join(FOUND), &minimum.to_bytes())?;
        [SEARCH, BEST].iter().try_for_each(|name| remove(&dir.join(name)))?;
    }
    Ok(Some(minimum))
}

/// An error with the file that the weights came from.
fn named(refused: MinimumError, plan: &SweepPlan) -> anyhow::Error {
    match &plan.problem.minimum_from {
        Some(path) => anyhow::Error::new(refused).context(format!("--minimum-from {}", path.display())),
        None => refused.into(),
    }
}

/// What an interrupted search leaves in its folder, as the second half of a sentence.
pub fn kept(dir: &Path) -> String {
    if dir.join(SEARCH).is_file() {
        format!("the search for the minimum is safe, its best weights in {}", dir.join(BEST).display())
    } else {
        "the minimum was not certified yet, and nothing is lost".into()
    }
}

fn keep(dir: &Path, problem: &Problem, kept: &KeptSearch) -> Result<()> {
    write(&dir.join(BEST), &to_safetensors(problem, kept.best, &[]))?;
    write(&dir.join(SEARCH), kept.state)
}

/// The Hessian at a minimum, as products with it are made.
enum Hessian<'a> {
    Diagonal(&'a [f64]),
    Dense(&'a DenseQuadratic),
    OfNetwork(FullBatch<'a>),
}

fn largest(problem: &Problem, minimum: &Minimum, count: usize, stage: &mut Stage) -> Result<Option<Vec<Eigenpair>>> {
    let first = minimum.largest.clone();
    let (mut products, mut stopped) = (0, false);
    let mut hessian = match problem {
        Problem::Quadratic(quadratic) => Hessian::Diagonal(&quadratic.eigenvalues),
        Problem::Dense(quadratic) => Hessian::Dense(quadratic),
        Problem::Network(network) => Hessian::OfNetwork(FullBatch::new(network)),
    };
    let mut product = |v: &[f64], hv: &mut [f64]| match &mut hessian {
        Hessian::Diagonal(eigenvalues) => {
            hv.iter_mut().zip(v).zip(*eigenvalues).for_each(|((hv, v), lambda)| *hv = lambda * v);
        }
        Hessian::Dense(quadratic) => quadratic.hessian_product(v, hv),
        Hessian::OfNetwork(batch) => batch.hessian_product(&minimum.weights, v, hv),
    };
    let found = curvature::leading(first, count, Effort::default(), |v, hv| {
        products += 1;
        stopped |= (stage.watch)(&Seen::Certificate { products }).is_break();
        // A product that is not finite ends the iteration.
        if stopped { hv.fill(f64::NAN) } else { product(v, hv) }
    });
    if stopped {
        return Ok(None);
    }
    found.context("--top: the Hessian at the minimum is not finite; accepted: inputs scaled to about 1").map(Some)
}

/// The layers of a problem by name, each with offsets and lengths of its tensors; a quadratic is one.
fn layers(problem: &Problem) -> Vec<(String, Vec<(usize, usize)>)> {
    let Problem::Network(Network { model, .. }) = problem else {
        return vec![("x".into(), vec![(0, problem.dimension())])];
    };
    let mut layers: Vec<(String, Vec<(usize, usize)>)> = Vec::new();
    for tensor in &model.graph.tensors.parameters {
        let Tensor { name, offset, .. } = tensor;
        let layer = name.rsplit_once('.').map_or(name.as_str(), |(layer, _)| layer);
        let part = (*offset, tensor.elements());
        match layers.iter_mut().find(|(name, _)| name == layer) {
            Some((_, parts)) => parts.push(part),
            None => layers.push((layer.to_owned(), vec![part])),
        }
    }
    layers
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", path.display())),
    }
}
