"""`sharpness` of PyTorch models beside dense Hessians, which autograd makes entry by entry and LAPACK takes apart."""

from typing import Any, Dict, List

import pytest
import torch

from tauscope.probe import sharpness
from tauscope.torch import Delayed

#: Relative to the largest eigenvalue.
CLOSE = 1e-6

torch.manual_seed(2)
INPUTS, LABELS = torch.randn(4, 16, 5, dtype=torch.float64), torch.randint(3, (4, 16))
BATCHES = list(zip(INPUTS, LABELS))


def network(dtype: torch.dtype = torch.float64) -> torch.nn.Sequential:
    torch.manual_seed(4)
    return torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3)).to(dtype)


def convolutional() -> torch.nn.Sequential:
    torch.manual_seed(4)
    layers = [torch.nn.Unflatten(1, (1, 5)), torch.nn.Conv1d(1, 3, 2), torch.nn.BatchNorm1d(3), torch.nn.GELU()]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(12, 3)).double()


class Attentive(torch.nn.Module):
    """A block of a transformer over the five numbers as tokens, with its embedding tied to the output."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.embed = torch.nn.Linear(1, 4, dtype=torch.float64)
        self.qkv = torch.nn.Linear(4, 12, dtype=torch.float64)
        self.norm = torch.nn.LayerNorm(4, dtype=torch.float64)
        self.head = torch.nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x[..., None])
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + torch.softmax(q @ k.transpose(-1, -2) / 2, -1) @ v
        return self.head(x.mean(-2)) + (x.mean(-2) @ self.embed.weight)


def loss_of(model: torch.nn.Module, batch: Any) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])


def dense(loss: Any, parameters: List[torch.Tensor]) -> torch.Tensor:
    """The Hessian, row by row."""
    gradient = torch.autograd.grad(loss(), parameters, create_graph=True, allow_unused=True)
    flat = torch.cat([g.reshape(-1) for g in gradient if g is not None])
    rows = []
    for entry in flat:
        row = torch.autograd.grad(entry, parameters, retain_graph=True, allow_unused=True)
        rows.append(torch.cat([(torch.zeros_like(p) if r is None else r).reshape(-1) for r, p in zip(row, parameters)]))
    return torch.stack(rows).detach()


def flat(vector: Dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([part.reshape(-1) for part in vector.values()])


@pytest.mark.parametrize("build", [network, convolutional, Attentive])
def test_the_largest_eigenpairs_are_those_of_the_dense_hessian(build: Any) -> None:
    model = build()
    found = sharpness(lambda: loss_of(model, BATCHES[0]), model, k=4, tolerance=1e-9)
    matrix = dense(lambda: loss_of(model, BATCHES[0]), list(model.parameters()))
    values = torch.linalg.eigvalsh(matrix).flip(0)[:4]
    assert found.converged and found.residual <= 1e-9 * found.value
    torch.testing.assert_close(torch.tensor(found.values, dtype=torch.float64), values, rtol=CLOSE, atol=CLOSE * float(values[0]))
    for value, residual, vector in zip(found.values, found.residuals, found.vectors):
        v = flat(vector)
        torch.testing.assert_close(v.norm(), torch.tensor(1.0, dtype=torch.float64))
        assert float((matrix @ v - value * v).norm()) <= residual + 1e-12 * found.value
    assert list(found.vector) == [name for name, _ in model.named_parameters()]


def test_the_mean_over_batches_is_probed_and_its_variance_is_that_of_single_batches() -> None:
    model = network()
    found = sharpness(lambda batch: loss_of(model, batch), model, batches=BATCHES, tolerance=1e-9)
    singles = [dense(lambda b=batch: loss_of(model, b), list(model.parameters())) for batch in BATCHES]
    values, vectors = torch.linalg.eigh(torch.stack(singles).mean(0))
    v = vectors[:, -1]
    curvatures = torch.stack([v @ matrix @ v for matrix in singles])
    assert found.batches == 4 and found.variance is not None
    assert found.value == pytest.approx(float(values[-1]), rel=CLOSE)
    assert found.variance == pytest.approx(float(curvatures.var()), rel=CLOSE)
    assert found.relative_variance == pytest.approx(float(curvatures.var() / values[-1] ** 2), rel=CLOSE)
    as_list = sharpness([lambda b=batch: loss_of(model, b) for batch in BATCHES], model, tolerance=1e-9)
    assert (as_list.value, as_list.variance) == (found.value, found.variance)


def test_shares_are_those_of_layers_parameters_and_stages() -> None:
    model = network()
    probes = [
        sharpness(lambda: loss_of(model, BATCHES[0]), model, groups=groups, tolerance=1e-8)
        for groups in (
            "parameter",
            "layer",
            {"early": ["0.weight", "0.bias"], "late": ["2.weight", "2.bias"]},
            lambda name: name.split(".")[-1],
        )
    ]
    squares = {name: float(part.square().sum()) for name, part in probes[0].vector.items()}
    for probe, expected in zip(
        probes,
        [
            squares,
            {"0": squares["0.weight"] + squares["0.bias"], "2": squares["2.weight"] + squares["2.bias"]},
            {"early": squares["0.weight"] + squares["0.bias"], "late": squares["2.weight"] + squares["2.bias"]},
            {"weight": squares["0.weight"] + squares["2.weight"], "bias": squares["0.bias"] + squares["2.bias"]},
        ],
    ):
        assert probe.share == pytest.approx(expected, rel=1e-9)
    assert "mostly in" in repr(probes[1]) and "<td>2</td>" in probes[1]._repr_html_()


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("Adam", {}), ("AdamW", {"amsgrad": True}), ("NAdam", {}), ("Adamax", {}), ("RMSprop", {"centered": True}), ("Adagrad", {})],
)
def test_preconditioned_eigenvalues_say_when_the_optimizer_itself_diverges(name: str, arguments: Any, delayed: bool) -> None:
    """Oracle: the optimizer's own step. Where its first moment is switched off, the step of a gradient g is lr P^-1 g."""
    model = network()
    inner = getattr(torch.optim, name)(model.parameters(), lr=1e-3, **arguments)
    optimizer = Delayed(inner, 0) if delayed else inner
    for step in range(9):
        optimizer.zero_grad()
        loss_of(model, BATCHES[step % 4]).backward()
        optimizer.step()
    found = sharpness(lambda: loss_of(model, BATCHES[0]), model, k=2, preconditioner=optimizer, tolerance=1e-9)
    matrix = dense(lambda: loss_of(model, BATCHES[0]), list(model.parameters()))
    scale = []
    for parameter in model.parameters():
        state = inner.state[parameter]
        group = inner.param_groups[0]
        if name in ("Adam", "AdamW", "NAdam"):
            moment = state["max_exp_avg_sq" if arguments else "exp_avg_sq"]
            scale.append((moment / (1 - 0.999**9)).sqrt() + group["eps"])
        elif name == "Adamax":
            scale.append(state["exp_inf"])
        elif name == "RMSprop":
            scale.append((state["square_avg"] - state["grad_avg"] ** 2).sqrt() + group["eps"])
        else:
            scale.append(state["sum"].sqrt() + group["eps"])
    divided = matrix / torch.cat([part.reshape(-1) for part in scale])[:, None]
    values = torch.linalg.eigvals(divided).real.sort(descending=True).values[:2]
    assert found.converged and found.preconditioner == name
    assert found.values == pytest.approx(values.tolist(), rel=CLOSE)
    v = flat(found.vector)
    assert float((divided @ v - found.value * v).norm() / v.norm()) <= 1e-6 * found.value


def test_weights_in_f32_are_probed_to_their_precision() -> None:
    model, exact = network(torch.float32), network()
    exact.load_state_dict(model.state_dict())
    batch = (INPUTS[0].float(), LABELS[0])
    found = sharpness(lambda: loss_of(model, batch), model)
    matrix = dense(lambda: loss_of(exact, (batch[0].double(), batch[1])), list(exact.parameters()))
    assert found.converged
    assert found.value == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]), rel=1e-5)


def test_a_basis_that_is_restarted_finds_the_same_eigenvalues(monkeypatch: pytest.MonkeyPatch) -> None:
    from tauscope.probe import _sharpness

    model = network()
    plain = sharpness(lambda: loss_of(model, BATCHES[0]), model, k=3, tolerance=1e-10)
    monkeypatch.setattr(_sharpness, "_BASIS_BYTES", 1)
    restarted = sharpness(lambda: loss_of(model, BATCHES[0]), model, k=3, tolerance=1e-10)
    assert plain.converged and restarted.converged and restarted.products > plain.products
    assert restarted.values == pytest.approx(plain.values, rel=1e-9)


def test_equal_eigenvalues_come_as_often_as_they_are_there() -> None:
    weights = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    curvature = torch.tensor([2.0, 3.0, 3.0, 3.0, -1.0], dtype=torch.float64)
    found = sharpness(lambda: (curvature * weights.square()).sum() / 2, weights, k=5)
    assert found.values == pytest.approx([3.0, 3.0, 3.0, 2.0, -1.0], rel=1e-12)
    linear = sharpness(lambda: weights.sum(), weights)
    assert linear.value == 0.0 and linear.converged


def test_too_few_products_are_told_and_the_residual_says_how_far() -> None:
    model = network()
    found = sharpness(lambda: loss_of(model, BATCHES[0]), model, products=3, tolerance=1e-9)
    assert not found.converged and "not converged" in repr(found)
    matrix = dense(lambda: loss_of(model, BATCHES[0]), list(model.parameters()))
    assert float((torch.linalg.eigvalsh(matrix) - found.value).abs().min()) <= found.residual


def test_a_probe_leaves_model_random_numbers_and_gradients_as_they_were() -> None:
    model = torch.nn.Sequential(*convolutional(), torch.nn.Dropout(0.5))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    first = sharpness(lambda: loss_of(model, BATCHES[0]), model)
    with torch.no_grad():
        many = sharpness(lambda batch: loss_of(model, batch), model, batches=BATCHES)
    assert first.converged and many.converged
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(bool((parameter.grad == 1).all()) for parameter in model.parameters())


def test_frozen_unused_and_shared_parameters() -> None:
    model = network()
    shared = torch.nn.Sequential(model[0], torch.nn.Tanh(), torch.nn.Linear(6, 5).double(), model[0], model[1], model[2])
    shared[2].bias.requires_grad_(False)
    spare = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    named = {**dict(shared.named_parameters()), "spare": spare}
    found = sharpness(lambda: loss_of(shared, BATCHES[0]), named, tolerance=1e-9)
    trained = [parameter for name, parameter in named.items() if parameter.requires_grad]
    assert "2.bias" not in found.vector and float(found.vector["spare"].abs().max()) < 1e-9
    matrix = dense(lambda: loss_of(shared, BATCHES[0]), trained[:-1])
    assert found.value == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]), rel=CLOSE)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * 3 * ctx.saved_tensors[0] ** 2


class Raw(torch.autograd.Function):
    """As kernels are called that autograd does not see."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * 3 * ctx.saved_tensors[0].detach() ** 2


class Good(Raw):
    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * 3 * ctx.saved_tensors[0] ** 2


def test_an_operation_without_second_derivative_is_named_and_its_hessian_never_shown() -> None:
    weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
    scores, lengths = torch.ones(4, 1, 5, requires_grad=True), (torch.tensor([4]), torch.tensor([2]))
    ctc = torch.nn.functional.ctc_loss
    with pytest.raises(NotImplementedError, match="derivative of aten::_ctc_loss_backward, which PyTorch .*; accepted: "):
        sharpness(lambda: ctc(scores.log_softmax(-1), torch.tensor([[1, 2]]), *lengths), scores)
    # PyTorch itself is silent about functions of one's own.
    for alone in (Once, Raw):
        with pytest.raises(NotImplementedError, match=f"wrong by .* for the backward of {alone.__name__}Backward is not diff"):
            sharpness(lambda: (alone.apply(weights) + weights.square()).sum(), weights)
        assert torch.equal(weights.detach(), torch.ones(3, dtype=torch.float64))
    assert sharpness(lambda: Good.apply(weights).sum(), weights).value == pytest.approx(6.0)


def test_what_has_no_hessian_is_told_in_one_line() -> None:
    model, weights = network(), torch.ones(3, requires_grad=True)
    meta = torch.nn.Parameter(torch.empty(3, device="meta"))
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    fresh = torch.optim.Adam(model.parameters(), 0.1)
    other = torch.optim.Adam([weights], 0.1)

    def objective() -> torch.Tensor:
        return weights.square().sum()

    def of_model() -> torch.Tensor:
        return loss_of(model, BATCHES[0])

    for loss, target, arguments, kind, part in [
        (objective, [weights.detach()], {}, ValueError, "no parameters that require a gradient; accepted: at least one"),
        (objective, torch.nn.ReLU(), {}, ValueError, "no parameters that require a gradient"),
        (objective, 3, {}, TypeError, "model_or_params: int; accepted: a model, or its parameters"),
        (objective, [3], {}, TypeError, "parameter 0: int; accepted: tensors"),
        (objective, [weights, meta], {}, ValueError, "parameters on cpu and meta; accepted: all on one device"),
        (objective, model, {}, ValueError, "does not depend on the parameters that are probed"),
        (lambda: weights.square(), weights, {}, ValueError, "loss of shape (3,); accepted: one number, as its mean"),
        (lambda: weights.sum() * float("nan"), weights, {}, ValueError, "loss nan; accepted: a finite number"),
        (lambda: meta.sum() + weights.sum().to("meta"), weights, {}, ValueError, "loss on the device meta, which has no numbers; accepted"),
        (objective, weights, {"tolerance": None}, ValueError, "tolerance None; accepted: a number between 0 and 1"),
        (lambda: 1.0, weights, {}, TypeError, "loss: float; accepted: a function that returns a tensor"),
        (lambda: torch.ones(()), weights, {}, ValueError, "loss does not depend on the parameters"),
        (3, weights, {}, TypeError, "loss: int; accepted: a function without arguments, or several in a list"),
        ([], weights, {}, TypeError, "loss: list; accepted"),
        (objective, weights, {"batches": []}, ValueError, "batches: none; accepted: at least one"),
        (objective, weights, {"k": 0}, ValueError, "k 0; accepted: a whole number from 1 on"),
        (objective, weights, {"k": 4}, ValueError, "k 4 of a Hessian of 3 parameters; accepted: at most as many"),
        (objective, weights, {"products": 0.5}, ValueError, "products 0.5; accepted"),
        (objective, weights, {"tolerance": 0}, ValueError, "tolerance 0; accepted: a number between 0 and 1"),
        (objective, weights, {"groups": "layers"}, ValueError, "groups 'layers'; accepted: 'layer', 'parameter'"),
        (objective, weights, {"groups": {"a": []}}, ValueError, "parameter 0 is in none; accepted"),
        (objective, weights, {"groups": {"a": ["0", "1"]}}, ValueError, "no parameter 1 that requires a gradient; accepted: 0"),
        (of_model, model, {"preconditioner": sgd}, TypeError, "SGD has no second moments; accepted: Adagrad, Adam,"),
        (of_model, model, {"preconditioner": fresh}, ValueError, "no second moment of 0.weight; accepted: after its first step"),
        (of_model, model, {"preconditioner": other}, ValueError, "0.weight is not among those of Adam; accepted"),
        (lambda: (weights - 1).norm(), weights, {}, ValueError, "not finite; accepted"),
    ]:
        with pytest.raises(kind) as refused:
            sharpness(loss, target, **arguments)
        assert part in str(refused.value), str(refused.value)
        assert "\n" not in str(refused.value)
