//! Closed-form stability thresholds of delayed SGD.
//!
//! *What it is:* the exact largest gain `K = lr x curvature` at which a minimum keeps its runs, for the equation of an update
//! rule under a law of delays, and what follows from it. *What it is not:* a simulation, or a statement about anything but the
//! quadratic around a minimum, one curvature direction at a time where there is no noise of minibatches. The module imports nothing of the rest of the crate.
//!
//! | question | function |
//! | --- | --- |
//! | the threshold of an equation, for any law of delays and criterion | [`threshold()`] |
//! | the same with weight decay, at a fixed delay in the mean | [`margin_with_decay`] |
//! | how fast a run grows or decays at a gain | [`dominant_root`] |
//! | the fastest parameters of a rule, and the bound on all rules | [`tuning`] |
//! | the threshold under minibatches, from the Hessians of samples | [`second_moment_threshold`], [`epoch_threshold`] |
//! | the threshold of a pipeline whose stages have delays of their own, from the whole Hessian | [`stages`] |
//!
//! Rules are not known here: each states its [`Equation`] in its own file ([`crate::rule`]).
//!
//! # Words
//! The *delay* tau is the number of updates between reading the weights and applying their gradient; 0 is synchronous. The
//! *gain* `K` is the learning rate times the curvature. The *threshold* `K*` ends the stable range `0 < K < K*`. With
//! momentum `m` and dampening `d` a constant gradient moves the weights by the *effective* learning rate
//! `lr N(1)/D'(1)` per update, which is `lr (1-d)/(1-m)` for heavy-ball; `d = m` is the exponential-moving-average (EMA) form,
//! in which that equals `lr`.
//!
//! # Stability in the mean
//! Near a minimum the loss is a quadratic, and along an eigenvector of its Hessian with eigenvalue `lambda` the gradient
//! read tau updates ago is `lambda x[t-tau]`. Every rule is then a linear recurrence. Looking for solutions `x[t] = z^t`
//! turns it into a polynomial equation `D(z) + K N(z) = 0`, and the run returns to the minimum iff all its roots lie
//! strictly inside the unit circle.
//!
//! - **sgd**, `x[t+1] = x[t] - lr g[t]`: multiply `z = 1 - K z^-tau` by `z^tau` for `D = (z-1) z^tau`, `N = 1`.
//! - **heavy-ball**, `v[t+1] = m v[t] + (1-d) g[t]`, `x[t+1] = x[t] - lr v[t+1]`: the velocity is `(1-d) z / (z-m)` times
//!   the gradient (counted at its new value), so `D = (z-1)(z-m) z^tau`, `N = (1-d) z`.
//! - **nesterov** moves by `g + m v` instead: `N = (z-m) + m (1-d) z` over the same `D`.
//! - **shifted**, one velocity per worker, which at a fixed delay is `v[t+1] = m v[t-tau] + (1-d) g[t]`: the velocity's own
//!   memory is as old as the gradient, `D = (z-1)(z^(tau+1) - m)`, `N = (1-d) z`.
//! - **weight prediction** reads `x[t-tau] + tau (x[t-tau] - x[t-tau-1])`, which multiplies heavy-ball's `N` by
//!   `1 + tau (1 - 1/z)`: `N = (1-d) ((1+tau) z - tau)`.
//! - **delayed Nesterov** reads the look-ahead `y = x + m (x - x[-1])` and steps from it: `N = (1-d) ((1+m) z - m)`.
//! - **staleness-scaled** divides heavy-ball's `N` by `max(1, tau)`.
//! - **weight decay** of `rho lambda` adds `rho K N` when the worker adds it to its late gradient, and `rho K z^tau N`
//!   when the server adds that of its current weights, as PyTorch's optimisers do (for weight prediction
//!   `rho K z^tau (1-d) z`, for it decays the weights that are there and not the predicted ones).
//!
//! For a small `K` the roots are those of `D`, inside the circle but for `z = 1`, which moves to
//! `1 - K N(1)/D'(1)`, inwards. So the stable range starts at 0 and ends at the first gain at which a root reaches the
//! circle, where `-D/N` is real and positive: the gain margin of control theory. For sgd
//! `-D/N = 2 sin(w/2) e^{i(3 pi/2 + (tau + 1/2) w)}` at `z = e^{iw}`, real and positive first at `w = pi/(2 tau + 1)`:
//!
//! ```text
//! K* = 2 sin(pi / (2 (2 tau + 1))), about pi / (2 tau + 1).
//! ```
//!
//! The search for the other rules isolates every crossing by the monotone pieces of the unwrapped phase and is logarithmic in
//! the delay. The crossing's angle is the frequency of the oscillation seen at the edge.
//!
//! Limits worth knowing: at `tau = 0` heavy-ball and shifted have `2 (1+m)/(1-d)`; at `tau = 1` heavy-ball has
//! `(1-m)/(1-d)` and shifted `(1-m^2)/(1-d)`. As `m -> 1` in EMA form heavy-ball tends to `1/tau`, delayed Nesterov to
//! `1/(tau-1)` and shifted to `2/tau`: momentum on the server loses with delay, and one velocity per worker gains, but only
//! at equal effective learning rate.
//!
//! # Stability in mean square
//! A minibatch sees the curvature `lambda (1 + xi)`, `E xi = 0`, `E xi^2 = r`. The noise `K xi x[t-tau]` has the power
//! `r K^2 E x^2`, and passes to the weights through `N / (D + K N)`, so the power returns multiplied by
//! `r K^2 ||N/(D + K N)||^2`, the squared H2 norm: the mean of the modulus squared over the unit circle. The variance stays
//! bounded iff the mean is stable and that is below 1. At a fixed delay the norm has a closed form, a sum of at most two
//! residues; for sgd the threshold `K = 2 sin(w/2)` solves
//!
//! ```text
//! r tan(w/2) tan(pi/4 + (2 tau + 1) w/4) = 1,
//! ```
//!
//! which is `K (1 + r) = 2` at `tau = 0` and the mean's threshold as `r -> 0`.
//!
//! # Minibatches, exactly
//! The relative variance `r` speaks of one direction. Real minibatches also turn the weights from one direction of curvature into
//! others and back, and with momentum that decides. Let `H_B` be the Hessian of a batch, `H` its mean, and `y` the weights that
//! are read. The gradient `H_B y` is that of the full batch and a noise `(H_B - H) y` which, for batches drawn afresh, is white. In
//! the eigenbasis of `H` a second moment `S = E y y^T` comes back as `p L o C(S)`, where
//!
//! ```text
//! C(S) = mean over samples of H_i S H_i - H S H,     p = (n-B)/(B(n-1)) for B distinct samples of n,
//! L_jk = lr^2 (1/2pi) int G_j conj(G_k) dw,          G_j = N / (D + lr lambda_j N),
//! ```
//!
//! and `o` multiplies entry by entry. The rule is stable in mean square iff it is stable in the mean and the spectral radius of
//! this map is below 1 ([`second_moment_threshold`]). `L` has a closed form, a sum of two residues whatever the delay; the radius
//! comes from powers of the map. With one direction alone it is `r K^2 ||N/(D + K N)||^2 < 1` again.
//!
//! Where a problem has more than 64 parameters the map is known on 64 leading directions of curvature; a half step of the map
//! carries it into 129 in all, and three times the difference to the same from 32 is the error that is told. Batches of
//! an epoch without repetition depend on the samples that it has visited; where those, the parameters and the delay are few
//! ([`epoch_threshold`]) second moments are carried through an epoch set by set. Nothing is said of networks whose samples are
//! joined by a batch norm, of delays that vary under minibatches, and of rules that are not linear in the gradient: their equations hold for full batches,
//! whose gradients vanish at the minimum.
//!
//! # Random delays
//! *Independent draws* from probabilities `p_j` put `P(z) = sum_j p_j z^-j` in place of `z^-tau`. A geometric distribution
//! `p_j = (1-q) q^j` has `P = (1-q) z/(z-q)`: synchronous heavy-ball with momentum `q` and the gain scaled by `1-q`. In mean
//! square the draw itself is noise, and the condition is `K^2 ((1+r) ||T||^2 - ||P T||^2) < 1` with `T` the transfer from a
//! gradient to the weights.
//!
//! *Randomly reporting workers* are not independent draws: the delay of a worker depends on when it was last served. The
//! mean of the full state is stable up to `2N - 1` for sgd, where independent geometric delays would say `4N - 2`. Second
//! moments follow a small linear operator on interchangeable states; for sgd its threshold solves
//!
//! ```text
//! N (1+r) K^2 - (1-r) K - 2 = 0 .
//! ```
//!
//! The mean returns long after the variance has left: for random delays mean-square is the criterion to act on. (A third
//! one, almost-sure stability, has no closed form and is a matter of simulation.)
//!
//! # Preserving the minima
//! A minimum of curvature `lambda` is accessible iff `lr lambda < K*`. So a change of rule and delay keeps the accessible
//! minima iff `lr1 / lr0 = K1* / K0*`, which is what [`crate::rule::advise()`] computes, together with what it costs along directions that
//! are too flat to be limited: there progress per update is the effective learning rate.
//!
//! # What is known from where
//! - The equations of delayed sgd and of server momentum, the preservation of minima by `lr` proportional to `1/tau`, and
//!   shifted momentum: Giladi, Nacson, Hoffer and Soudry, *At Stability's Edge: How to Adjust Hyperparameters to Preserve
//!   Minima Selection in Asynchronous Training of Neural Networks?*, ICLR 2020. The closed form for sgd is a classical one
//!   for `x[t+1] = x[t] - K x[t-tau]` (Levin and May, *A note on difference-delay equations*, 1976).
//! - Asynchrony begets momentum: Mitliagkas, Zhang, Hadjis and Re, arXiv:1605.09774. Staleness-scaled learning rates: Zhang,
//!   Gupta, Lian and Liu, arXiv:1511.05950. Weight prediction: Chen, Yang and Cheng, *SpecTrain*, arXiv:1809.02839. Delayed
//!   Nesterov: Ajanthan et al., arXiv:2505.01099.
//! - Synchronous stability of sgd in mean square: Wu, Ma and E, *How SGD Selects the Global Minima in Over-parameterized
//!   Learning*, NeurIPS 2018; Mulayoff and Michaeli, arXiv:2306.07850. With momentum at `tau = 0`:
//!   arXiv:2604.14108, whose formula the closed form here reproduces.
//! - The H2 criterion for multiplicative noise in one channel is standard in control (Willems and Blankenship, 1971), as are
//!   the gain margin and the recursion of Astrom and Jury for the norm.
//! - *Ours, in the sense that we know no statement of it:* the mean-square threshold with delay and momentum together, its
//!   evaluation by residues and the tangent formula for sgd; the map of second moments under minibatches with delay and
//!   momentum, which without either is the condition of Mulayoff and Michaeli; the mean-square condition for independent
//!   delays; both thresholds of randomly reporting workers. Each is tested against the spectral radius of a matrix that knows none of these formulas.

mod binomial;
mod bisection;
mod characteristic;
mod epochs;
mod equation;
mod error;
mod growth;
mod law;
mod margin;
mod mean_square;
mod mixed;
mod mixed_noise;
mod mixture;
pub mod outer;
mod periodic;
mod random_delay;
mod range;
mod response;
mod second_moment;
pub mod stages;
mod threshold;
pub mod tuning;
mod workers;

pub use epochs::epoch_threshold;
pub use equation::{DAMPENINGS, Equation, Lag, MOMENTA, Velocity, WeightDecay};
pub use error::TheoryError;
pub use growth::{DominantRoot, dominant_root};
pub use law::{DelayLaw, DelayPmf, LONGEST_DELAY, LONGEST_PMF};
pub use margin::{Margin, margin_with_decay};
pub use second_moment::{CurvatureNoise, SecondMomentThreshold, second_moment_threshold};
pub use threshold::{Criterion, Threshold, threshold};
