"""`sharpness`: arguments in, Lanczos, evidence out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Dict, List, Optional, Union

import numpy as np

from tauscope.probe._lanczos import largest
from tauscope.probe._result import Sharpness

#: Bytes of memory that the basis may take before it is restarted.
_BASIS_BYTES = 2 * 1024**3

Groups = Union[str, Mapping[str, Any], Callable[[str], str]]


def sharpness(
    loss: Union[Callable[..., Any], Sequence[Callable[[], Any]]],
    model_or_params: Any,
    *,
    k: int = 1,
    batches: Optional[Sequence[Any]] = None,
    groups: Groups = "layer",
    preconditioner: Any = None,
    tolerance: float = 1e-4,
    products: int = 200,
) -> Sharpness:
    """Largest eigenvalues of the Hessian of a loss at the model's weights, by Lanczos with exact products.

    For PyTorch and for JAX. A model of PyTorch is not changed: buffers, such as running statistics, are put back, and random
    numbers, such as those of dropout, are the same in every product and not taken from the global generator. Weight decay
    counts where it is in `loss`; that of an optimizer is not.

    Args:
        loss: PyTorch: a function without arguments that returns the loss, a tensor of one number; several of them in a list,
            one for each batch, whose mean is probed; or, with `batches`, a function of a batch. JAX: the same, with the
            weights as first argument.
        model_or_params: A `torch.nn.Module`, or parameters by name or in a list, of which those that require no gradient stay
            out; or weights of JAX, any tree of arrays.
        k: Number of eigenvalues. An eigenvalue of several directions is found once, as Lanczos from one start cannot tell them apart.
        batches: What `loss` is called with, one after the other. With batches as large as those of the training, `variance`
            is what minibatches do to the curvature.
        groups: What `share` is given for: "layer" (the module that has the parameter), "parameter", a function from a
            parameter's name to that of its group, or a dict of groups with the names of their parameters, as the stages of a
            pipeline from the first on.
        preconditioner: An Adam, AdamW, NAdam, Adamax, RMSprop or Adagrad of PyTorch after its first step, also inside
            `tauscope.torch.Delayed`; for JAX `tauscope.optax.second_moments(state)`. Eigenvalues are then those of P^-1 H with
            P what gradients are divided by.
        tolerance: Largest residual of a converged eigenvalue, relative to the largest absolute one. The eigenvalue itself is mostly known
            to about the square of that. Weights in f32 reach 1e-5 or so.
        products: Most products with the Hessian; each costs about two gradients of all batches.

    Raises:
        ValueError: No parameters, several devices, a loss that is not one finite number or not of these parameters.
        TypeError: Arguments of another type.
        NotImplementedError: An operation without second derivative; the message names it and says what to do. Functions of
            your own whose backward is not differentiable are found by a difference of gradients.
    """
    for name, number in (("k", k), ("products", products)):
        if isinstance(number, bool) or not hasattr(number, "__index__") or number < 1:
            raise ValueError(f"{name} {number!r}; accepted: a whole number from 1 on")
    if not isinstance(tolerance, (int, float, np.floating)) or not 0 < tolerance < 1:
        raise ValueError(f"tolerance {tolerance!r}; accepted: a number between 0 and 1")
    if batches is not None and not hasattr(batches, "__iter__"):
        raise TypeError(f"batches {batches!r}; accepted: several, in a list, or None")
    hessian = _hessian(loss, batches, model_or_params, preconditioner)
    grouped = _grouped(groups, hessian.names)
    if k > hessian.dimension:
        raise ValueError(f"k {k} of a Hessian of {hessian.dimension} parameters; accepted: at most as many")
    limit = max(2 * k + 12, min(products + 1, _BASIS_BYTES // (8 * hessian.dimension)))
    hessian.check(hessian.random())
    pairs = largest(hessian.apply, hessian.random, hessian.stack, hessian.dimension, k, tolerance, max(products, k), limit)
    curvatures = [float(pairs.vectors[0] @ hessian.of_batch(index, pairs.vectors[0])) for index in range(hessian.batches)]
    mean = sum(curvatures) / len(curvatures)
    spread = [(curvature - mean) ** 2 for curvature in curvatures]
    vectors = [hessian.by_name(vector) for vector in pairs.vectors]
    inner = _inner(hessian, pairs.vectors, grouped)
    shares = [{group: float(products[index, index]) for group, products in inner.items()} for index in range(len(vectors))]
    return Sharpness(
        value=pairs.values[0],
        residual=pairs.residuals[0],
        converged=len(pairs.values) == k and all(residual <= tolerance * pairs.scale for residual in pairs.residuals),
        vector=vectors[0],
        share=shares[0],
        values=pairs.values,
        residuals=pairs.residuals,
        vectors=vectors,
        shares=shares,
        inner=inner,
        variance=sum(spread) / (len(spread) - 1) if len(spread) > 1 else None,
        batches=hessian.batches,
        products=pairs.products,
        preconditioner=hessian.preconditioner,
    )


def _hessian(loss: Any, batches: Optional[Sequence[Any]], model_or_params: Any, preconditioner: Any) -> Any:
    """The Hessian as an operator, of the framework that the weights are of."""
    # Weights of JAX are there only where it is imported.
    if "jax" in sys.modules:
        from tauscope.probe import _jax

        if _jax.are_weights(model_or_params):
            return _jax.Hessian(_jax.losses_of(loss, batches), model_or_params, preconditioner)
    try:
        from tauscope.probe import _torch
    except ModuleNotFoundError as error:
        kind = type(model_or_params).__name__
        raise TypeError(f"model_or_params: {kind}; accepted: a model of PyTorch, which is not installed, or arrays of JAX") from error
    losses = _losses(loss, batches)
    parameters, module = _torch.trained(model_or_params)
    return _torch.Hessian(losses, parameters, module, preconditioner)


def _losses(loss: Any, batches: Optional[Sequence[Any]]) -> List[Callable[[], Any]]:
    if batches is not None:
        if not callable(loss):
            raise TypeError("batches beside a list of losses; accepted: a function of a batch")
        found = [_bound(loss, batch) for batch in batches]
        if not found:
            raise ValueError("batches: none; accepted: at least one")
        return found
    if callable(loss):
        return [loss]
    if isinstance(loss, Sequence) and loss and all(callable(one) for one in loss):
        return list(loss)
    raise TypeError(f"loss: {type(loss).__name__}; accepted: a function without arguments, or several in a list")


def _bound(loss: Callable[[Any], Any], batch: Any) -> Callable[[], Any]:
    return lambda: loss(batch)


def _grouped(groups: Groups, names: List[str]) -> Dict[str, str]:
    """The group of each parameter."""
    if groups == "layer":
        return {name: name.rpartition(".")[0] or name for name in names}
    if groups == "parameter":
        return {name: name for name in names}
    if callable(groups):
        return {name: str(groups(name)) for name in names}
    if not isinstance(groups, Mapping):
        raise ValueError(f"groups {groups!r}; accepted: 'layer', 'parameter', a function, or a dict of names")
    found: Dict[str, str] = {}
    for group, members in groups.items():
        for name in members:
            if found.setdefault(name, str(group)) != str(group):
                raise ValueError(f"groups: parameter {name} is in {found[name]} and in {group}; accepted: every parameter in one group")
    for name in names:
        if name not in found:
            raise ValueError(f"groups: parameter {name} is in none; accepted: every parameter in a group")
    for name in found:
        if name not in names:
            raise ValueError(f"groups: no parameter {name} that requires a gradient; accepted: {', '.join(names[:8])}")
    return {name: found[name] for name in found}


def _inner(hessian: Any, vectors: List[Any], grouped: Dict[str, str]) -> Dict[str, Any]:
    """Inner products of vectors of length 1 within each group, in the order of the groups."""
    count = len(vectors)
    inner: Dict[str, Any] = {group: np.zeros((count, count)) for group in grouped.values()}
    for row in range(count):
        for column in range(row, count):
            for name, part in hessian.inner(vectors[row], vectors[column]).items():
                inner[grouped[name]][row, column] += part
    # Rounding in f32 leaves the lengths a little off.
    roots = np.sqrt(sum(np.diag(products) for products in inner.values()))
    return {group: (products + np.triu(products, 1).T) / np.outer(roots, roots) for group, products in inner.items()}
