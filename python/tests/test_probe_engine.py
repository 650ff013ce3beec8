"""`sharpness` of PyTorch's LeNet, ResNet-20 and a small GPT beside two other ways: `tauscope train --sharpness`, whose
layers and products are written in Rust, and power iteration.
"""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch_replay as replay
from safetensors.torch import load_file

import tauscope
from tauscope.probe import save_weights, sharpness


def reference_models() -> ModuleType:
    """PyTorch's counterparts of the named models, as the tests of the crate have them."""
    file = Path(__file__).parents[2] / "tests" / "data" / "networks.py"
    spec = importlib.util.spec_from_file_location("networks", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    usual = torch.get_default_dtype()
    try:
        spec.loader.exec_module(module)
    finally:
        torch.set_default_dtype(usual)
    return module


@pytest.mark.parametrize(
    ("name", "kind", "shape", "samples"), [("lenet", "LeNet", "1x28x28", 10), ("resnet20", "ResNet20", "3x32x32", 3)]
)
def test_the_sharpness_of_named_models_is_that_of_the_engine(
    tmp_path: Path, name: str, kind: str, shape: str, samples: int
) -> None:
    data = f"synthetic:clusters:classes=10:shape={shape}:samples={samples}:test=10"
    flags = "--lr 0.02 --delays 0 --seeds 1 --rules sgd --sharpness all"
    problem = f"--data {data} --model {name} --batch full --epochs 5"
    [run] = replay.train(tmp_path / "out", *flags.split(), problem=problem)
    model = getattr(reference_models(), kind)().double()
    model.load_state_dict(run.end, strict=False)
    images = run.inputs.reshape(samples, *map(int, shape.split("x")))

    def objective() -> torch.Tensor:
        squares = sum(parameter.square().sum() for parameter in model.parameters())
        return torch.nn.functional.cross_entropy(model(images), run.labels) + replay.WEIGHT_DECAY / 2 * squares

    found = sharpness(objective, model)
    assert found.converged
    assert found.value == pytest.approx(float(run.row["lambda_max"]), rel=1e-4)


def test_weights_of_a_probed_model_are_a_minimum_that_a_sweep_measures_at(tmp_path: Path) -> None:
    """The file has the bits of the weights, and the threshold of the sweep is 2 over the sharpness of the probe."""
    data = "synthetic:clusters:classes=3:shape=1x2x3:samples=64"
    [run] = replay.train(tmp_path / "out", *"--lr 0.1 --delays 0 --seeds 1 --rules sgd".split(), problem=f"--data {data} --model mlp:5 --batch full --epochs 5")
    model = replay.network(run)

    def objective() -> torch.Tensor:
        squares = sum(parameter.square().sum() for parameter in model.parameters())
        return torch.nn.functional.cross_entropy(model(run.inputs), run.labels) + replay.WEIGHT_DECAY / 2 * squares

    descent = torch.optim.LBFGS(model.parameters(), max_iter=3000, tolerance_grad=1e-10, tolerance_change=0, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        descent.zero_grad()
        value = objective()
        value.backward()
        return value

    descent.step(closure)
    found = sharpness(objective, model, tolerance=1e-7)
    save_weights(tmp_path / "mine.safetensors", model)
    for name, tensor in load_file(tmp_path / "mine.safetensors").items():
        assert torch.equal(tensor, model.state_dict()[name])
    swept = tauscope.sweep(
        data=data, samples="all", model="mlp:5", minimum=tmp_path / "mine.safetensors", weight_decay=replay.WEIGHT_DECAY, rules="sgd", delays=0, engine="cpu",
        precision="f64", out=tmp_path / "swept",
    )
    [limit] = swept.thresholds["lr_theory"]
    assert limit * found.value == pytest.approx(2, rel=1e-6)


def test_weights_that_cannot_be_saved_are_told_in_one_line(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    for given, arguments, kind, part in [
        (3, {}, TypeError, "model_or_params: int; accepted: a model, or its parameters"),
        (torch.nn.ReLU(), {}, ValueError, "no weights; accepted: at least one tensor"),
        ([torch.tensor([math.nan])], {}, ValueError, "weights 0: they have entries that are not finite; accepted: numbers"),
        (model, {"layout": "flax"}, ValueError, "layout 'flax'; accepted: 'torch', 'jax', or None"),
    ]:
        with pytest.raises(kind) as refused:
            save_weights(tmp_path / "no.safetensors", given, **arguments)
        assert part in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "no.safetensors").exists()
    save_weights(tmp_path / "half.safetensors", {"a": torch.ones(3, dtype=torch.bfloat16), "b": torch.ones(2, dtype=torch.float16)})
    assert {name: str(t.dtype) for name, t in load_file(tmp_path / "half.safetensors").items()} == {"a": "torch.float32", "b": "torch.float16"}


class Block(torch.nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.qkv, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.mlp = torch.nn.Sequential(torch.nn.Linear(width, 4 * width), torch.nn.GELU(), torch.nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, width = x.shape
        q, k, v = (
            part.reshape(rows, length, self.heads, -1).transpose(1, 2) for part in self.qkv(self.before(x)).chunk(3, -1)
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(width / self.heads)
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        mixed = torch.softmax(scores.masked_fill(later, -math.inf), -1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, width))
        return x + self.mlp(self.between(x))


class GPT(torch.nn.Module):
    def __init__(self, tokens: int = 11, width: int = 12, length: int = 9) -> None:
        super().__init__()
        self.token, self.place = torch.nn.Embedding(tokens, width), torch.nn.Embedding(length, width)
        self.blocks = torch.nn.Sequential(Block(width, 3), Block(width, 3))
        self.norm, self.head = torch.nn.LayerNorm(width), torch.nn.Linear(width, tokens, bias=False)
        self.head.weight = self.token.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.token(ids) + self.place(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x)))


def test_the_sharpness_of_a_two_layer_gpt_is_that_of_power_iteration() -> None:
    torch.manual_seed(1)
    model, ids = GPT().double(), torch.randint(11, (4, 10))

    def loss() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())

    parameters = list(model.parameters())
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss(), parameters, create_graph=True)])
    found = sharpness(loss, model)
    vector, previous, value = torch.randn(gradient.numel(), dtype=torch.float64), 0.0, 1.0
    # Shifted, so that the largest eigenvalue is also the one of largest modulus.
    while abs(value - previous) > 1e-9 * value:
        vector = vector / vector.norm()
        product = torch.cat([g.flatten() for g in torch.autograd.grad(gradient @ vector, parameters, retain_graph=True)])
        previous, value = value, float(vector @ product)
        vector = product + 0.5 * found.value * vector
    assert found.converged
    assert found.value == pytest.approx(value, rel=1e-5)
    assert sum(found.share.values()) == pytest.approx(1.0)
