"""A workload as `tauscope bench step --export` writes it, and the comparison of outcomes.

Not here: how anything is computed (jax_peer.py, torch_peer.py), nor timing (run).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

# Largest difference from tauscope's outcome, relative to the largest magnitude, after the steps of one round: sums in f32
# in another order differ by some 1e-7 at every step, and delayed training at these learning rates does not magnify that.
TOLERANCE = 2e-5


@dataclass
class Workload:
    """Many runs of delayed SGD on one network, which differ in their learning rates alone; f32."""

    x: np.ndarray  # samples x features
    y: np.ndarray  # samples, int32
    order: np.ndarray | None  # steps x batch, int32; None where the batch is full
    start: np.ndarray  # P: weight (outputs x inputs) and bias of each layer in turn
    lr: np.ndarray  # lanes
    widths: list[int]
    activation: str
    weight_decay: float
    slots: int
    steps: int
    weights: np.ndarray  # lanes x P: tauscope's outcome
    loss: np.ndarray  # steps x lanes: tauscope's, at the weights of each step's gradient

    @property
    def lanes(self):
        return len(self.lr)

    @property
    def layers(self):
        """(inputs, outputs) of each layer."""
        return list(zip(self.widths[:-1], self.widths[1:]))

    def split(self, flat):
        """[weight, bias, weight, bias, ...] of vectors ... x P."""
        parts, at = [], 0
        for inputs, outputs in self.layers:
            for shape in [(outputs, inputs), (outputs,)]:
                size = int(np.prod(shape))
                parts.append(flat[..., at : at + size].reshape(flat.shape[:-1] + shape))
                at += size
        return parts

    def join(self, parts):
        """The inverse of `split`, for parts of `lanes` lanes."""
        return np.concatenate([np.asarray(part).reshape(len(part), -1) for part in parts], axis=1)

    def disagreement(self, weights, loss):
        """The largest difference of an outcome from tauscope's, relative to the largest magnitude; NaN where it has any.
        Fewer lanes than the workload's are compared with the first of them."""

        def worst(actual, expected):
            actual = np.asarray(actual, np.float64)
            if actual.shape != expected.shape:
                raise ValueError(f"an outcome of shape {actual.shape}; expected {expected.shape}")
            return np.max(np.abs(actual - expected)) / np.max(np.abs(expected))

        lanes = len(weights)
        return np.maximum(worst(weights, self.weights[:lanes]), worst(loss, self.loss[:, :lanes]))


def read(path: Path) -> Workload:
    with safe_open(path, framework="numpy") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    for key, accepted in {"rule": ["sgd"], "loss": ["ce"], "activation": ["tanh", "relu"]}.items():
        if about[key] not in accepted:
            raise SystemExit(f"{path}: {key} is {about[key]}; the peers know {', '.join(accepted)}")
    order = tensors.get("order")
    return Workload(
        x=tensors["x"],
        y=tensors["y"].astype(np.int32),
        order=None if order is None else order.astype(np.int32),
        start=tensors["start"].astype(np.float32),
        lr=tensors["lr"].astype(np.float32),
        widths=[int(width) for width in about["widths"].split("-")],
        activation=about["activation"],
        weight_decay=float(about["weight_decay"]),
        slots=int(about["slots"]),
        steps=int(about["steps"]),
        weights=tensors["weights"],
        loss=tensors["loss"],
    )
