//! A server with `N` workers of which a uniformly random one reports at each update: its snapshot's gradient is
//! applied, and it takes the new weights.
//!
//! The delays of this process are not independent (a worker just served has a young snapshot), so it is treated as the
//! Markov process it is. Workers are interchangeable, which splits the state of mean into the average worker, which
//! couples to the server, and deviations from it, which do not. Averaged over the draw a snapshot follows
//! `s' = (1 - 1/N) s + x'/N`, a geometric delay, so the average worker obeys
//! `a(z) (z - 1 + 1/N) + K n(z) z / N = 0`; a deviation is multiplied by `1 - (1 + c K)/N`, with `c` the share of a
//! gradient that moves the weights at once. The full state is stable in the mean when both are; for sgd the deviations
//! decide, at `K = 2N - 1`, before the average worker at `4N - 2`.
//!
//! Second moments: those of an interchangeable state are the server's, the server's with a worker, a worker's own and
//! two workers' with each other, at most 11 numbers for any `N`. The operator that carries second moments over a step
//! maps covariances to covariances, so its spectral radius has a covariance for eigenvector (Krein and Rutman), and so
//! has, averaged over all permutations of the workers, its restriction to interchangeable ones: nothing is lost. It is
//! below 1 iff `X - L(X) = I` has a positive definite solution, the stochastic Lyapunov equation.
//!
//! A rule that mixes results keeps two vectors on the server and hands both to a worker. Its average obeys `N (z - 1 + a)(z - 1 + 1/N) = a s z`
//! with `s` a root of the synchronous step, whose arguments add up to half a turn at `z = -1` alone, behind the deviations.
//!
//! For sgd the edge can be found by hand. Write `U = E x^2`, `C = E x s`, `S = E s^2` and `X = E s s'` for two workers. A
//! state that a step leaves as it is has
//!
//! ```text
//! U = U - 2 K C + K^2 (1+r) S          hence  2 C = K (1+r) S
//! S = U/N + (1 - 1/N) S                hence  S = U
//! X = (2/N) (C - K X) + (1 - 2/N) X    hence  X = C / (1+K)
//! C = U/N + (1 - 1/N) (C - K X)        hence  1 = 2 / (N K (1+r)) + (1 - 1/N) / (1+K)
//! ```
//!
//! and the last line is `N (1+r) K^2 - (1-r) K - 2 = 0`.

use std::f64::consts::PI;

use nalgebra::{Cholesky, DMatrix, DVector};

use super::TheoryError;
use super::binomial::Binomial;
use super::bisection::bisect;
use super::characteristic::Characteristic;
use super::equation::{Equation, Velocity, linear_factor};
use super::margin::{Margin, first_crossing, gain_margin};
use super::mean_square::mean_square_margin;
use super::periodic::grows_by;

fn validate(equation: &Equation, workers: usize) -> Result<(), TheoryError> {
    equation.validate()?;
    if workers == 0 {
        return Err(TheoryError::Workers(workers));
    }
    let [n0, n1] = equation.numerator;
    let unsupported = |what: &str| Err(TheoryError::unsupported(what, &equation.law));
    if equation.divisor.is_some() {
        return unsupported("a factor that depends on the age of a gradient");
    }
    let constant = n1 == 0.0;
    match equation.velocity {
        Velocity::None if constant => Ok(()),
        Velocity::Worker { .. } if n0 == n1 => Ok(()),
        Velocity::Server { momentum } if n0 == n1 || momentum > 0.0 => Ok(()),
        _ => unsupported("a rule that keeps more of the past than a velocity"),
    }
}

/// Threshold gain with `workers` randomly reporting workers, for stability of the mean of the full state.
///
/// # Errors
/// Coefficients out of range, no workers, or an equation that needs more of the past than a worker keeps.
pub(super) fn random_workers_margin(equation: &Equation, workers: usize) -> Result<Margin, TheoryError> {
    validate(equation, workers)?;
    if workers == 1 {
        return gain_margin(equation, 0);
    }
    let n = workers as f64;
    if let Some(share) = equation.share {
        // A worker takes the new state, of which its own result is the share a: with s = -sigma a root of its own step a deviation
        // is multiplied by 1 - 1/N - a sigma / N.
        let (momentum, sigma) = (equation.velocity.momentum(), (2.0 * n - 1.0) / share);
        let gain = (1.0 + momentum + sigma + momentum / sigma) / equation.numerator[0];
        return Ok(Margin { gain, angle: PI });
    }
    let stay = 1.0 - 1.0 / n;
    let [n0, n1] = equation.numerator;
    let (mut zeros, scale) = linear_factor([n0, n1]);
    let integrator = Binomial::root(1.0);
    let poles = match equation.velocity {
        Velocity::None => {
            zeros.push(Binomial::delay(1));
            vec![integrator, Binomial::root(stay)]
        }
        // The velocity of a worker is also taken up only when it reports.
        Velocity::Worker { momentum } => vec![integrator, Binomial::root(stay + momentum / n)],
        Velocity::Server { momentum } => {
            zeros.push(Binomial::delay(1));
            vec![integrator, Binomial::root(momentum), Binomial::root(stay)]
        }
    };
    let average = first_crossing(&Characteristic::new(poles, zeros, scale / n))?;
    // A deviation is multiplied by 1 - (1 - kept + moved K) / N.
    let (moved, kept) = match equation.velocity {
        Velocity::None => (n0, 0.0),
        Velocity::Worker { momentum } => (n1, momentum),
        Velocity::Server { .. } => (n1, 0.0),
    };
    let deviation = (2.0 * n - 1.0 + kept) / moved;
    Ok(if deviation < average.gain { Margin { gain: deviation, angle: PI } } else { average })
}

/// Threshold gain with `workers` randomly reporting workers and gradient noise of relative variance `r`, for stability
/// in mean square.
///
/// The stable range is followed upwards from small gains in steps of 5 % and its end then bisected.
///
/// # Errors
/// As [`random_workers_margin`], or a relative variance that is negative or not finite.
pub(super) fn random_workers_mean_square_margin(
    equation: &Equation,
    workers: usize,
    relative_variance: f64,
) -> Result<f64, TheoryError> {
    const STEP: f64 = 1.05;
    validate(equation, workers)?;
    if !(relative_variance >= 0.0 && relative_variance.is_finite()) {
        return Err(TheoryError::RelativeVariance(relative_variance));
    }
    if workers == 1 {
        return mean_square_margin(equation, 0, relative_variance);
    }
    let mean = random_workers_margin(equation, workers)?.gain;
    let stable = |gain: f64| Moments::new(equation, workers, gain, relative_variance).is_stable();
    let mut low = 1e-2 * mean / (workers as f64).powi(2) / (1.0 + relative_variance);
    while !stable(low) {
        low *= 0.1;
        if low < 1e-30 * mean {
            return Err(TheoryError::Unbounded);
        }
    }
    while low < mean && stable(STEP * low) {
        low *= STEP;
    }
    Ok(bisect(low, (STEP * low).min(mean), stable))
}

/// Growth per update with `workers` randomly reporting workers of which each report is the linear map `report`, of the server's two
/// numbers and the reporter's two: of the mean of the full state, and of the root of its mean square; logarithms.
pub(super) fn random_workers_growth(report: &DMatrix<f64>, workers: usize) -> [f64; 2] {
    let n = workers as f64;
    if workers == 1 {
        return [grows_by(report.clone()); 2];
    }
    // The average worker with the server, and deviations from it.
    let mut average = report.clone();
    average.rows_mut(2, 2).scale_mut(1.0 / n);
    (2..4).for_each(|place| average[(place, place)] += 1.0 - 1.0 / n);
    let deviation = DMatrix::identity(2, 2) * (1.0 - 1.0 / n) + report.view((2, 2), (2, 2)) / n;
    let mean = grows_by(average).max(grows_by(deviation));
    let moments = Moments {
        workers: n,
        server: 2,
        worker: 2,
        report: report.clone(),
        noise: DMatrix::zeros(4, 4),
        relative_variance: 0.0,
    };
    // Rounding leaves 1e-5 of a growth whose root is triple.
    [mean, mean.max(0.5 * grows_by(moments.operator()))]
}

/// The second-moment operator on interchangeable states.
struct Moments {
    workers: f64,
    /// Size of the server's state, of a worker's.
    server: usize,
    worker: usize,
    /// One report: server and reporting worker before to after.
    report: DMatrix<f64>,
    /// The part of `report` in front of the gradient noise.
    noise: DMatrix<f64>,
    relative_variance: f64,
}

/// Second moments of an interchangeable state: server, server with a worker, worker, worker with another worker.
struct Second {
    uu: DMatrix<f64>,
    uq: DMatrix<f64>,
    qq: DMatrix<f64>,
    qp: DMatrix<f64>,
}

impl Moments {
    fn new(equation: &Equation, workers: usize, gain: f64, relative_variance: f64) -> Self {
        let (server, worker) = sizes(equation);
        let report = report(equation, gain, 1.0);
        let noise = &report - self::report(equation, gain, 0.0);
        Self { workers: workers as f64, server, worker, report, noise, relative_variance }
    }

    fn lengths(&self) -> [usize; 4] {
        let (u, q) = (self.server, self.worker);
        [u * u, u * q, q * q, q * q]
    }

    fn unpack(&self, flat: &DVector<f64>) -> Second {
        let (u, q) = (self.server, self.worker);
        let mut start = 0;
        let mut take = |rows: usize, columns: usize| {
            let slice = &flat.as_slice()[start..start + rows * columns];
            start += rows * columns;
            DMatrix::from_column_slice(rows, columns, slice)
        };
        Second { uu: take(u, u), uq: take(u, q), qq: take(q, q), qp: take(q, q) }
    }

    fn pack(&self, second: &Second) -> DVector<f64> {
        let parts = [&second.uu, &second.uq, &second.qq, &second.qp];
        let values = parts.iter().flat_map(|part| part.iter().copied());
        DVector::from_iterator(self.lengths().iter().sum(), values)
    }

    /// Second moments after one step, averaged over which worker reported.
    fn step(&self, before: &Second) -> Second {
        let (u, q, n) = (self.server, self.worker, self.workers);
        let mut joint = DMatrix::zeros(u + q, u + q);
        joint.view_mut((0, 0), (u, u)).copy_from(&before.uu);
        joint.view_mut((0, u), (u, q)).copy_from(&before.uq);
        joint.view_mut((u, 0), (q, u)).copy_from(&before.uq.transpose());
        joint.view_mut((u, u), (q, q)).copy_from(&before.qq);
        let reported = &self.report * &joint * self.report.transpose()
            + self.relative_variance * (&self.noise * &joint * self.noise.transpose());

        // Server and reporter against a worker that did not report.
        let mut aside = DMatrix::zeros(u + q, q);
        aside.view_mut((0, 0), (u, q)).copy_from(&before.uq);
        aside.view_mut((u, 0), (q, q)).copy_from(&before.qp);
        let aside = &self.report * aside;
        let reporter_aside = aside.view((u, 0), (q, q)).clone_owned();

        Second {
            uu: reported.view((0, 0), (u, u)).clone_owned(),
            uq: reported.view((0, u), (u, q)) / n + aside.view((0, 0), (u, q)) * (1.0 - 1.0 / n),
            qq: reported.view((u, u), (q, q)) / n + &before.qq * (1.0 - 1.0 / n),
            qp: (&reporter_aside + reporter_aside.transpose()) / n + &before.qp * (1.0 - 2.0 / n),
        }
    }

    /// [`Moments::step`] as a matrix.
    fn operator(&self) -> DMatrix<f64> {
        let size: usize = self.lengths().iter().sum();
        let image = |i: usize| {
            let mut unit = DVector::zeros(size);
            unit[i] = 1.0;
            self.pack(&self.step(&self.unpack(&unit)))
        };
        DMatrix::from_columns(&(0..size).map(image).collect::<Vec<_>>())
    }

    /// Whether `X - L(X) = I` has a positive definite solution.
    fn is_stable(&self) -> bool {
        let operator = self.operator();
        let system = DMatrix::identity(operator.nrows(), operator.ncols()) - operator;
        let (u, q) = (self.server, self.worker);
        let identity = self.pack(&Second {
            uu: DMatrix::identity(u, u),
            uq: DMatrix::zeros(u, q),
            qq: DMatrix::identity(q, q),
            qp: DMatrix::zeros(q, q),
        });
        let Some(solution) = system.lu().solve(&identity) else {
            return false;
        };
        self.is_positive_definite(&self.unpack(&solution))
    }

    /// An interchangeable covariance splits into deviations between workers, and the server with the workers' sum.
    fn is_positive_definite(&self, second: &Second) -> bool {
        let (u, q, n) = (self.server, self.worker, self.workers);
        let mut summed = DMatrix::zeros(u + q, u + q);
        let cross = &second.uq * n.sqrt();
        summed.view_mut((0, 0), (u, u)).copy_from(&second.uu);
        summed.view_mut((0, u), (u, q)).copy_from(&cross);
        summed.view_mut((u, 0), (q, u)).copy_from(&cross.transpose());
        summed.view_mut((u, u), (q, q)).copy_from(&(&second.qq + &second.qp * (n - 1.0)));
        Cholesky::new(&second.qq - &second.qp).is_some() && Cholesky::new(summed).is_some()
    }
}

/// Sizes of the server's and a worker's state.
fn sizes(equation: &Equation) -> (usize, usize) {
    match equation.velocity {
        _ if equation.share.is_some() => (2, 2),
        Velocity::None => (1, 1),
        Velocity::Worker { .. } => (1, 2),
        Velocity::Server { .. } => (2, 1),
    }
}

/// One report as a matrix: server state (weights that workers read, velocity) and the reporting worker's (snapshot,
/// velocity). Any state with the transfer `N / ((z-1)(z-m))` from gradient to weights has the same moments: here the
/// gradient moves the weights by `b g` at once and by a velocity `v = m v + a g`, with `b (z-m) + a z = N`.
fn report(equation: &Equation, lr: f64, curvature: f64) -> DMatrix<f64> {
    let [n0, n1] = equation.numerator;
    let (server, worker) = sizes(equation);
    let size = server + worker;
    let columns: Vec<DVector<f64>> = (0..size)
        .map(|i| {
            let mut state = vec![0.0; size];
            state[i] = 1.0;
            let x = state[0];
            let gradient = |snapshot: f64| curvature * snapshot;
            let next = match equation.velocity {
                velocity if let Some(share) = equation.share => {
                    let ([x, p], [read, before]) = ([state[0], state[1]], [state[2], state[3]]);
                    let result = read + velocity.momentum() * (read - before) - lr * n0 * gradient(read);
                    let mixed = [x + share * (result - x), p + share * (read - p)];
                    [mixed, mixed].concat()
                }
                Velocity::None => {
                    let x = x - lr * (n0 * gradient(state[1]));
                    vec![x, x]
                }
                Velocity::Worker { momentum } => {
                    let velocity = momentum * state[2] + n1 * gradient(state[1]);
                    let x = x - lr * velocity;
                    vec![x, x, velocity]
                }
                Velocity::Server { momentum } => {
                    let gradient = gradient(state[2]);
                    let at_once = if n0 == n1 { 0.0 } else { (n1 - n0) / momentum };
                    let velocity = momentum * state[1] + (n1 - at_once) * gradient;
                    let x = x - lr * (at_once * gradient + velocity);
                    vec![x, velocity, x]
                }
            };
            DVector::from_vec(next)
        })
        .collect();
    DMatrix::from_columns(&columns)
}
