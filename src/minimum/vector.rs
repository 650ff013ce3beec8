//! Vectors as argmin computes with them: a multiple is not written out before something is added to it, and sums of products run through
//! several numbers at a time. L-BFGS does hardly anything else: for many parameters its time is that of reading its pairs.

use crate::math::{ordered_sum_of, ordered_sum_of_pairs};
use argmin_math::{
    ArgminAdd, ArgminDot, ArgminL1Norm, ArgminL2Norm, ArgminMinMax, ArgminMul, ArgminSignum, ArgminSub, ArgminZeroLike,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `by` times `numbers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<f64>", into = "Vec<f64>")]
pub struct Vector {
    numbers: Arc<Vec<f64>>,
    by: f64,
}

impl Vector {
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Its numbers, written out.
    pub fn numbers(&self) -> Arc<Vec<f64>> {
        if self.by == 1.0 { Arc::clone(&self.numbers) } else { Arc::new(self.iter().collect()) }
    }

    fn iter(&self) -> impl Iterator<Item = f64> {
        self.numbers.iter().map(|x| self.by * x)
    }

    fn map(&self, of: impl Fn(f64) -> f64) -> Self {
        self.iter().map(of).collect::<Vec<f64>>().into()
    }

    fn with(&self, other: &Self, of: impl Fn(f64, f64) -> f64) -> Self {
        self.iter().zip(other.iter()).map(|(a, b)| of(a, b)).collect::<Vec<f64>>().into()
    }
}

impl From<Vec<f64>> for Vector {
    fn from(numbers: Vec<f64>) -> Self {
        Self { numbers: Arc::new(numbers), by: 1.0 }
    }
}

impl From<Vector> for Vec<f64> {
    fn from(vector: Vector) -> Self {
        vector.iter().collect()
    }
}

impl ArgminDot<Self, f64> for Vector {
    fn dot(&self, other: &Self) -> f64 {
        self.by * other.by * ordered_sum_of_pairs(&self.numbers, &other.numbers, |a, b| a * b)
    }
}

impl ArgminMul<f64, Self> for Vector {
    fn mul(&self, by: &f64) -> Self {
        Self { numbers: Arc::clone(&self.numbers), by: self.by * by }
    }
}

impl ArgminMul<Vector, Vector> for f64 {
    fn mul(&self, vector: &Vector) -> Vector {
        vector.mul(self)
    }
}

impl ArgminMul<Self, Self> for Vector {
    fn mul(&self, other: &Self) -> Self {
        self.with(other, |a, b| a * b)
    }
}

impl ArgminAdd<Self, Self> for Vector {
    fn add(&self, other: &Self) -> Self {
        self.with(other, |a, b| a + b)
    }
}

impl ArgminAdd<f64, Self> for Vector {
    fn add(&self, other: &f64) -> Self {
        self.map(|a| a + other)
    }
}

impl ArgminSub<Self, Self> for Vector {
    fn sub(&self, other: &Self) -> Self {
        self.with(other, |a, b| a - b)
    }
}

impl ArgminSub<f64, Self> for Vector {
    fn sub(&self, other: &f64) -> Self {
        self.map(|a| a - other)
    }
}

impl ArgminL1Norm<f64> for Vector {
    fn l1_norm(&self) -> f64 {
        self.by.abs() * ordered_sum_of(&self.numbers, f64::abs)
    }
}

impl ArgminL2Norm<f64> for Vector {
    fn l2_norm(&self) -> f64 {
        self.by.abs() * ordered_sum_of(&self.numbers, |x| x * x).sqrt()
    }
}

impl ArgminSignum for Vector {
    fn signum(self) -> Self {
        self.map(f64::signum)
    }
}

impl ArgminZeroLike for Vector {
    fn zero_like(&self) -> Self {
        vec![0.0; self.len()].into()
    }
}

impl ArgminMinMax for Vector {
    fn min(a: &Self, b: &Self) -> Self {
        a.with(b, f64::min)
    }
    fn max(a: &Self, b: &Self) -> Self {
        a.with(b, f64::max)
    }
}
