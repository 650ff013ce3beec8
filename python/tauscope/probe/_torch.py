"""Hessians of PyTorch models as operators: products by double backward.

Not here: eigenvalues (`tauscope.probe._lanczos`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import torch

from tauscope.probe._second_moments import second_moment_scale, unwrapped

Losses = List[Callable[[], torch.Tensor]]

_OF_OTHERS = "does not depend on the parameters that are probed; accepted: a loss of these parameters, without checkpoints that are reentrant"

#: Length of a step by which products are checked, relative to that of the weights.
_DIFFERENCE = {torch.float64: 1e-5, torch.float32: 1e-3}

#: Difference from such a step, relative to the product, that says that a derivative is missing.
_MISSING = 0.1

_DOUBLE_BACKWARD = re.compile(
    r"derivative for '?(?P<op>[\w:.]+)|differentiate twice a function|Double backwards is not supported|"
    r"(?P<other>[\w:]+) does not support double backward"
)


def named_tensors(model_or_params: Any) -> Dict[str, torch.Tensor]:
    """The parameters of a model, or tensors by name or place."""
    named: Dict[str, torch.Tensor]
    if isinstance(model_or_params, torch.nn.Module):
        named = dict(model_or_params.named_parameters())
    elif isinstance(model_or_params, torch.Tensor):
        named = {"0": model_or_params}
    elif isinstance(model_or_params, Mapping):
        named = {str(name): parameter for name, parameter in model_or_params.items()}
    elif isinstance(model_or_params, Iterable):
        named = {str(index): parameter for index, parameter in enumerate(model_or_params)}
    else:
        kind = type(model_or_params).__name__
        raise TypeError(f"model_or_params: {kind}; accepted: a model, or its parameters by name or in a list")
    for name, parameter in named.items():
        if not isinstance(parameter, torch.Tensor):
            raise TypeError(f"parameter {name}: {type(parameter).__name__}; accepted: tensors")
    return named


def trained(model_or_params: Any) -> Tuple[Dict[str, torch.Tensor], Optional[torch.nn.Module]]:
    """The parameters with a gradient by name, and the model where there is one."""
    module = model_or_params if isinstance(model_or_params, torch.nn.Module) else None
    named = named_tensors(model_or_params)
    once = {id(parameter): name for name, parameter in reversed(named.items()) if parameter.requires_grad}
    parameters = {name: parameter for name, parameter in named.items() if once.get(id(parameter)) == name}
    if not parameters:
        raise ValueError("no parameters that require a gradient; accepted: at least one")
    devices = sorted({str(parameter.device) for parameter in parameters.values()})
    if len(devices) > 1:
        raise ValueError(f"parameters on {' and '.join(devices)}; accepted: all on one device")
    for name, parameter in parameters.items():
        if parameter.is_complex():
            raise TypeError(f"parameter {name}: {parameter.dtype}; accepted: real numbers")
        if parameter.device.type == "meta":
            raise ValueError(f"parameter {name} on the device meta, which has no numbers; accepted: parameters with numbers")
    return parameters, module


class Hessian:
    """Hessian of the mean of some losses, as an operator on vectors of all parameters, one after the other.

    With a preconditioner P, the positive scale of each parameter, it is P^-1/2 H P^-1/2, which has the eigenvalues of P^-1 H.
    """

    def __init__(
        self,
        losses: Losses,
        parameters: Dict[str, torch.Tensor],
        module: Optional[torch.nn.Module],
        preconditioner: Optional[torch.optim.Optimizer],
    ) -> None:
        self.names = list(parameters)
        self.batches = len(losses)
        self.preconditioner = None if preconditioner is None else type(unwrapped(preconditioner)).__name__
        self._losses = losses
        self._parameters = parameters
        self._module = module
        self._list = list(parameters.values())
        self.dimension = sum(parameter.numel() for parameter in self._list)
        self._dtype = torch.float64 if any(p.dtype == torch.float64 for p in self._list) else torch.float32
        self._device = self._list[0].device
        self._root: Optional[torch.Tensor] = None
        if preconditioner is not None:
            self._root = self._flat(second_moment_scale(preconditioner, parameters)).rsqrt()
        self._own: Set[str] = set()
        # A single loss keeps its graph, so that forward and first backward are made once.
        self._gradient = self._differentiate(losses[0]) if len(losses) == 1 else None
        self._generator = torch.Generator().manual_seed(0)

    def random(self) -> torch.Tensor:
        """A vector with independent normal entries; the same ones in every probe."""
        drawn = torch.randn(self.dimension, generator=self._generator, dtype=torch.float64)
        return drawn.to(self._dtype).to(self._device)

    def stack(self, vectors: List[torch.Tensor]) -> torch.Tensor:
        """Vectors as the rows of a matrix."""
        return torch.stack(vectors)

    def apply(self, vector: torch.Tensor) -> torch.Tensor:
        """The mean over losses of their products with a vector."""
        total = self.of_batch(0, vector)
        for index in range(1, len(self._losses)):
            total = total + self.of_batch(index, vector)
        return total / len(self._losses)

    def of_batch(self, index: int, vector: torch.Tensor) -> torch.Tensor:
        """The product of one loss's Hessian with a vector."""
        gradient = self._gradient if self._gradient is not None else self._differentiate(self._losses[index])
        direction = vector if self._root is None else vector * self._root
        pairs = [(g, part) for g, part in zip(gradient, self._parts(direction)) if g is not None and g.requires_grad]
        if not pairs:
            return torch.zeros_like(vector)
        with _double_backward(), torch.enable_grad():
            weighted = [(g * part).sum() for g, part in pairs]
            product = torch.autograd.grad(
                sum(weighted[1:], weighted[0]), self._list, retain_graph=self._gradient is not None, allow_unused=True
            )
        flat = self._flat([torch.zeros_like(p) if part is None else part for p, part in zip(self._list, product)])
        if not bool(torch.isfinite(flat).all()):
            raise ValueError("the Hessian has entries that are not finite; accepted: weights where it is finite")
        return flat if self._root is None else flat * self._root

    def check(self, vector: torch.Tensor) -> None:
        """Compares a product with the difference of two gradients, where operations are there that PyTorch cannot vouch for.

        A function of one's own, or a kernel of another library, whose backward is not differentiable gives a wrong Hessian
        and no error.
        """
        if not self._own:
            return
        weights = self._flat(self._list)
        direction = vector if self._root is None else vector * self._root
        length = max(float(weights.norm()), 1.0) * _DIFFERENCE[self._dtype] / float(direction.norm())
        before, sides = [parameter.detach().clone() for parameter in self._list], []
        try:
            for sign in (1, -1):
                self._put(self._parts(weights + sign * length * direction))
                sides.append(self._mean_gradient())
        finally:
            self._put(before)
        difference = (sides[0] - sides[1]) / (2 * length)
        product = self.apply(vector)
        expected = difference if self._root is None else difference * self._root
        far = float((product - expected).norm())
        if far > _MISSING * max(float(product.norm()), float(expected.norm())):
            raise NotImplementedError(
                f"the Hessian is wrong by {far / float(expected.norm()):.0%} beside a difference of gradients, for the backward of "
                f"{' or '.join(sorted(self._own))} is not differentiable; accepted: {_way_out('')}"
            )

    def _put(self, parts: List[torch.Tensor]) -> None:
        for parameter, part in zip(self._list, parts):
            # Unseen by autograd, whose graph is needed again when the weights are back.
            parameter.data.copy_(part)

    def _mean_gradient(self) -> torch.Tensor:
        total = torch.zeros(self.dimension, dtype=self._dtype, device=self._device)
        for loss in self._losses:
            gradient = self._differentiate(loss)
            total += self._flat([torch.zeros_like(p) if g is None else g for p, g in zip(self._list, gradient)])
        return total / len(self._losses)

    def by_name(self, vector: torch.Tensor) -> Dict[str, torch.Tensor]:
        """An eigenvector as displacements of the parameters."""
        displacement = vector if self._root is None else vector * self._root
        return dict(zip(self._parameters, self._parts(displacement)))

    def inner(self, one: torch.Tensor, other: torch.Tensor) -> Dict[str, float]:
        """Share of each parameter in the inner product of two vectors."""
        pairs = zip(self._parameters, self._split(one), self._split(other))
        return {name: float(left.double() @ right.double()) for name, left, right in pairs}

    def _split(self, vector: torch.Tensor) -> List[torch.Tensor]:
        return list(torch.split(vector, [parameter.numel() for parameter in self._list]))

    def _parts(self, vector: torch.Tensor) -> List[torch.Tensor]:
        return [part.reshape(p.shape).to(p.dtype) for part, p in zip(self._split(vector), self._list)]

    def _flat(self, tensors: Iterable[torch.Tensor]) -> torch.Tensor:
        return torch.cat([tensor.detach().reshape(-1).to(self._dtype) for tensor in tensors])

    def _differentiate(self, loss: Callable[[], torch.Tensor]) -> List[Optional[torch.Tensor]]:
        """The gradient of a loss, with its graph. Draws and buffers are as if it had not been asked for."""
        buffers = [] if self._module is None else list(self._module.buffers())
        before = [buffer.clone() for buffer in buffers]
        # Dropout and the like draw the same in every product, or these would be of different matrices.
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            torch.manual_seed(0)
            try:
                value = loss()
            finally:
                with torch.no_grad():
                    for buffer, content in zip(buffers, before):
                        if not torch.equal(buffer, content):
                            # Not in place: the graph may have kept what the buffer was.
                            buffer.data = content
            check_loss(value)
            with _double_backward():
                found = torch.autograd.grad(value, self._list, create_graph=True, allow_unused=True)
            gradient: List[Optional[torch.Tensor]] = list(found)
            if all(part is None for part in gradient):
                raise ValueError(f"loss {_OF_OTHERS}")
            self._own |= own_functions(value)
            return gradient


def check_loss(value: Any) -> None:
    """Refuses what has no Hessian in the parameters."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"loss: {type(value).__name__}; accepted: a function that returns a tensor of one number")
    if value.numel() != 1:
        raise ValueError(f"loss of shape {tuple(value.shape)}; accepted: one number, as its mean")
    if value.device.type == "meta":
        raise ValueError("loss on the device meta, which has no numbers; accepted: weights and batches on one device that has")
    if not bool(torch.isfinite(value.detach())):
        raise ValueError(f"loss {float(value.detach())}; accepted: a finite number")
    if not value.requires_grad:
        raise ValueError(f"loss {_OF_OTHERS}")


def own_functions(value: torch.Tensor) -> Set[str]:
    """Operations below a loss that are no part of PyTorch: functions written in Python, and those of other libraries."""
    found, seen, left = set(), set(), [value.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction) or "CppNode" in node.name():
            found.add(node.name())
        left.extend(child for child, _ in node.next_functions)
    return found


class _double_backward:
    """Says which operation has no second derivative, and what to do."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        found = _DOUBLE_BACKWARD.search(str(error)) if isinstance(error, RuntimeError) else None
        if found is None:
            return
        groups = found.groupdict()
        operation = groups["op"] or groups["other"] or "a function marked once_differentiable"
        raise NotImplementedError(
            f"the Hessian needs the second derivative of {operation.rstrip('.:')}, which PyTorch does not have; accepted: {_way_out(operation)}"
        ) from error


def _way_out(operation: str) -> str:
    if "attention" in operation:
        return "attention by torch.nn.attention.sdpa_kernel(SDPBackend.MATH), or written out"
    if "rnn" in operation or "lstm" in operation or "gru" in operation:
        return "the loss under torch.backends.cudnn.flags(enabled=False), or its cells written out"
    return "the same operation from others that PyTorch can differentiate twice"
