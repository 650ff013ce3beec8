"""Hessians of JAX losses as operators: products by forward mode over reverse mode (jvp of grad), or by reverse mode twice
where a function with a derivative of its own (`jax.custom_vjp`) has no forward mode.

Not here: eigenvalues (`tauscope.probe._lanczos`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

#: Length of a step by which products are checked, relative to that of the weights, by the precision of these.
_DIFFERENCE = {8: 1e-5, 4: 1e-3}

#: Difference from such a step, relative to the product, that says that a derivative is missing.
_MISSING = 0.1

#: A loss as a function of the weights and of what follows it: nothing, or a batch.
Losses = List[Tuple[Callable[..., Any], Tuple[Any, ...]]]


def are_weights(params: Any) -> bool:
    """Whether these are weights of JAX: a tree with one of its arrays in it."""
    return any(isinstance(leaf, jax.Array) for leaf in jax.tree_util.tree_leaves(params))


def named(params: Any) -> Dict[str, Any]:
    """Leaves of a tree by their places in it, as "hidden.weight"."""
    paths, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator=".") or "weights": leaf for path, leaf in paths}


def losses_of(loss: Any, batches: Optional[Sequence[Any]]) -> Losses:
    """A function of the weights, several in a list, or a function of the weights and a batch."""
    if batches is not None:
        if not callable(loss):
            raise TypeError("batches beside a list of losses; accepted: a function of the weights and a batch")
        found: Losses = [(loss, (batch,)) for batch in batches]
        if not found:
            raise ValueError("batches: none; accepted: at least one")
        return found
    if callable(loss):
        return [(loss, ())]
    if isinstance(loss, Sequence) and loss and all(callable(one) for one in loss):
        return [(one, ()) for one in loss]
    raise TypeError(f"loss: {type(loss).__name__}; accepted: a function of the weights, or several in a list")


class Hessian:
    """Hessian of the mean of some losses, as an operator on vectors of all weights, one after the other.

    With a preconditioner P, the positive scale of each weight, it is P^-1/2 H P^-1/2, which has the eigenvalues of P^-1 H.
    """

    def __init__(self, losses: Losses, params: Any, preconditioner: Any) -> None:
        leaves = named(params)
        names = list(leaves)
        self._shapes = {name: jnp.shape(leaf) for name, leaf in leaves.items()}
        for name, leaf in leaves.items():
            kind = jnp.result_type(leaf) if isinstance(leaf, (jax.Array, np.ndarray, float)) else type(leaf).__name__
            if not (isinstance(kind, np.dtype) and jnp.issubdtype(kind, jnp.floating)):
                raise TypeError(f"weights {name}: {kind}; accepted: arrays of real numbers")
        self.names = names
        self.batches = len(losses)
        self._losses, self._params = losses, params
        self._weights, self._as_tree = ravel_pytree(params)
        self.dimension = int(self._weights.size)
        self.preconditioner: Optional[str] = None
        self._root: Optional[jax.Array] = None
        if preconditioner is not None:
            self.preconditioner, self._root = self._preconditioned(preconditioner)
        self._key = jax.random.PRNGKey(0)
        # Compiled once for each function, however many batches it sees.
        self._products: Dict[Any, Callable[..., Any]] = {loss: jax.jit(_product_of(loss)) for loss, _ in losses}
        for loss, arguments in losses:
            _check_loss(loss, params, arguments)

    def random(self) -> jax.Array:
        """A vector with independent normal entries; the same ones in every probe."""
        self._key, own = jax.random.split(self._key)
        return jax.random.normal(own, (self.dimension,), self._weights.dtype)

    def stack(self, vectors: List[jax.Array]) -> jax.Array:
        """Vectors as the rows of a matrix."""
        return jnp.stack(vectors)

    def apply(self, vector: jax.Array) -> jax.Array:
        """The mean over losses of their products with a vector."""
        total = self.of_batch(0, vector)
        for index in range(1, len(self._losses)):
            total = total + self.of_batch(index, vector)
        return total / len(self._losses)

    def of_batch(self, index: int, vector: jax.Array) -> jax.Array:
        """The product of one loss's Hessian with a vector."""
        loss, arguments = self._losses[index]
        direction = vector if self._root is None else vector * self._root
        displacement = self._as_tree(direction)
        with _differentiated():
            try:
                product = self._products[loss](self._params, displacement, *arguments)
            except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError, TypeError):
                # A loss that looks at its numbers, or a batch that is no array, cannot be compiled; it can be differentiated.
                product = self._otherwise(loss, displacement, arguments)
        flat = ravel_pytree(product)[0]
        if not bool(jnp.isfinite(flat).all()):
            raise ValueError("the Hessian has entries that are not finite; accepted: weights where it is finite")
        return flat if self._root is None else flat * self._root

    def _otherwise(self, loss: Callable[..., Any], displacement: Any, arguments: Tuple[Any, ...]) -> Any:
        """The product in other ways: not compiled, then by reverse mode twice, compiled and not."""
        ways: List[Callable[..., Any]] = [_product_of(loss), jax.jit(_product_in_reverse(loss)), _product_in_reverse(loss)]
        failed: Optional[Exception] = None
        for way in ways:
            try:
                product = way(self._params, displacement, *arguments)
            except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError, TypeError) as error:
                failed = failed or error
                continue
            self._products[loss] = way
            return product
        assert failed is not None
        raise failed

    def check(self, vector: jax.Array) -> None:
        """Compares a product with the difference of two gradients, where a loss has a derivative of its own (`jax.custom_vjp`).

        One that is itself not differentiable (`jax.lax.stop_gradient` in its backward) gives a wrong Hessian and no error; JAX
        refuses all else in its own words, at the first product.
        """
        if not any(_has_own_derivative(loss, self._params, arguments) for loss, arguments in self._losses):
            return
        product = self.apply(vector)
        direction = vector if self._root is None else vector * self._root
        size = max(float(jnp.linalg.norm(self._weights)), 1.0)
        length = size * _DIFFERENCE.get(self._weights.dtype.itemsize, 1e-2) / float(jnp.linalg.norm(direction))
        sides = [self._mean_gradient(self._weights + sign * length * direction) for sign in (1, -1)]
        expected = (sides[0] - sides[1]) / (2 * length)
        expected = expected if self._root is None else expected * self._root
        norms = [float(jnp.linalg.norm(part)) for part in (product - expected, product, expected)]
        if norms[0] > _MISSING * max(norms[1:]):
            raise NotImplementedError(
                f"the Hessian is wrong by {norms[0] / max(norms[1:]):.0%} beside a difference of gradients, for the backward of a function with "
                "jax.custom_vjp is not differentiable; accepted: a backward without stop_gradient, or the function without custom_vjp"
            )

    def _mean_gradient(self, weights: jax.Array) -> jax.Array:
        params = self._as_tree(weights)
        found = [ravel_pytree(jax.grad(loss)(params, *arguments))[0] for loss, arguments in self._losses]
        return sum(found[1:], found[0]) / len(found)

    def by_name(self, vector: jax.Array) -> Dict[str, jax.Array]:
        """An eigenvector as displacements of the weights."""
        displacement = vector if self._root is None else vector * self._root
        return {name: part.reshape(self._shapes[name]) for name, part in self._split(displacement)}

    def inner(self, one: jax.Array, other: jax.Array) -> Dict[str, float]:
        """Share of each array in the inner product of two vectors."""
        pairs = zip(self._split(one), self._split(other))
        return {name: float(np.asarray(left, np.float64) @ np.asarray(right, np.float64)) for (name, left), (_, right) in pairs}

    def _split(self, vector: jax.Array) -> Iterator[Tuple[str, jax.Array]]:
        start = 0
        for name in self.names:
            size = int(np.prod(self._shapes[name]))
            yield name, vector[start : start + size]
            start += size

    def _preconditioned(self, preconditioner: Any) -> Tuple[str, jax.Array]:
        from tauscope.optax import SecondMoments

        if not isinstance(preconditioner, SecondMoments):
            kind = type(preconditioner).__name__
            raise TypeError(f"preconditioner: {kind}; accepted: tauscope.optax.second_moments(state), or None")
        shapes = [jax.tree_util.tree_map(jnp.shape, tree) for tree in (preconditioner.scale, self._params)]
        if shapes[0] != shapes[1]:
            raise ValueError("preconditioner: second moments of other weights; accepted: those of the weights that are probed")
        scale = ravel_pytree(preconditioner.scale)[0]
        if not bool((scale > 0).all()):
            raise ValueError("preconditioner: a scale that is not positive everywhere; accepted: eps above 0")
        return preconditioner.name, scale**-0.5


def _product_of(loss: Callable[..., Any]) -> Callable[..., Any]:
    def product(params: Any, displacement: Any, *arguments: Any) -> Any:
        return jax.jvp(jax.grad(lambda weights: loss(weights, *arguments)), (params,), (displacement,))[1]

    return product


def _product_in_reverse(loss: Callable[..., Any]) -> Callable[..., Any]:
    def product(params: Any, displacement: Any, *arguments: Any) -> Any:
        def along(weights: Any) -> Any:
            gradient = jax.grad(loss)(weights, *arguments)
            pairs = zip(jax.tree_util.tree_leaves(gradient), jax.tree_util.tree_leaves(displacement))
            return sum((jnp.vdot(part, way) for part, way in pairs), start=jnp.zeros(()))

        return jax.grad(along)(params)

    return product


def _has_own_derivative(loss: Callable[..., Any], params: Any, arguments: Tuple[Any, ...]) -> bool:
    """Whether `jax.custom_vjp` is somewhere in a loss."""
    try:
        # As text it also tells what is inside of loops, branches and compiled functions.
        return "custom_vjp" in str(jax.make_jaxpr(lambda weights: loss(weights, *arguments))(params))
    except Exception:  # What cannot be traced is told by the first product.
        return False


def _check_loss(loss: Callable[..., Any], params: Any, arguments: Tuple[Any, ...]) -> None:
    value = loss(params, *arguments)
    if not isinstance(value, (jax.Array, np.ndarray, np.floating, float)):
        raise TypeError(f"loss: {type(value).__name__}; accepted: a function that returns one number")
    if jnp.shape(value) != ():
        raise ValueError(f"loss of shape {jnp.shape(value)}; accepted: one number, as its mean")
    if not bool(jnp.isfinite(value)):
        raise ValueError(f"loss {float(value)}; accepted: a finite number")
    try:
        traced = jax.make_jaxpr(lambda weights: loss(weights, *arguments))(params).jaxpr
    except Exception:  # What cannot be traced is told by the first product.
        return
    used = {id(variable) for equation in traced.eqns for variable in equation.invars} | {id(variable) for variable in traced.outvars}
    if used.isdisjoint(id(variable) for variable in traced.invars):
        raise ValueError("loss: it does not depend on the weights that it is given; accepted: a function of its first argument")


class _differentiated:
    """Says in one sentence what JAX cannot differentiate twice."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        text = str(error)
        if isinstance(error, jax.errors.ConcretizationTypeError):
            raise TypeError("loss: a function that looks at its numbers as Python's; accepted: one that jax.grad takes") from error
        if isinstance(error, (ValueError, TypeError, NotImplementedError)) and ("JVP" in text or "ifferentiation" in text):
            [first, *_] = text.splitlines()
            raise NotImplementedError(
                f"the Hessian needs derivatives that JAX does not have ({first.rstrip('.')}); "
                "accepted: the same operation from others that it can differentiate twice"
            ) from error
