"""`save_weights`: the weights of a probed model as a file that `tauscope sweep --minimum` reads.

Not here: how the file's names become those of a model (docs/data.md).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Dict, Union

import numpy as np
import numpy.typing as npt

_LAYOUTS = ("torch", "jax")

#: Data types of safetensors; others are written as f32.
_KINDS = {"float64": "F64", "float32": "F32", "float16": "F16"}


def save_weights(path: Union[str, "os.PathLike[str]"], model_or_params: Any, *, layout: Union[str, None] = None) -> None:
    """Writes weights as safetensors, for `--minimum` and `--minimum-from` of `tauscope sweep` and `--init` of `tauscope train`.

    Args:
        path: File to write; one that is there is replaced.
        model_or_params: As `sharpness` takes it: a `torch.nn.Module`, tensors by name or in a list, or a tree of arrays of JAX.
            Buffers of a module are written too. Inside `Delayed` the newest weights are there in `with optimizer.server():`.
        layout: "torch", as they are: matrices are (outputs, inputs), convolutions (outputs, inputs, height, width). "jax": matrices
            are (inputs, outputs), convolutions (height, width, inputs, outputs), and are turned round; `kernel` is written as
            `weight`. By default that of the framework.

    Raises:
        TypeError: Neither a model nor weights.
        ValueError: Weights that are not finite, or a layout that is none.
        OSError: A file that cannot be written.
    """
    if layout is not None and layout not in _LAYOUTS:
        raise ValueError(f"layout {layout!r}; accepted: 'torch', 'jax', or None")
    arrays, usual = _arrays(model_or_params)
    if (layout or usual) == "jax":
        arrays = {_renamed(name): np.transpose(array, _TURNED.get(array.ndim)) for name, array in arrays.items()}
    header: Dict[str, Any] = {}
    parts, start = [], 0
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"weights {name}: they have entries that are not finite; accepted: numbers")
        parts.append(np.ascontiguousarray(array).tobytes())
        end = start + len(parts[-1])
        header[name] = {"dtype": _KINDS[array.dtype.name], "shape": list(array.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(parts))


#: Axes of JAX's matrices and convolutions in the order of PyTorch's.
_TURNED = {2: (1, 0), 4: (3, 2, 0, 1)}


def _renamed(name: str) -> str:
    head, dot, last = name.rpartition(".")
    return f"{head}{dot}weight" if last == "kernel" else name


def _arrays(given: Any) -> "tuple[Dict[str, npt.NDArray[Any]], str]":
    if "jax" in sys.modules:
        from tauscope.probe import _jax

        if _jax.are_weights(given):
            return {name: _known(np.asarray(leaf)) for name, leaf in _jax.named(given).items()}, "jax"
    try:
        import torch

        from tauscope.probe import _torch
    except ModuleNotFoundError as error:
        kind = type(given).__name__
        raise TypeError(f"model_or_params: {kind}; accepted: a model of PyTorch, which is not installed, or arrays of JAX") from error
    named = dict(given.state_dict()) if isinstance(given, torch.nn.Module) else _torch.named_tensors(given)
    # Counts, as those of batch norms, are no weights.
    real = {name: tensor.detach().cpu() for name, tensor in named.items() if tensor.is_floating_point()}
    if not real:
        raise ValueError("no weights; accepted: at least one tensor of real numbers")
    return {name: _known((t.float() if t.dtype == torch.bfloat16 else t).numpy()) for name, t in real.items()}, "torch"


def _known(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array if array.dtype.name in _KINDS else array.astype(np.float32)
