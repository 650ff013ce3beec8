"""`judge`: whether a training keeps the minimum that was probed, by how much, and what to set instead.

Not here: thresholds (`tauscope.threshold`) and curvature (`tauscope.probe.sharpness`).
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from os import PathLike
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import tauscope
from tauscope.probe._result import Sharpness
from tauscope.probe._stages import Delays, Rates, delays_of, factors_of, limit

#: Part of the largest stable learning rate that is proposed: curvature moves while a network trains.
_PROPOSED = 0.8

#: Adaptive rules by what they are where their second moments stand still: a rule in P^-1 H, whose moment is an average.
_ADAPTIVE = {"adam": "heavy-ball", "adamw": "heavy-ball", "nadam": "nadam", "nadamw": "nadamw"}


@dataclass(frozen=True)
class Option:
    """A setting that keeps the minimum."""

    rule: str
    momentum: float
    dampening: float
    #: Proposed learning rate, a fifth below the largest stable one.
    lr: float
    #: Distance that a constant gradient moves the weights for each gradient that arrives
    #: (`tauscope.effective_factor`); NaN where that depends on the size of the gradient.
    effective_lr: float
    #: Factors of each stage's learning rate, with which `effective_lr` is the mean over stages; None where there are none.
    stage_lr: Optional[List[float]] = None


@dataclass(frozen=True)
class Judgement:
    """Whether a training keeps a minimum, and what would."""

    stable: bool
    #: Largest stable learning rate over the one judged; below 1 is unstable.
    margin: float
    #: Largest stable learning rate.
    lr_threshold: float
    #: Learning rate times curvature, and the largest that is stable. No units.
    gain: float
    threshold_gain: float
    #: Whether the verdict holds at both ends of what the probe leaves open: of its residual, and with stages of the
    #: eigenvalues that it did not find. Never of a probe that did not converge, which may have missed a larger eigenvalue.
    certain: bool
    #: What to set instead, the largest effective learning rate first; settings of the same rule and of plain SGD.
    instead: List[Option]
    #: The verdict and its reason in one sentence.
    why: str

    def __repr__(self) -> str:
        best = self.instead[0]
        momentum = f", momentum {best.momentum:g}, dampening {best.dampening:g}" if best.momentum else ""
        rates = f" times {', '.join(f'{factor:.3g}' for factor in best.stage_lr)}" if best.stage_lr else ""
        return f"<{self.why}; keeps it: {best.rule}{momentum}, lr {best.lr:.3g}{rates}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(o.rule)}</td><td>{o.momentum:g}</td><td>{o.dampening:g}</td><td>{o.lr:.3g}</td>{self._rates(o)}</tr>"
            for o in self.instead
        )
        head = "<tr><th>rule</th><th>momentum</th><th>dampening</th><th>lr</th>"
        head += "<th>times, by stage</th></tr>" if self._is_staged() else "</tr>"
        return f"<p>{html.escape(self.why)}</p><table>{head}{rows}</table>"

    def _is_staged(self) -> bool:
        return any(option.stage_lr for option in self.instead)

    def _rates(self, option: Option) -> str:
        """A cell with the factors of each stage's learning rate, where an option has such."""
        rates = ", ".join(f"{factor:.3g}" for factor in option.stage_lr or [1.0])
        return f"<td>{rates}</td>" if self._is_staged() else ""


def judge(
    probe: Union[Sharpness, float],
    rule: str,
    lr: float,
    momentum: float = 0.0,
    delay: Optional[int] = None,
    *,
    dampening: Union[float, str, None] = None,
    schedule: Optional[str] = None,
    trace: Union[str, PathLike[str], Sequence[int], None] = None,
    relative_variance: Optional[float] = None,
    fresh_share: float = 0.0,
    local_steps: Optional[int] = None,
    local_lr: Optional[float] = None,
    stages: Optional[Delays] = None,
    stage_lr: Rates = None,
) -> Judgement:
    """Judges a training with late gradients by the curvature of its minimum.

    Args:
        probe: What `sharpness` found, or the largest curvature itself, in units of loss / weight^2.
        rule: "sgd", "heavy-ball", "nesterov", "shifted", ...; "adam", "adamw", "nadam" and "nadamw" need a probe with the optimizer as
            `preconditioner`, and are judged as if its second moments stood still.
        lr: Learning rate of the training under delay.
        momentum: Momentum of the rule; beta1 of Adam.
        delay: Delay in updates, where the process takes one.
        dampening: Share of the gradient kept out of the velocity, or "ema" for the momentum; 0 by default, as in PyTorch, and the momentum for Adam.
        schedule: Process as typed after `--schedule`; "round-robin" by default, always the same delay.
        trace: Recorded delays in updates, as numbers or a file, taken as drawn independently; `staleness` has those of logs.
        relative_variance: Variance of the curvature that a minibatch sees, over its mean squared. That of the probe by
            default, where it is over several batches; stability is then that of the mean square.
        fresh_share: Share, from 0 to 1, of an applied gradient that is taken at the newest weights.
        local_steps: Local steps of a round of an outer loop (DiLoCo): rule, lr and momentum are then the outer ones, and the
            delay counts stale rounds. Exact for gradient descent inside.
        local_lr: Learning rate of the local steps.
        stages: Delays of a pipeline in updates, by the name of each group of the probe, or in their order, with weight stashing.
            The probe has the stages as `groups`, and at best several eigenvalues (`k`), for a late stage may be unstable along
            another direction than the top one. Judged is the mean of the weights; minibatches are left out.
        stage_lr: What the learning rate of each stage is multiplied by, or "inverse-delay" for 1 / (its delay + 1); by default 1.

    Raises:
        ValueError: A curvature, a learning rate or a rule that cannot be judged.
    """
    for name, number in (("lr", lr), ("momentum", momentum), ("probe", 1.0 if isinstance(probe, Sharpness) else probe)):
        if isinstance(number, bool) or not hasattr(number, "__float__"):
            of = "a number" if name != "probe" else "what sharpness() found, or a curvature"
            raise TypeError(f"{name} {number!r}; accepted: {of}")
    if not isinstance(rule, str):
        raise TypeError(f"rule {rule!r}; accepted: the name of one rule")
    if delay is not None and not hasattr(delay, "__index__") and not isinstance(delay, float):
        raise TypeError(f"delay {delay!r}; accepted: a number of updates")
    if isinstance(dampening, str):
        if dampening != "ema":
            raise ValueError(f"dampening {dampening!r}; accepted: a number from 0 to 1, or 'ema'")
        dampening = momentum
    curvature, doubt = (probe.value, probe.residual) if isinstance(probe, Sharpness) else (float(probe), 0.0)
    if isinstance(probe, Sharpness):
        _check_preconditioner(probe, rule)
        if relative_variance is None:
            relative_variance = probe.relative_variance
    if not (curvature > 0 and math.isfinite(curvature)):
        raise ValueError(f"curvature {curvature}; accepted: numbers above 0, for others bound no learning rate")
    if not (lr > 0 and math.isfinite(lr)):
        raise ValueError(f"lr {lr}; accepted: numbers above 0")
    if (local_steps is None) != (local_lr is None):
        raise ValueError("local_steps and local_lr; accepted: both or neither")
    adaptive = rule in _ADAPTIVE
    if adaptive and dampening not in (None, momentum):
        raise ValueError(f"dampening {dampening} with {rule}, whose moments are averages; accepted: None")
    kept = (momentum if adaptive else 0.0) if dampening is None else dampening
    if momentum and not adaptive and not _takes_momentum(rule):
        raise ValueError(
            f"momentum {momentum:g} with {rule}, a rule without; accepted: 0, or 'heavy-ball', which torch.optim.SGD with momentum is"
        )
    if stages is not None or stage_lr is not None:
        others = {"delay": delay, "schedule": schedule, "trace": trace, "local_steps": local_steps, "fresh_share": fresh_share or None}
        beside = [name for name, value in others.items() if value is not None]
        if stages is None or beside:
            accepted = "stages beside it" if stages is None else "one of them"
            raise ValueError(f"{'stage_lr' if stages is None else f'stages beside {beside[0]}'}; accepted: {accepted}")
        return _of_stages(probe, rule, lr, momentum, kept, stages, stage_lr)

    # What the learning rate is multiplied by on the way to the weights.
    def seen(curvature: float) -> float:
        if local_steps is None or local_lr is None:
            return curvature
        return float(tauscope.coverage(local_steps, local_lr * curvature))

    if local_steps is not None or fresh_share:
        relative_variance = 0.0
    per_lr = seen(curvature)

    def bears(rule: str, momentum: float, dampening: float) -> Tuple[float, Option]:
        """Largest stable gain, and the setting a little below it."""
        known = _ADAPTIVE.get(rule, rule)
        numbers: Dict[str, Any] = {"momentum": momentum, "dampening": dampening}
        process: Dict[str, Any] = {"schedule": schedule, "trace": trace}
        chance: Dict[str, Any] = {"relative_variance": relative_variance or 0.0, "fresh_share": fresh_share}
        largest = float(tauscope.threshold(known, delay, **numbers, **process, **chance))
        proposed = _PROPOSED * largest / per_lr
        effective = proposed * float(tauscope.effective_factor(known, delay, **numbers, **process))
        return largest, Option(rule, momentum, dampening, proposed, effective)

    largest, same = bears(rule, momentum, kept)
    gain = lr * per_lr
    options = [same]
    if momentum:
        options.append(bears(rule if adaptive else "sgd", 0.0, 0.0)[1])
    stable = gain < largest
    ends = [lr * seen(curvature + sign * doubt) < largest for sign in (-1, 1)]
    late = f"at delay {delay}" if trace is None and delay is not None else "under these delays"
    how = f"momentum {momentum:g}, dampening {kept:g}" if momentum else "no momentum"
    of = "curvature" if local_steps is None else "coverage"
    verdict = "stable" if stable else "unstable"
    relation = "below" if stable else "not below"
    why = (
        f"{verdict}: lr {lr:g} x {of} {per_lr:.4g} = {gain:.4g} is {relation} {largest:.4g}, "
        f"the threshold of {rule} ({how}) {late}"
    )
    return Judgement(
        stable=stable,
        margin=largest / gain,
        lr_threshold=largest / per_lr,
        gain=gain,
        threshold_gain=largest,
        certain=ends[0] == ends[1] and (not isinstance(probe, Sharpness) or probe.converged),
        instead=sorted(options, key=_slower),
        why=why,
    )


def _of_stages(
    probe: Any, rule: str, lr: float, momentum: float, dampening: float, stages: Delays, stage_lr: Rates
) -> Judgement:
    names, delays = delays_of(probe, stages)
    factors = factors_of(stage_lr, delays)
    known = _ADAPTIVE.get(rule, rule)
    options = []
    for own_rule, own_momentum, own_dampening in [(rule, momentum, dampening), (rule if rule in _ADAPTIVE else "sgd", 0.0, 0.0)]:
        for rates in (factors, factors_of("inverse-delay", delays)):
            own = limit(probe, names, delays, rates, _ADAPTIVE.get(own_rule, own_rule), own_momentum, own_dampening)
            numbers: Dict[str, Any] = {"momentum": own_momentum, "dampening": own_dampening}
            drift = sum(f * float(tauscope.effective_factor(_ADAPTIVE.get(own_rule, own_rule), d, **numbers)) for f, d in zip(rates, delays))
            proposed = _PROPOSED * own.lr
            shown = None if all(rate == 1 for rate in rates) else rates
            options.append(Option(own_rule, own_momentum, own_dampening, proposed, proposed * drift / len(delays), shown))
    asked = limit(probe, names, delays, factors, known, momentum, dampening)
    stable = lr < asked.lr
    doubt = probe.residual / probe.value
    ends = [asked.is_certain(lr * (1 + sign * doubt)) and stable == (lr * (1 + sign * doubt) < asked.lr) for sign in (-1, 1)]
    how = f"momentum {momentum:g}, dampening {dampening:g}" if momentum else "no momentum"
    why = (
        f"{'stable' if stable else 'unstable'}: lr {lr:g} is {'below' if stable else 'not below'} {asked.lr:.4g}, what stages late by "
        f"{', '.join(map(str, delays))} tolerate with {rule} ({how}) as far as {len(probe.values)} eigenvalues from "
        f"{probe.value:.4g} on tell"
    )
    return Judgement(
        stable=stable,
        margin=asked.lr / lr,
        lr_threshold=asked.lr,
        gain=lr * probe.value,
        threshold_gain=asked.lr * probe.value,
        certain=all(ends) and probe.converged,
        instead=sorted({(o.rule, o.momentum, o.lr): o for o in options}.values(), key=_slower),
        why=why,
    )


def _takes_momentum(rule: str) -> bool:
    """Whether a threshold depends on it; true of what has no threshold, whose own error says so."""
    try:
        return float(tauscope.threshold(rule, 1, momentum=0.0)) != float(tauscope.threshold(rule, 1, momentum=0.5))
    except ValueError:
        return True


def _slower(option: Option) -> float:
    return math.inf if math.isnan(option.effective_lr) else -option.effective_lr


def _check_preconditioner(probe: Sharpness, rule: str) -> None:
    if rule in _ADAPTIVE and probe.preconditioner is None:
        raise ValueError(f"rule {rule} with a probe of the plain Hessian; accepted: sharpness(..., preconditioner=optimizer)")
    if rule not in _ADAPTIVE and probe.preconditioner is not None:
        raise ValueError(f"rule {rule} with a probe preconditioned by {probe.preconditioner}; accepted: one without")
