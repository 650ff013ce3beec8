//! What theory says of a rate: the dominant roots of the rule's equation, over the whole spectrum where it is known.
//!
//! Not here: the roots themselves ([`crate::theory::dominant_root`]).

use super::RateUnit;
use crate::problem::Problem;
use crate::sweep::PreparedSweep;
use crate::theory::dominant_root;
use nalgebra::{DMatrix, SymmetricEigen};

/// Most parameters of a quadratic whose eigenvalues are all computed.
const MOST: usize = 512;

/// The slowest direction by theory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expected {
    /// None where it does not shrink.
    pub updates: Option<f64>,
    pub curvature: f64,
}

/// The curvatures that theory looks at, and what they are.
pub(super) struct Spectrum {
    pub curvatures: Vec<f64>,
    pub name: String,
}

impl Spectrum {
    /// All eigenvalues of a quadratic, the two ends of a network's.
    pub fn of(sweep: &PreparedSweep) -> Self {
        let minimum = &sweep.minimum;
        let ends = || vec![minimum.smallest.value, minimum.largest.value];
        let (curvatures, name) = match &*sweep.problem {
            Problem::Quadratic(quadratic) => (quadratic.eigenvalues.clone(), None),
            Problem::Dense(quadratic) if quadratic.dimension() <= MOST => {
                let size = quadratic.dimension();
                let hessian = DMatrix::from_row_slice(size, size, quadratic.mean());
                (SymmetricEigen::new(hessian).eigenvalues.iter().copied().collect(), None)
            }
            Problem::Dense(_) | Problem::Network(_) => (ends(), Some("lambda_max and lambda_min".to_owned())),
        };
        let name = name.unwrap_or_else(|| match curvatures.len() {
            1 => "the only eigenvalue".to_owned(),
            count => format!("all {count} eigenvalues"),
        });
        Self { curvatures, name }
    }

    /// The slowest of its directions for a unit; none where no theory of its rate is known.
    pub fn expected(&self, sweep: &PreparedSweep, unit: &RateUnit) -> Option<Expected> {
        if sweep.plan.members(&unit.cell) > 1 || unit.cell.stages.is_some() {
            return None;
        }
        let cell = &unit.cell;
        let equation = cell.outer.equation(&cell.rule, &cell.schedule.theory()?)?;
        let rate = |curvature: f64| {
            let gain = unit.lr * cell.seen(curvature)?;
            let growth = if gain > 0.0 { dominant_root(&equation, gain).ok()?.rate } else { 0.0 };
            Some((-growth, curvature))
        };
        let all: Option<Vec<(f64, f64)>> = self.curvatures.iter().map(|curvature| rate(*curvature)).collect();
        let (rate, curvature) = all?.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
        let updates = (rate > 0.0 && rate.is_finite()).then(|| rate.recip());
        Some(Expected { updates, curvature })
    }
}
