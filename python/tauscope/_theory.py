"""Thresholds in closed form, and advice that follows from them."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt

from . import _call, _core, _trace
from ._table import Table

Floats = npt.NDArray[np.float64]
#: A number, or an array of them that is broadcast against the others.
Numbers = Union[float, Sequence[float], npt.NDArray[Any]]
Names = Union[str, Sequence[str], npt.NDArray[Any]]
Trace = Union[str, "os.PathLike[str]", Sequence[int], npt.NDArray[Any]]

if TYPE_CHECKING:
    from ._core import Given, Points


def threshold(
    rule: Names,
    delay: Numbers | None = None,
    *,
    momentum: Numbers | None = None,
    dampening: Numbers | str = 0.0,
    criterion: str | None = None,
    relative_variance: Numbers = 0.0,
    fresh_share: Numbers = 0.0,
    local_steps: Numbers | None = None,
    local_gain: Numbers | None = None,
    schedule: str | None = None,
    trace: Trace | None = None,
    pmf: Sequence[float] | npt.NDArray[Any] | None = None,
    stages: Sequence[int] | None = None,
) -> Any:
    """Largest gain at which a minimum keeps its runs: stable for `0 < lr * curvature < threshold`.

    All of rule, delay, momentum, dampening, relative_variance, fresh_share, local_steps and local_gain may be arrays; they are
    broadcast as numpy does.

    Args:
        rule: Update rule, as "sgd", "heavy-ball", "nesterov", "shifted" (one velocity for each worker), or one with its
            number, "ringmaster:4". Rules without momentum do not look at momentum and dampening.
        delay: Updates between reading the weights and applying their gradient, 0 or more; N workers in turn have N - 1. The
            mean, where the process is random. Not with delays of one's own (trace, pmf).
        momentum: From 0 to below 1; by default the rule's own, 0.9 for most.
        dampening: PyTorch's dampening, from 0 to below 1, or "ema" for the value of the momentum.
        criterion: "mean", or "mean-square" where the variance of the weights must return too. By default "mean-square"
            where delays or gradients are random, else "mean".
        relative_variance: Variance of the curvature that a minibatch sees, relative to its mean squared.
        fresh_share: Share, from 0 to 1, of an applied gradient that is taken at the newest weights; 1/M for eager updates of M
            replicas. Above 0 only at a fixed delay.
        local_steps: Local steps of a round; the rule is then an outer rule, the delay counts rounds, and the answer is the
            limit of the outer learning rate (`coverage`).
        local_gain: Local learning rate times curvature, between 0 and 2, beside local_steps.
        schedule: Delay process, as typed after `--schedule`: "round-robin" (default), "random", "iid:geometric", ...
        trace: Recorded delays in updates, a file or the numbers; they count as if they were drawn independently.
        pmf: Probabilities of the delays 0, 1, 2, ..., drawn independently at every update.
        stages: Delays of the stages of a pipeline, one rule and one momentum for all: the estimate of `stage_threshold` where each
            has the same share of the top eigenvector. Not beside other delays, noise, or an outer loop.

    Returns:
        Threshold gains `lr * curvature` without unit, or limits of the outer learning rate: a float, or an array of the
        broadcast shape.

    Raises:
        ValueError: A rule without a characteristic equation, or a number out of its range.

    Source: Giladi, Nacson, Hoffer and Soudry, ICLR 2020; for "sgd" it is `2 sin(pi / (2 (2 delay + 1)))`. The
    documentation of the crate's module `theory` derives them all.

    Examples:
        >>> round(tauscope.threshold("sgd", 1), 12)
        1.0
        >>> tauscope.threshold("heavy-ball", [0, 1], momentum=0.9, dampening="ema").round(6)
        array([38.,  1.])
    """
    if stages is not None:
        beside: list[tuple[str, Any]] = [("delay", delay), ("criterion", criterion), ("local_steps", local_steps), ("local_gain", local_gain)]
        beside += [("schedule", schedule), ("trace", trace), ("pmf", pmf)]
        noise = [("relative_variance", relative_variance), ("fresh_share", fresh_share)]
        others = [name for name, value in beside if value is not None] + [name for name, value in noise if np.any(value)]
        if others:
            raise ValueError(f"stages beside {others[0]}: accepted: with rule, momentum and dampening alone")
        if not isinstance(rule, str) or np.ndim(dampening) or (momentum is not None and np.ndim(momentum)):
            raise ValueError("stages beside arrays: accepted: one rule, one momentum and one dampening")
        own: Any = {"momentum": momentum, "dampening": dampening}
        return stage_threshold(rule, stages, **own)
    if (local_steps is None) != (local_gain is None):
        raise ValueError("local_steps and local_gain: accepted: both or neither")
    points, shape, fresh = _points(
        rule, momentum, dampening, delay, relative_variance, "relative_variance", fresh_share=fresh_share
    )
    gains, _ = _core.threshold(points, criterion, _given(schedule, trace, pmf), fresh)
    if local_steps is None or local_gain is None:
        return _shaped(gains, shape)
    covered = coverage(local_steps, local_gain)
    limits = gains.reshape(shape) / covered
    return limits if np.ndim(limits) else float(limits)


def stage_threshold(
    rule: str,
    delays: Sequence[int],
    *,
    energies: Sequence[float] | None = None,
    hessian: npt.NDArray[Any] | None = None,
    sizes: Sequence[int] | None = None,
    lr_factors: Sequence[float] | None = None,
    momentum: float | Sequence[float] | None = None,
    dampening: float | str = 0.0,
) -> float:
    """Largest learning rate of a pipeline whose stages are late by delays of their own, with weight stashing.

    Without a Hessian it is the estimate for one with a single large eigenvalue of 1, whose eigenvector has the share
    `energies` of its square in each stage: times 1 / lambda_max. On Hessians with several large eigenvalues that estimate can
    be several times off; with `hessian` the answer is exact.

    Args:
        rule: Update rule with a characteristic equation, as "sgd", "heavy-ball", "weight-prediction".
        delays: Updates that each stage is late, from the first on; PipeDream has P-1, ..., 1, 0.
        energies: Share of each stage in the square of the top eigenvector; they sum to 1. By default equal.
        hessian: Symmetric positive semidefinite matrix, shape (n, n), instead of energies.
        sizes: Coordinates of each stage, which sum to n; by default equal blocks.
        lr_factors: What the learning rate of each stage is multiplied by; by default 1.
        momentum: From 0 to below 1, one number or one for each stage; by default the rule's own.
        dampening: PyTorch's dampening, or "ema" for the value of the momentum.

    Returns:
        Stable for learning rates between 0 and this.

    Raises:
        ValueError: A rule without a theory of stages, or a number out of its range.

    Examples:
        >>> round(tauscope.stage_threshold("sgd", [7, 6, 5, 4, 3, 2, 1, 0]), 3)
        0.609
    """
    stages = len(delays) if hasattr(delays, "__len__") else 0
    if not stages or isinstance(delays, str) or not all(hasattr(delay, "__index__") and delay >= 0 for delay in delays):
        raise ValueError(f"delays {delays!r}: accepted: whole numbers of updates from 0 on, one for each stage")
    if hessian is None:
        if sizes is not None:
            raise ValueError("sizes: accepted: beside hessian")
        shares = np.full(stages, 1 / stages) if energies is None else np.asarray(energies, dtype=np.float64)
        if shares.shape != (stages,) or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-3:
            raise ValueError(f"energies {energies}: accepted: a share for each of {stages} stages, which sum to 1")
        root = np.sqrt(shares / shares.sum())
        matrix, ends = np.outer(root, root), np.arange(1, stages + 1)
    else:
        if energies is not None:
            raise ValueError("energies beside hessian: accepted: one of them")
        matrix = np.asarray(hessian, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
            raise ValueError(f"hessian of shape {matrix.shape}: accepted: a square matrix of finite numbers")
        if not np.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9 * np.abs(matrix).max(initial=0)):
            raise ValueError("hessian: it is not symmetric; accepted: a symmetric matrix")
        count = len(matrix)
        ends = np.cumsum(sizes) if sizes is not None else np.arange(1, stages + 1) * count // stages
        if len(ends) != stages or ends[-1] != count or (np.diff(ends, prepend=0) < 1).any():
            raise ValueError(f"sizes {sizes}: accepted: coordinates of each of {stages} stages, which sum to {count}")
    factors = np.ones(stages) if lr_factors is None else np.asarray(lr_factors, dtype=np.float64)
    momenta = np.broadcast_to(np.nan if momentum is None else np.asarray(momentum, dtype=np.float64), (stages,))
    if factors.shape != (stages,):
        raise ValueError(f"lr_factors {lr_factors}: accepted: one for each of {stages} stages")
    if isinstance(dampening, str) and dampening != "ema":
        raise ValueError(f"dampening '{dampening}': accepted: a number, or 'ema'")
    given = [
        (int(delay), float(factor), float(own), int(end))
        for delay, factor, own, end in zip(delays, factors, momenta, ends)
    ]
    number = float("nan") if isinstance(dampening, str) else float(dampening)
    numbers = np.ascontiguousarray(matrix).ravel().tolist()
    lr, _, residual, converged = _call.interruptible(lambda: _core.stage_threshold(rule, number, given, numbers))
    if not converged:
        raise ValueError(f"no threshold was found to full precision: at {lr} the residual is {residual}")
    return lr


def coverage(local_steps: Numbers, local_gain: Numbers) -> Any:
    """Share of the way to a minimum that local steps cover along one direction: `1 - (1 - local_gain)**local_steps`.

    A worker that makes local steps of gradient descent sends this share of its distance from the minimum, so the outer rule
    sees it in the place of the curvature.

    Args:
        local_steps: Local steps of a round, 1 or more.
        local_gain: Local learning rate times curvature, between 0 and 2.

    Returns:
        Coverage without unit: a float, or an array of the broadcast shape.

    Raises:
        ValueError: A number out of its range; from 2 on the local steps themselves diverge.

    Examples:
        >>> tauscope.coverage([1, 2], 0.5).tolist()
        [0.5, 0.75]
    """
    numbers = []
    for name, value in (("local_steps", local_steps), ("local_gain", local_gain)):
        try:
            numbers.append(np.asarray(value, dtype=float))
        except (TypeError, ValueError):
            raise ValueError(f"{name} {value!r}: accepted: a number, or an array of numbers") from None
    steps, gain = numbers
    wrong = ~((steps >= 1) & (steps == np.floor(steps)) & np.isfinite(steps))
    if wrong.any():
        raise ValueError(f"local_steps {steps[wrong].flat[0]:g}: accepted: whole numbers from 1 on")
    wrong = ~((gain > 0) & (gain < 2))
    if wrong.any():
        raise ValueError(f"local_gain {gain[wrong].flat[0]:g}: accepted: numbers between 0 and 2, beyond which local steps diverge")
    steps, gain = np.broadcast_arrays(steps, gain)
    # Without cancellation where little is covered.
    near = -np.expm1(steps * np.log1p(-np.minimum(gain, 0.5)))
    covered = np.where(gain <= 0.5, near, 1 - (1 - gain) ** steps)
    return covered if covered.shape else float(covered)


def growth(
    rule: Names,
    delay: Numbers,
    gain: Numbers,
    *,
    momentum: Numbers | None = None,
    dampening: Numbers | str = 0.0,
) -> Any:
    """Growth rate per update of the distance from a minimum: it goes as `exp(growth * updates)`.

    Args:
        rule: Update rule, as in `threshold`.
        delay: Delay in updates, always the same.
        gain: Learning rate times curvature, above 0.
        momentum: As in `threshold`.
        dampening: As in `threshold`.

    Returns:
        Logarithm of the modulus of the dominant root: below 0 the run returns to the minimum, above it leaves. A float, or
        an array of the broadcast shape. Minus infinity where a run ends at the minimum after finitely many updates.

    Raises:
        ValueError: A rule without a characteristic equation, or a number out of its range.

    Examples:
        >>> tauscope.growth("sgd", 0, 0.5) == math.log(0.5)
        True
    """
    points, shape, _ = _points(rule, momentum, dampening, delay, gain, "gain")
    rates, _ = _core.growth(points, _given(None, None, None))
    return _shaped(rates, shape)


def effective_factor(
    rule: Names,
    delay: Numbers | None = None,
    *,
    momentum: Numbers | None = None,
    dampening: Numbers | str = 0.0,
    schedule: str | None = None,
    trace: Trace | None = None,
    pmf: Sequence[float] | npt.NDArray[Any] | None = None,
) -> Any:
    """Distance that a constant gradient moves the weights for each gradient that arrives, in learning rates.

    Times the learning rate it is the effective learning rate, by which rules are compared: 1 / (1 - momentum) for
    "heavy-ball" without dampening.

    Args:
        rule: Update rule, as in `threshold`.
        delay: As in `threshold`.
        momentum: As in `threshold`.
        dampening: As in `threshold`.
        schedule: As in `threshold`.
        trace: As in `threshold`.
        pmf: As in `threshold`.

    Returns:
        N(1) / D'(1) of the rule's equation, without unit: a float, or an array of the broadcast shape; NaN where it depends
        on the size of the gradient.

    Raises:
        ValueError: A rule without a characteristic equation, or a number out of its range.

    Examples:
        >>> tauscope.effective_factor(["heavy-ball", "staleness-scaled"], 4, momentum=0.5).tolist()
        [2.0, 0.5]
    """
    points, shape, _ = _points(rule, momentum, dampening, delay, 0.0, "relative_variance")
    return _shaped(_core.effective_factor(points, _given(schedule, trace, pmf)), shape)


@dataclass(frozen=True)
class Characteristic:
    """Characteristic equation `D(z) + K N(z) = 0` of a rule at a fixed delay, with the gain `K = lr * curvature`.

    A run returns to the minimum where every root lies inside the unit circle.

    Attributes:
        rule: Update rule.
        delay: Delay in updates.
        momentum: Momentum; 0 where the rule has none.
        dampening: Dampening; 0 where the rule has none.
        denominator: Coefficients of D, highest power first, shape (delay + 2,) or (delay + 3,); fewer where the rule takes the
            delay away ("rennala:4").
        numerator: Coefficients of N, highest power first, shape (2,); one for each age of a rule that collects ("buffer:4").
        threshold: Smallest gain above 0 at which a root reaches the circle.
        angle: Where it does, in radians per update: the frequency of the oscillation at the edge.
        effective_factor: As `tauscope.effective_factor` has it.
    """

    rule: str
    delay: int
    momentum: float
    dampening: float
    denominator: Floats
    numerator: Floats
    threshold: float
    angle: float
    effective_factor: float

    def polynomial(self, gain: float) -> Floats:
        """Coefficients of `D + gain N`, highest power first."""
        whole: Floats = self.denominator.copy()
        whole[-len(self.numerator) :] += gain * self.numerator
        return whole

    def roots(self, gain: float) -> npt.NDArray[np.complex128]:
        """All roots at a gain, those of largest modulus first. The work grows with the cube of the delay."""
        found = np.roots(self.polynomial(gain)).astype(np.complex128)
        return np.asarray(found[np.argsort(-np.abs(found), kind="stable")])

    def growth(self, gain: float) -> float:
        """Growth rate per update at a gain, as `tauscope.growth` has it; exact also at long delays."""
        rate: float = growth(self.rule, self.delay, gain, momentum=self.momentum, dampening=self.dampening)
        return rate

    def __repr__(self) -> str:
        numbers = f"momentum {self.momentum:g}, dampening {self.dampening:g}"
        return f"<{self.rule} at delay {self.delay}, {numbers}: stable for 0 < lr * curvature < {self.threshold:.10g}>"


def characteristic(
    rule: str, delay: int, *, momentum: float | None = None, dampening: float | str = 0.0
) -> Characteristic:
    """Characteristic equation of a rule at a fixed delay, with its polynomials, threshold and roots.

    Args:
        rule: Update rule, as in `threshold`.
        delay: Delay in updates, up to 1000000: the polynomials have as many coefficients.
        momentum: As in `threshold`.
        dampening: As in `threshold`.

    Raises:
        ValueError: A rule without a characteristic equation, or a number out of its range.
    """
    if not isinstance(rule, str):
        raise TypeError(f"rule {rule!r}: accepted: the name of one rule")
    if isinstance(delay, bool) or not isinstance(delay, (int, np.integer)) or not 0 <= delay <= 1_000_000:
        raise ValueError(f"delay {delay}: accepted: a whole number of updates from 0 to 1000000")
    points, _, fresh = _points(rule, momentum, dampening, delay, 0.0, "relative_variance")
    own_delay, kept, (own_momentum, own_dampening), coefficients, share = _core.equation(points)
    numerator = np.array(coefficients)
    gains, angles = _core.threshold(points, "mean", _given(None, None, None), fresh)
    factor = _core.effective_factor(points, _given(None, None, None))[0]
    late = np.zeros(own_delay + 1)
    late[0] = 1.0
    if share is not None:
        # Of a rule that mixes results, with q = z^delay (z - 1 + share): D = (q - share) (q - share momentum), N a number times
        # share q. Without momentum a factor q of both does not act.
        mixed = np.convolve([1.0, share - 1.0], late)
        chain, velocity = (np.append(mixed[:-1], mixed[-1] - share * root) for root in (1.0, own_momentum))
        if own_momentum == 0.0:
            denominator, numerator = chain, share * numerator
        else:
            denominator, numerator = np.convolve(chain, velocity), share * np.convolve(numerator, mixed)
    else:
        if kept == "server":
            late = np.convolve([1.0, -own_momentum], late)
        elif kept == "worker":
            late = np.append(late, 0.0)
            late[-1] -= own_momentum
        denominator = np.convolve([1.0, -1.0], late)
    return Characteristic(
        rule, int(delay), own_momentum, own_dampening, denominator, numerator, float(gains[0]), float(angles[0]), float(factor)
    )


@dataclass(frozen=True)
class Choice:
    """One way to run at the new delay; what cannot be said is None.

    Attributes:
        choice: "same rule", "momentum off", ...
        rule: Update rule.
        momentum: Momentum.
        dampening: Dampening.
        delay: Delay in updates.
        lr: Learning rate that keeps the same minima.
        effective_lr: Distance that a constant gradient moves the weights for each gradient that arrives.
        threshold_gain: Largest stable lr * curvature.
        threshold_from: "theory" or "measured".
        gain_ratio: `lr` over that of the recipe.
        progress: `effective_lr` over that of the recipe: speed along flat directions.
        cost: What it costs, in a sentence.
    """

    choice: str
    rule: str
    momentum: float
    dampening: float
    delay: float
    lr: float | None
    effective_lr: float | None
    threshold_gain: float | None
    threshold_from: str | None
    gain_ratio: float | None
    progress: float | None
    cost: str


@dataclass(frozen=True)
class Recommendation:
    """What to run.

    Attributes:
        choice: Which of the choices it is.
        rule: Update rule.
        lr: Learning rate.
        momentum: Momentum.
        dampening: Dampening.
        share_of_threshold: `lr * curvature` over the threshold, where the curvature is known.
        accessible_curvature: Minima of curvature below this are kept.
        margin: The same in words.
        why: Why this one, in a sentence.
    """

    choice: str
    rule: str
    lr: float
    momentum: float
    dampening: float
    share_of_threshold: float | None
    accessible_curvature: float
    margin: str
    why: str


@dataclass(frozen=True)
class Tuned:
    """A rule at 0.8 of its best learning rate where the condition number is known.

    Attributes:
        rule: As typed after `--rules`, with its numbers.
        lr: Learning rate; None where no largest curvature is known.
        gain: `lr` times the largest curvature.
        momentum: Momentum; the dampening is 0.
        updates_per_efold: Updates in which the slowest direction shrinks by e.
        bound: The fewest that any stationary linear rule needs.
        factor: `updates_per_efold / bound`.
        noise_floor: What gradient noise of variance 1 leaves at the server, with the largest curvature 1.
        noise_floor_read: The same where gradients are taken.
        extra_vectors: Vectors kept beside the weights.
        costs: What is kept and sent, in words.
        tolerated: Updates per e-fold where something is other than it was tuned for; None where a direction leaves.
    """

    rule: str
    lr: float | None
    gain: float
    momentum: float
    updates_per_efold: float
    bound: float
    factor: float
    noise_floor: float
    noise_floor_read: float
    extra_vectors: int
    costs: str
    tolerated: dict[str, float | None]


@dataclass(frozen=True)
class OuterAdvice:
    """Whether an outer loop (DiLoCo) stays at a minimum when its rounds come late, and what would.

    Attributes:
        stable: Whether the outer learning rate is below its limit.
        coverage: Share of the way to the minimum that a round's difference covers.
        outer_gain: Outer learning rate times coverage.
        threshold_outer_gain: Largest that is stable.
        threshold_lr: Limit of the outer learning rate.
        share_of_threshold: Outer learning rate over its limit.
        synchronous_threshold_lr: Limit without stale rounds.
        advised_lr: 0.8 of the limit.
        advised_momentum: Largest momentum at which the outer learning rate is at most 0.8 of the limit, if any.
        advised_fresh_share: Least fresh share at which it is, if any.
        sentence: The answer in one sentence.
    """

    stable: bool
    coverage: float
    outer_gain: float
    threshold_outer_gain: float
    threshold_lr: float
    share_of_threshold: float
    synchronous_threshold_lr: float
    advised_lr: float
    advised_momentum: float | None
    advised_fresh_share: float | None
    sentence: str


@dataclass(frozen=True)
class Advice:
    """What to run at another delay.

    Attributes:
        tuned: The fastest rules, the recommended one first, where the condition number is known.
        recommendation: What to run; None where no choice is stable.
        choices: All ways that keep the minima of the recipe.
        criterion: Sense in which a minimum is kept, "mean" or "mean-square".
        curvature: Largest curvature of the minimum to keep, where it is known.
        unchanged_curvature: Curvature that the recipe would still reach with its learning rate left as it is.
        recipe: The recipe with its threshold, as a dict.
        warnings: What to watch out for.
        notes: What was assumed.
        text: The advice as `tauscope advise` prints it.
        outer: What is said of an outer loop, where the recipe is one; all else is then empty.
    """

    tuned: list[Tuned]
    recommendation: Recommendation | None
    choices: list[Choice]
    criterion: str
    curvature: float | None
    unchanged_curvature: float | None
    recipe: dict[str, Any]
    warnings: list[str]
    notes: list[str]
    text: str
    outer: OuterAdvice | None = None

    def __repr__(self) -> str:
        return self.text.rstrip("\n")

    def _repr_html_(self) -> str:
        def cell(value: object) -> str:
            return "" if value is None else html.escape(f"{value:.5g}" if isinstance(value, float) else str(value))

        shown = ("choice", "rule", "momentum", "dampening", "lr", "effective_lr", "progress", "cost")
        head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in shown)
        rows = "".join(
            "<tr>" + "".join(f"<td>{cell(getattr(choice, name))}</td>" for name in shown) + "</tr>"
            for choice in self.choices
        )
        fastest = "".join(
            f"<p><b>{html.escape(one.rule)}, "
            + (f"gain {one.gain:.5g}" if one.lr is None else f"lr {one.lr:.5g}")
            + f", momentum {one.momentum:.5g}</b>: an e-fold in "
            f"{one.updates_per_efold:.4g} updates, {one.factor:.3g} times the bound</p>"
            for one in self.tuned[:1]
        )
        best = self.recommendation
        told = f"{fastest}<p><b>{html.escape(best.rule)}, lr {best.lr:.5g}</b>: {html.escape(best.why)}</p>" if best else fastest
        said = "".join(f"<p>{html.escape(line)}</p>" for line in [*self.warnings, *self.notes])
        return f"{told}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{said}"


def advise(
    rule: str = "heavy-ball",
    *,
    lr: float | None = None,
    momentum: float | None = None,
    dampening: float | str | None = None,
    from_delay: int | None = None,
    to_delay: int | None = None,
    schedule: str | None = None,
    criterion: str | None = None,
    relative_variance: float | None = None,
    lambda_: float | None = None,
    folder: str | os.PathLike[str] | None = None,
    condition: float | None = None,
    local_steps: int | None = None,
    local_lr: float | None = None,
    fresh_share: float | None = None,
) -> Advice:
    """Recipe for another delay that keeps the same minima, as `tauscope advise` gives it.

    Keywords are named as its flags (`lambda_` for `--lambda`) and have their defaults; `help()` of the command,
    `tauscope advise --help`, says more of each.

    Args:
        rule: The recipe's rule.
        lr: The recipe's learning rate; without one, half the threshold at the curvature of lambda_ or folder.
        momentum: Momentum of the recipe and of the choices with momentum.
        dampening: The recipe's dampening, a number or "ema".
        from_delay: Delay of the recipe, updates.
        to_delay: Delay to move to, updates; N workers have a delay of N - 1.
        schedule: Delay process to move to.
        criterion: "mean" or "mean-square".
        relative_variance: Variance of the curvature that a minibatch sees, relative to its mean squared.
        lambda_: Largest curvature of the minimum to keep.
        folder: Results folder of a sweep: its curvature and its measured thresholds.
        condition: Largest curvature over the smallest one that matters, above 1: then the fastest rules at the delay are told too.
        local_steps: The recipe is that of an outer loop (DiLoCo), with so many local steps in a round: rule, lr and momentum are
            the outer ones, to_delay counts stale rounds, and the answer is `Advice.outer`.
        local_lr: Learning rate of the local steps.
        fresh_share: Share, from 0 to 1, of what is applied that is not late; the answer is `Advice.outer`.

    Raises:
        ValueError: A recipe without a threshold, or a value out of its range.
        FileNotFoundError: A folder that is not there.
    """
    keywords = _call.given(locals())
    told = json.loads(_call.output("advise", {**keywords, "json": True}))
    if local_steps is not None or fresh_share is not None:
        return Advice(
            tuned=[],
            recommendation=None,
            choices=[],
            criterion="mean",
            curvature=told["curvature"],
            unchanged_curvature=None,
            recipe={name: told[name] for name in ("rule", "momentum", "dampening", "lr", "fresh_share")},
            warnings=[],
            notes=[told["sentence"]],
            text=_call.output("advise", keywords),
            outer=_from(OuterAdvice, told),
        )
    best = told["recommendation"]
    return Advice(
        tuned=[_from(Tuned, {**one, "tolerated": dict(one["tolerated"])}) for one in told["tuned"]],
        recommendation=_from(Recommendation, best) if best else None,
        choices=[_from(Choice, choice) for choice in told["choices"]],
        criterion=told["criterion"],
        curvature=told["curvature"],
        unchanged_curvature=told["unchanged_curvature"],
        recipe=told["from"],
        warnings=told["warnings"],
        notes=told["notes"],
        text=_call.output("advise", keywords),
    )


def tune(
    *,
    delays: Any = None,
    schedule: Any = None,
    condition: Any = None,
    folder: str | os.PathLike[str] | None = None,
    rules: Any = None,
    noise: float | None = None,
    lr_factor: float | None = None,
    svg: str | os.PathLike[str] | None = None,
    theme: str | None = None,
) -> Table:
    """Fastest parameters of every rule under delay, beside the bound on all rules, as `tauscope tune` has them.

    Keywords are named as its flags and have their defaults; lists are Python lists, or text as typed.

    Args:
        delays: Delays in updates, up to 64; of a process whose delays vary, the mean.
        schedule: Delay processes as `tauscope sweep` takes them, "random", "iid:uniform:0..=8", "trace:FILE", ...; a fixed delay without.
        condition: Condition numbers: largest curvature over the smallest one that matters.
        folder: Folder of `tauscope sweep` with the largest curvature and, without `condition`, the smallest one that matters.
        rules: Update rules; what stands behind a colon is held, and all else is free.
        noise: Variance of additive gradient noise, with the largest curvature 1.
        lr_factor: Part of the best gain to take, 0.01 to 1.
        svg: File to draw the factors against the delay into, and what speed costs in noise.
        theme: Ground of that picture, "light" or "dark".

    Returns:
        One row for each rule, delay and condition: `gain` (lr times the largest curvature), `momentum`, `horizon`,
        `updates_per_efold` of the slowest direction, `bound`, ... Where delays vary, `dynamics` says whose decay it is: "averaged",
        "mean-square" or "simulated", with `rate_low` and `rate_high`.

    Raises:
        ValueError: A value out of its range, or a rule that is stable with no parameters.
    """
    import io

    return Table.read(io.StringIO(_call.output("tune", _call.given(locals(), "io"))), "tune")


def _from(kind: Any, values: dict[str, Any]) -> Any:
    """A dataclass from those of the values that it knows."""
    return kind(**{field.name: values[field.name] for field in fields(kind)})


def _given(schedule: str | None, trace: Trace | None, pmf: object) -> Given:
    if schedule is not None and not isinstance(schedule, str):
        raise TypeError(f"schedule {schedule!r}: accepted: a process as typed after --schedule, as 'random'")
    return schedule, _trace.checked(trace), None if pmf is None else _probabilities(pmf)


def _probabilities(pmf: object) -> list[float]:
    try:
        array = np.asarray(pmf, dtype=float)
    except (TypeError, ValueError):
        array = np.zeros((0, 0))
    if array.ndim != 1:
        raise ValueError(f"pmf {pmf!r}: accepted: a list of the probabilities of the delays 0, 1, 2, ...")
    found: list[float] = array.tolist()
    return found


def _points(
    rule: Names,
    momentum: Numbers | None,
    dampening: Numbers | str,
    delay: Numbers | None,
    number: Numbers,
    called: str,
    *,
    fresh_share: Numbers = 0.0,
) -> tuple[Points, tuple[int, ...], list[float]]:
    """All arguments flat and of one length, the shape that the answer gets, and fresh shares. NaN stands for what is not given."""
    if isinstance(dampening, str) and dampening != "ema":
        raise ValueError(f"dampening '{dampening}': accepted: numbers from 0 to 1, or 'ema'")
    arrays = {
        "momentum": np.nan if momentum is None else momentum,
        "dampening": np.nan if isinstance(dampening, str) else dampening,
        "delay": np.nan if delay is None else delay,
        called: number,
        "fresh_share": fresh_share,
    }
    own = {"momentum": momentum is None, "dampening": isinstance(dampening, str), "delay": delay is None}
    numbers = []
    for name, value in arrays.items():
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            raise ValueError(f"{name} {value!r}: accepted: a number, or an array of numbers") from None
        if not own.get(name) and np.isnan(array).any():
            raise ValueError(f"{name}: nan: accepted: numbers")
        numbers.append(array)
    names = np.asarray(rule)
    if names.dtype.kind not in "UO" or not all(isinstance(name, str) for name in names.ravel().tolist()):
        raise TypeError(f"rule {rule!r}: accepted: the name of a rule, or an array of names")
    try:
        names, *numbers = np.broadcast_arrays(names, *numbers)
    except ValueError:
        shapes = ", ".join(str(np.shape(value)) for value in (rule, *arrays.values()))
        raise ValueError(f"rule, {', '.join(arrays)} have shapes {shapes}; accepted: shapes that broadcast") from None
    flat = [array.ravel().tolist() for array in numbers]
    return ([str(name) for name in names.ravel().tolist()], flat[0], flat[1], flat[2], flat[3]), names.shape, flat[4]


def _shaped(values: Floats, shape: tuple[int, ...]) -> Any:
    return values.reshape(shape) if shape else float(values[0])
