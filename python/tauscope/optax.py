"""Delayed gradients in your own JAX training.

`delayed` wraps an optimizer of optax, `read` gives the weights that the next gradient is to be taken at, and
`second_moments` hands the scale of a live Adam to `tauscope.probe.sharpness`. Not here: whether a training tolerates the
delay (`tauscope.probe`, `tauscope.threshold`).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from os import PathLike
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tauscope import DelayProcess
from tauscope._memory import free_on_host, shown
from tauscope._process import process_of

__all__ = ["DelayedState", "SecondMoments", "delayed", "read", "second_moments"]

#: Steps of a random process that are drawn at a time.
_BLOCK = 4096


class DelayedState(NamedTuple):
    """State of `delayed`: arrays alone, so that it can be saved, jitted and donated as any other."""

    #: Number of updates made.
    step: jax.Array
    #: Slot that the next gradient is to be taken at, and that of the newest weights.
    read: jax.Array
    newest: jax.Array
    #: Slot that the next weights go to.
    write: jax.Array
    #: Updates made since the weights in the slot `read`.
    delay: jax.Array
    #: Stored versions of the weights: slots x the shape of each. The newest one is filled in by the next update.
    ring: Any
    #: State of the wrapped transformation.
    inner: Any


def delayed(
    inner: optax.GradientTransformation,
    delay: Optional[int] = None,
    *,
    schedule: Union[str, DelayProcess, None] = None,
    trace: Union[str, PathLike[str], Sequence[int], None] = None,
    seed: int = 0,
) -> optax.GradientTransformationExtraArgs:
    """Wraps a transformation so that its gradients arrive late.

    Parameters in the training are the newest weights, and updates are applied to them as always; the gradient is taken at
    `read(state, params)`, the weights that the delay process says. Slots are those of `tauscope train` with the same process
    and seed. The state keeps as many copies of the weights as the process has slots: delay + 1 for a fixed delay or so many
    workers, the longest delay + 1 for a trace.

    Args:
        inner: Any transformation of optax, as `optax.sgd(0.1, momentum=0.9)`.
        delay: Delay in updates, where the process takes one; 0 is synchronous.
        schedule: Process as typed after `--schedule` ("round-robin" by default, "random", "workers:exponential", ...), or a
            `tauscope.DelayProcess`, which is followed from its first step. Under `jax.jit` slots of processes other than
            "round-robin" come from the host, by a callback.
        trace: Recorded delays, one per update, over and over: numbers or a file.
        seed: Seed of the draws.

    Raises:
        ValueError, TypeError: Arguments that do not go together; the message says what would be accepted.
    """
    if not (hasattr(inner, "init") and hasattr(inner, "update")):
        raise TypeError(f"inner: {type(inner).__name__}; accepted: a transformation of optax")
    process = process_of(delay, schedule, trace, seed, "delay=, schedule= and trace=")
    slots = _Slots(process)
    wrapped = optax.with_extra_args_support(inner)

    def init(params: Any) -> DelayedState:
        if not jax.tree_util.tree_leaves(params):
            raise ValueError("params: no weights; accepted: at least one array")
        _check_memory(params, process.slots)
        first = slots.at(jnp.zeros((), jnp.int32))
        ring = jax.tree_util.tree_map(lambda p: jnp.broadcast_to(p, (process.slots, *jnp.shape(p))), params)
        # Arrays of their own: what is donated may stand in one place alone.
        place, newest, to_write, late = (jnp.array(part, copy=True) for part in (first[0], jnp.zeros_like(first[0]), *first[1:]))
        return DelayedState(jnp.zeros((), jnp.int32), place, newest, to_write, late, ring, inner.init(params))

    def update(updates: Any, state: DelayedState, params: Any = None, **extra: Any) -> Tuple[Any, DelayedState]:
        if params is None:
            raise ValueError("params: None; accepted: the newest weights, update(gradient, state, params)")
        # Not what this update makes of them, but what the training made: another transformation may come after this one.
        if not isinstance(state, DelayedState):
            raise TypeError(f"state: {type(state).__name__}; accepted: the state of delayed, as update(gradient, state, params)")
        _check_weights(state.ring, params)
        lengths = {jnp.shape(versions)[0] for versions in jax.tree_util.tree_leaves(state.ring)}
        if lengths != {process.slots}:
            raise ValueError(f"state: of {max(lengths)} slots; accepted: of {process.slots}, as {process.schedule} has")
        ring = jax.tree_util.tree_map(lambda versions, p: versions.at[state.newest].set(p), state.ring, params)
        updates, kept = wrapped.update(updates, state.inner, params, **extra)
        step = state.step + 1
        to_read, to_write, late = slots.at(step)
        return updates, DelayedState(step, to_read, state.write, to_write, late, ring, kept)

    return optax.GradientTransformationExtraArgs(init, update)


def _check_memory(params: Any, slots: int) -> None:
    """Refuses a ring that is larger than the free memory of a device, before any of it is allocated."""
    sizes: Dict[Any, int] = {}
    for leaf in jax.tree_util.tree_leaves(params):
        # Inside of a compiled function arrays have no place yet; those on several devices have a part on each.
        if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer):
            for shard in leaf.addressable_shards:
                sizes[shard.device] = sizes.get(shard.device, 0) + slots * shard.data.nbytes
    for device, size in sizes.items():
        stats = {} if device.platform == "cpu" else device.memory_stats() or {}
        free = stats["bytes_limit"] - stats["bytes_in_use"] if "bytes_limit" in stats else None
        free = free_on_host() if device.platform == "cpu" else free
        if free is not None and size > free:
            raise MemoryError(
                f"a ring of {slots} slots takes {shown(size)} on {device}, where {shown(free)} are free; "
                f"accepted: up to {free * slots // size} slots"
            )


def read(state: Any, params: Any) -> Any:
    """Weights that the next gradient is to be taken at.

    Args:
        state: State of `delayed`, or of transformations that have it inside (`optax.chain`).
        params: The newest weights.

    Returns:
        Weights in the tree and the shapes of `params`.

    Raises:
        ValueError: A state without `delayed`, or with several.
    """
    found = _found(state, DelayedState)
    if len(found) != 1:
        raise ValueError(f"state: {len(found)} of delayed() in it; accepted: a state with one")
    [late] = found

    _check_weights(late.ring, params)

    def version(versions: Any, newest: Any) -> Any:
        # What `optax.masked` keeps from delayed() is not late.
        return newest if _is_masked(versions) else jnp.where(late.read == late.newest, newest, versions[late.read])

    return jax.tree_util.tree_map(version, late.ring, params, is_leaf=_is_masked)


def _is_masked(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)


def _check_weights(ring: Any, params: Any) -> None:
    """Refuses weights that are not those of a ring."""

    def shapes(versions: Any, weights: Any) -> None:
        if not _is_masked(versions) and jnp.shape(versions)[1:] != jnp.shape(weights):
            shape = jnp.shape(weights)
            raise ValueError(f"params: an array of shape {shape}; accepted: {jnp.shape(versions)[1:]}, as the state has it")

    try:
        jax.tree_util.tree_map(shapes, ring, params, is_leaf=_is_masked)
    except ValueError as error:
        if str(error).startswith("params: "):
            raise
        raise ValueError("params: another tree than that of the state; accepted: the weights that it was made for") from None
    except TypeError:
        raise ValueError("params: another tree than that of the state; accepted: the weights that it was made for") from None


@dataclass(frozen=True)
class SecondMoments:
    """The scale by which an adaptive optimizer divides each gradient, shaped as the weights; for `preconditioner=`."""

    name: str
    scale: Any


def second_moments(state: Any, *, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0) -> SecondMoments:
    """Scale of a live Adam or AdamW: sqrt(nu / (1 - b2^count) + eps_root) + eps.

    Args:
        state: State of `optax.adam`, `optax.adamw` or of what has one inside (`optax.chain`, `delayed`).
        b2: As given to the optimizer, whose state does not have it; optax's default.
        eps: The same.
        eps_root: The same.

    Raises:
        ValueError: A state without second moments, with several, or before the first update.
    """
    for name, number, high in (("b2", b2, 1.0), ("eps", eps, math.inf), ("eps_root", eps_root, math.inf)):
        if not 0 <= number < high:
            raise ValueError(f"{name} {number}; accepted: a number from 0 on" + (" and below 1" if high == 1 else ""))
    found = _found(state, optax.ScaleByAdamState)
    if len(found) != 1:
        raise ValueError(f"state: {len(found)} of Adam in it; accepted: that of optax.adam or optax.adamw")
    [adam] = found
    count = int(adam.count)
    if count == 0:
        raise ValueError("state: of Adam before its first update, without second moments; accepted: after it")
    correction = 1 - b2**count

    def scale(nu: jax.Array) -> jax.Array:
        return jnp.sqrt(nu / correction + eps_root) + eps

    return SecondMoments("Adam", jax.tree_util.tree_map(scale, adam.nu))


def _found(state: Any, kind: Any) -> List[Any]:
    leaves = jax.tree_util.tree_leaves(state, is_leaf=lambda node: isinstance(node, kind))
    # A state of delayed() is a leaf here only where it is looked for; else the search goes into it.
    return [leaf for leaf in leaves if isinstance(leaf, kind)]


class _Slots:
    """Slots of each step of a process: read, write, delay."""

    def __init__(self, process: DelayProcess) -> None:
        self._process = process
        self._cyclic = process.schedule == "round-robin"
        self._drawn = np.zeros((0, 3), np.int32)
        self._lock = threading.Lock()

    def at(self, step: jax.Array) -> Tuple[jax.Array, jax.Array, jax.Array]:
        """Those of a step, traced or not."""
        if self._cyclic:
            slot = step % self._process.slots
            return slot, slot, jnp.minimum(step, self._process.slots - 1)
        shape: Any = jax.ShapeDtypeStruct((3,), np.int32)  # type: ignore[no-untyped-call, unused-ignore]
        found = jax.pure_callback(self._look_up, shape, step, vmap_method="sequential")
        return found[0], found[1], found[2]

    def _look_up(self, step: Any) -> np.ndarray[Any, np.dtype[np.int32]]:
        index = int(step)
        # Callbacks come from threads of their own.
        with self._lock:
            while index >= len(self._drawn):
                block = np.stack(self._process.take(_BLOCK), axis=1).astype(np.int32)
                self._drawn = np.concatenate([self._drawn, block])
            slots: np.ndarray[Any, np.dtype[np.int32]] = self._drawn[index]
            return slots
