"""`Delayed` beside the same training written out: every version of the weights in a list, none of them overwritten.

Not here: agreement with the engines (`test_torch_trajectories.py`).
"""

import copy
import io
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import pytest
import torch

from tauscope.torch import Delayed, _ring

Make = Callable[[Any], torch.optim.Optimizer]

torch.manual_seed(5)
INPUTS, TARGETS = torch.randn(200, 8, 3), torch.randn(200, 8, 2)
RECORDED = [0, 2, 1, 3, 0]


def network() -> torch.nn.Sequential:
    torch.manual_seed(11)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))


def loss(model: torch.nn.Module, step: int) -> torch.Tensor:
    return (model(INPUTS[step]) - TARGETS[step]).square().mean()


def weights(parameters: Any) -> List[torch.Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


def put(parameters: Any, values: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values):
            parameter.copy_(value)


def written_out(make: Make, delays: Sequence[int], steps: int) -> List[torch.Tensor]:
    """The weights after `steps` updates; step t reads those of `delays[t]` updates before, over and over."""
    model = network()
    optimizer, versions = make(model.parameters()), [weights(model.parameters())]
    for step in range(steps):
        put(model.parameters(), versions[max(0, step - delays[step % len(delays)])])
        optimizer.zero_grad()
        loss(model, step).backward()
        put(model.parameters(), versions[-1])
        optimizer.step()
        versions.append(weights(model.parameters()))
    return versions[-1]


def go_on(model: torch.nn.Module, optimizer: Delayed, first: int, last: int) -> None:
    for step in range(first, last):
        optimizer.zero_grad()
        loss(model, step).backward()
        optimizer.step()


def newest(model: torch.nn.Module, optimizer: Delayed) -> List[torch.Tensor]:
    with optimizer.server():
        return weights(model.parameters())


def same(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    assert len(one) == len(other) > 0
    return all(torch.equal(a, b) for a, b in zip(one, other))


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 0.05, momentum=0.9, dampening=0.5, weight_decay=0.01)


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, 0.01)


#: Those of torch.optim that need a closure, sparse gradients or matrices alone.
OF_OTHER_KINDS = {"LBFGS", "SparseAdam", "Muon", "Adafactor"}


def kinds() -> List[str]:
    found = [name for name, kind in vars(torch.optim).items() if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)]
    return sorted(set(found) - OF_OTHER_KINDS - {"Optimizer"})


@pytest.mark.parametrize("name", kinds())
@pytest.mark.parametrize("delays", [[0], [1], [4], RECORDED], ids=str)
def test_every_optimizer_applies_late_gradients_to_the_newest_weights(name: str, delays: List[int]) -> None:
    def make(parameters: Any) -> torch.optim.Optimizer:
        return getattr(torch.optim, name)(parameters, lr=0.01)

    model = network()
    process: Dict[str, Any] = {"delay": delays[0]} if len(delays) == 1 else {"trace": delays}
    optimizer = Delayed(make(model.parameters()), **process)
    go_on(model, optimizer, 0, 23)
    assert same(newest(model, optimizer), written_out(make, delays, 23))


def test_there_are_optimizers_to_wrap() -> None:
    assert {"SGD", "Adam", "AdamW", "RMSprop"} <= set(kinds())


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("make", [sgd, adam], ids=["sgd", "adam"])
@pytest.mark.parametrize(
    "process",
    [
        {"delay": 3},
        {"schedule": "random", "delay": 4},
        {"trace": RECORDED},
        {"schedule": "random", "delay": 4, "mixing": "age"},
        {"delay": 3, "horizon": 4.5},
    ],
    ids=str,
)
def test_a_training_that_is_saved_in_the_middle_of_a_ring_goes_on_with_the_same_bits(
    make: Make, process: Dict[str, Any], device: Optional[str]
) -> None:
    whole = network()
    undisturbed = Delayed(make(whole.parameters()), seed=7, **process)
    go_on(whole, undisturbed, 0, 40)

    first = network()
    saved = Delayed(make(first.parameters()), seed=7, **process)
    go_on(first, saved, 0, 17)
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    delays = saved.delays
    go_on(first, saved, 17, 20)

    file.seek(0)
    second = network()
    put(second.parameters(), [torch.full_like(p, 9.0) for p in second.parameters()])
    resumed = Delayed(make(second.parameters()), seed=7, device=device, **process)
    resumed.load_state_dict(torch.load(file))
    assert (resumed.steps, resumed.delays) == (17, delays)
    go_on(second, resumed, 17, 40)
    assert same(newest(second, resumed), newest(whole, undisturbed))
    assert same(weights(second.parameters()), weights(whole.parameters()))


@pytest.mark.parametrize("make", [sgd, adam], ids=["sgd", "adam"])
def test_mixing_with_a_share_of_1_is_a_training_of_its_own_for_each_worker(make: Make) -> None:
    model = network()
    optimizer = Delayed(make(model.parameters()), 2, mixing=1.0)
    alone = [network() for _ in range(3)]
    optimizers = [make(one.parameters()) for one in alone]
    for step in range(25):
        assert same(weights(model.parameters()), weights(alone[step % 3].parameters()))
        optimizers[step % 3].zero_grad()
        loss(alone[step % 3], step).backward()
        optimizers[step % 3].step()
        go_on(model, optimizer, step, step + 1)
        assert same(newest(model, optimizer), weights(alone[step % 3].parameters()))


def test_mixing_around_adam_is_the_mean_of_weights_and_moments_written_out() -> None:
    lr, (beta1, beta2), share, delay = 0.01, (0.9, 0.99), 0.3, 2
    model = network()
    inner = torch.optim.Adam(model.parameters(), lr, betas=(beta1, beta2))
    optimizer = Delayed(inner, delay, mixing=share)
    other = network()
    zeros = [torch.zeros_like(p) for p in other.parameters()]
    # By version: weights, both moments, count of steps.
    versions = [(weights(other.parameters()), zeros, zeros, 0.0)]
    for step in range(30):
        x, first, second, count = versions[max(0, step - delay)]
        put(other.parameters(), x)
        other.zero_grad()
        loss(other, step).backward()
        gradients = [p.grad for p in other.parameters()]
        first = [beta1 * m + (1 - beta1) * g for m, g in zip(first, gradients)]
        second = [beta2 * s + (1 - beta2) * g * g for s, g in zip(second, gradients)]
        count += 1.0
        moves = [
            lr * m / (1 - beta1**count) / ((s / (1 - beta2**count)).sqrt() + 1e-8) for m, s in zip(first, second)
        ]
        result = ([w - move for w, move in zip(x, moves)], first, second, count)
        mixed = [[o + share * (n - o) for o, n in zip(old, new)] for old, new in zip(versions[-1][:3], result[:3])]
        versions.append((*mixed, versions[-1][3] + share * (count - versions[-1][3])))
        go_on(model, optimizer, step, step + 1)
    for found, expected in zip(newest(model, optimizer), versions[-1][0]):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_state_of_another_process_or_model_is_refused_and_changes_nothing() -> None:
    model = network()
    optimizer = Delayed(sgd(model.parameters()), 3)
    go_on(model, optimizer, 0, 7)
    before = copy.deepcopy(optimizer.state_dict())
    other = torch.nn.Linear(3, 2)
    of_other_shape = Delayed(sgd(other.parameters()), 3).state_dict()
    for state, part in [
        (Delayed(sgd(network().parameters()), 4).state_dict(), "with slots 5; accepted: round-robin with slots 4"),
        (Delayed(sgd(network().parameters()), 3, seed=1).state_dict(), "with seed 1; accepted"),
        (sgd(network().parameters()).state_dict(), "no ring; accepted: what Delayed.state_dict() gave"),
        (of_other_shape, "versions of the parameters [0, 1], counted through the groups; accepted: [0, 1, 2, 3]"),
        (Delayed(sgd(network().parameters()), 3, mixing=0.5).state_dict(), "of mixing 0.5; accepted: late gradients that are added"),
        (Delayed(sgd(network().parameters()), 3, horizon=2).state_dict(), "of horizon 2.0; accepted: late gradients"),
    ]:
        with pytest.raises(ValueError, match="accepted") as refused:
            optimizer.load_state_dict(state)
        assert part in str(refused.value)
    go_on(model, optimizer, 7, 9)
    optimizer.load_state_dict(before)
    go_on(model, optimizer, 7, 20)
    assert same(newest(model, optimizer), written_out(sgd, [3], 20))


def test_a_state_finds_its_parameters_by_their_places_and_not_by_when_they_were_unfrozen() -> None:
    def pair() -> List[torch.nn.Parameter]:
        return [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.full((3,), -2.0))]

    def step(parameters: List[torch.nn.Parameter], optimizer: Delayed) -> None:
        optimizer.zero_grad()
        sum(((p - 5) ** 2).sum() for p in parameters if p.requires_grad).backward()  # type: ignore[union-attr]
        optimizer.step()

    for remedy in ({}, {"mixing": 0.5}, {"horizon": 3}):
        first = pair()
        first[0].requires_grad_(False)
        saved = Delayed(sgd(first), 2, **remedy)
        for _ in range(3):
            step(first, saved)
        first[0].requires_grad_(True)
        for _ in range(3):
            step(first, saved)
        second = pair()
        resumed = Delayed(sgd(second), 2, **remedy)
        resumed.load_state_dict(copy.deepcopy(saved.state_dict()))
        for _ in range(4):
            step(first, saved)
            step(second, resumed)
        assert same(weights(second), weights(first)), remedy


def test_mixing_begins_with_the_state_that_the_optimizer_has() -> None:
    model, other = network(), network()
    inner, alone = sgd(model.parameters()), sgd(other.parameters())
    for step in range(9):
        for net, optimizer in ((model, inner), (other, alone)):
            optimizer.zero_grad()
            loss(net, step).backward()
            optimizer.step()
        if step == 4:
            inner = Delayed(inner, 0, mixing=1.0)  # type: ignore[assignment]
    assert same(weights(model.parameters()), weights(other.parameters()))


@pytest.mark.parametrize("kind", [torch.optim.Adagrad, torch.optim.ASGD, torch.optim.Rprop, torch.optim.NAdam])
def test_mixing_alone_without_delay_is_the_optimizer_itself_whatever_its_state_begins_with(kind: Any) -> None:
    model, other = network(), network()
    optimizer, alone = Delayed(kind(model.parameters()), 0, mixing=1.0), kind(other.parameters())
    go_on(model, optimizer, 0, 12)
    for step in range(12):
        alone.zero_grad()
        loss(other, step).backward()
        alone.step()
    assert same(newest(model, optimizer), weights(other.parameters()))


def test_what_is_written_in_server_is_read_also_where_weights_are_predicted() -> None:
    model, other = network(), network()
    optimizer, plain = Delayed(sgd(model.parameters()), 2, horizon=0.0), Delayed(sgd(other.parameters()), 2)
    for net, late in ((model, optimizer), (other, plain)):
        go_on(net, late, 0, 5)
        with late.server():
            put(net.parameters(), [torch.full_like(p, 0.3) for p in net.parameters()])
            inside = copy.deepcopy(late.state_dict())
            with pytest.raises(RuntimeError, match="inside server"):
                late.load_state_dict(inside)
        go_on(net, late, 5, 12)
    assert same(newest(model, optimizer), newest(other, plain))
    # What was saved inside has what was written there.
    again = network()
    resumed = Delayed(sgd(again.parameters()), 2)
    resumed.load_state_dict(inside)
    assert all(bool((p == 0.3).all()) for p in newest(again, resumed))


def test_a_frozen_parameter_stays_where_it_is_under_mixing() -> None:
    model = network()
    optimizer = Delayed(adam(model.parameters()), 3, mixing=0.5)
    go_on(model, optimizer, 0, 8)
    model[0].weight.requires_grad_(False)
    model[0].weight.grad = None
    before = newest(model, optimizer)[0].clone()
    go_on(model, optimizer, 8, 20)
    assert torch.equal(newest(model, optimizer)[0], before)


def test_a_state_of_other_recorded_delays_is_refused() -> None:
    model, other = network(), network()
    optimizer = Delayed(sgd(model.parameters()), trace=[0, 2, 1])
    go_on(model, optimizer, 0, 4)
    with pytest.raises(ValueError, match="of other delays than trace has"):
        Delayed(sgd(other.parameters()), trace=[0, 1, 2]).load_state_dict(optimizer.state_dict())
    # Also where the delays until then were the same.
    with pytest.raises(ValueError, match="of other delays than trace has"):
        Delayed(sgd(other.parameters()), trace=[0, 2, 1, 0, 2]).load_state_dict(optimizer.state_dict())


def test_gradients_accumulate_at_the_weights_of_one_read() -> None:
    halves, model = network(), network()
    accumulating, at_once = Delayed(sgd(halves.parameters()), 2), Delayed(sgd(model.parameters()), 2)
    for step in range(12):
        accumulating.zero_grad()
        for part in (slice(0, 4), slice(4, 8)):
            ((halves(INPUTS[step, part]) - TARGETS[step, part]).square().mean() / 2).backward()
        accumulating.step()
    go_on(model, at_once, 0, 12)
    for one, other in zip(newest(halves, accumulating), newest(model, at_once)):
        torch.testing.assert_close(one, other)


def test_a_scaler_unscales_the_gradients_and_a_step_that_it_skips_is_no_update() -> None:
    model = network()
    optimizer = Delayed(sgd(model.parameters()), 2)
    # Older versions have scalers for CUDA alone, which do nothing without it.
    old = not hasattr(torch.amp, "GradScaler")
    scaler = torch.cuda.amp.GradScaler(enabled=False) if old else torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(12):
        optimizer.zero_grad()
        scaler.scale(loss(model, step)).backward()
        scaler.step(optimizer)
        scaler.update()
        if not old and step == 5:
            place = (optimizer.steps, optimizer.delays, weights(model.parameters()))
            optimizer.zero_grad()
            scaler.scale(loss(model, step) * float("inf")).backward()
            scaler.step(optimizer)
            scaler.update()
            assert (optimizer.steps, optimizer.delays) == place[:2]
            assert same(weights(model.parameters()), place[2])
    for one, other in zip(newest(model, optimizer), written_out(sgd, [2], 12)):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("of_wrapped", [False, True])
def test_a_learning_rate_scheduler_may_have_either_of_the_two_optimizers(of_wrapped: bool, recwarn: Any) -> None:
    model, plain = network(), network()
    inner = sgd(model.parameters())
    optimizer = Delayed(inner, 0)
    reference = sgd(plain.parameters())
    pairs = [(optimizer, inner if of_wrapped else optimizer, model), (reference, reference, plain)]
    for stepped, scheduled, net in pairs:
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(scheduled, 10)
        for step in range(10):
            stepped.zero_grad()
            loss(net, step).backward()
            stepped.step()
            scheduler.step()
    assert optimizer.param_groups[0]["lr"] == reference.param_groups[0]["lr"] < 0.05
    assert same(newest(model, optimizer), weights(plain.parameters()))
    assert not [str(warning.message) for warning in recwarn if "step()" in str(warning.message)]


def test_closures_are_refused_by_name() -> None:
    model = network()
    optimizer = Delayed(sgd(model.parameters()), 1)
    with pytest.raises(TypeError, match=r"Delayed.step takes no closure, .*accepted: loss.backward\(\), then step\(\)"):
        optimizer.step(lambda: loss(model, 0))
    with pytest.raises(TypeError, match="LBFGS takes its gradients in a closure"):
        Delayed(torch.optim.LBFGS(model.parameters()), 1)


def test_server_has_the_newest_weights_and_keeps_what_is_written_there() -> None:
    model = network()
    optimizer = Delayed(sgd(model.parameters()), 3)
    go_on(model, optimizer, 0, 9)
    read = weights(model.parameters())
    with optimizer.server():
        with optimizer.server():
            assert same(weights(model.parameters()), written_out(sgd, [3], 9))
        assert same(weights(model.parameters()), written_out(sgd, [3], 9))
        with pytest.raises(RuntimeError, match=r"step inside server\(\)"):
            optimizer.step()
        with torch.no_grad():
            model[0].weight.clamp_(-0.1, 0.1)
        clamped = weights(model.parameters())
    assert same(weights(model.parameters()), read)
    assert same(newest(model, optimizer), clamped)


def test_weights_come_back_after_a_failure_in_server_or_in_the_wrapped_step() -> None:
    model = network()
    optimizer = Delayed(sgd(model.parameters()), 3)
    go_on(model, optimizer, 0, 9)
    read = weights(model.parameters())
    with pytest.raises(ZeroDivisionError), optimizer.server():
        raise ZeroDivisionError
    assert same(weights(model.parameters()), read)
    lr = optimizer.param_groups[0].pop("lr")
    loss(model, 9).backward()
    with pytest.raises(KeyError):
        optimizer.step()
    assert same(weights(model.parameters()), read)
    optimizer.param_groups[0]["lr"] = lr
    go_on(model, optimizer, 9, 14)
    assert same(newest(model, optimizer), written_out(sgd, [3], 14))


def test_weights_that_are_written_between_steps_are_not_lost_in_silence() -> None:
    model = network()
    optimizer = Delayed(sgd(model.parameters()), 2)
    go_on(model, optimizer, 0, 4)
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    go_on(model, optimizer, 4, 5)
    with torch.no_grad():
        model[2].bias.add_(1.0)
    for touch in (optimizer.step, lambda: newest(model, optimizer)):
        with pytest.raises(RuntimeError, match=r"shape \(2,\) .* was written since the latest step, which would be lost"):
            touch()
    model.double()
    with pytest.raises(RuntimeError, match="is now torch.float64 on cpu"):
        optimizer.step()


def test_groups_keep_their_learning_rates_and_frozen_and_tied_parameters_their_values() -> None:
    def build() -> Any:
        torch.manual_seed(3)
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
        model[2].weight = model[0].weight
        model[3].weight.requires_grad_(False)
        groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": [model[2].bias, *model[3].parameters()]}]
        return model, torch.optim.SGD(groups, 0.01, momentum=0.9)

    def objective(model: torch.nn.Module, step: int) -> torch.Tensor:
        return (model(INPUTS[step][:, [0, 1, 2, 0]]) - 1.0).square().mean()

    model, inner = build()
    optimizer = Delayed(inner, 2)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert optimizer.ring_bytes == 3 * 4 * trained
    reference, plain = build()
    versions = [weights(reference.parameters())]
    for step in range(15):
        objective(model, step).backward()
        optimizer.step()
        optimizer.zero_grad()
        put(reference.parameters(), versions[max(0, step - 2)])
        plain.zero_grad()
        objective(reference, step).backward()
        put(reference.parameters(), versions[-1])
        plain.step()
        versions.append(weights(reference.parameters()))
    assert model[2].weight is model[0].weight
    assert same(newest(model, optimizer), versions[-1])


def test_a_layer_that_is_unfrozen_or_added_later_joins_the_ring_with_what_it_is() -> None:
    model, other = network(), network()
    for net in (model, other):
        net[2].requires_grad_(False)
    added = Delayed(torch.optim.SGD(model[0].parameters(), 0.1), 2)
    unfrozen = Delayed(torch.optim.SGD(other.parameters(), 0.1), 2)
    assert added.ring_bytes == unfrozen.ring_bytes
    go_on(model, added, 0, 5)
    go_on(other, unfrozen, 0, 5)
    for net in (model, other):
        net[2].requires_grad_(True)
    added.add_param_group({"params": model[2].parameters()})
    head = weights(model[2].parameters())
    go_on(model, added, 5, 6)
    # The weights that are read are still those of before, whose gradient has just been applied.
    assert same(weights(model[2].parameters()), head)
    go_on(model, added, 6, 12)
    go_on(other, unfrozen, 5, 12)
    assert added.ring_bytes == unfrozen.ring_bytes == 3 * 4 * sum(p.numel() for p in model.parameters())
    assert same(newest(model, added), newest(other, unfrozen))


def test_stages_have_a_delay_and_a_ring_of_their_own() -> None:
    def build() -> Any:
        model = network()
        groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.1}]
        return model, torch.optim.SGD(groups, 0.05, momentum=0.9)

    model, inner = build()
    optimizer = Delayed(inner, stages=[3, 1])
    assert optimizer.ring_bytes == 4 * (4 * 16 + 2 * 10)
    reference, plain = build()
    versions = [weights(reference.parameters())]
    for step in range(15):
        early, late = versions[max(0, step - 3)], versions[max(0, step - 1)]
        put(reference.parameters(), early[:2] + late[2:])
        assert same(weights(model.parameters()), weights(reference.parameters()))
        plain.zero_grad()
        loss(reference, step).backward()
        put(reference.parameters(), versions[-1])
        plain.step()
        versions.append(weights(reference.parameters()))
        go_on(model, optimizer, step, step + 1)
    assert optimizer.delays == [3, 1]
    assert same(newest(model, optimizer), versions[-1])
    head = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="accepted: with the delay of its stage"):
        optimizer.add_param_group({"params": head.parameters()})
    optimizer.add_param_group({"params": head.parameters()}, delay=0)
    assert optimizer.delays == [3, 1, 0]


def test_a_ring_larger_than_memory_is_refused_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    size = 4 * sum(p.numel() for p in model.parameters())
    monkeypatch.setattr(_ring, "free_bytes", lambda device: 10 * size + 3)
    assert Delayed(sgd(model.parameters()), 9).ring_bytes == 10 * size
    monkeypatch.setattr(torch, "empty", None)
    with pytest.raises(MemoryError, match=r"a ring of 11 slots takes 1.14 kB on cpu, .* accepted: up to 10 slots$"):
        Delayed(sgd(model.parameters()), 10)


def test_states_of_mixing_that_will_not_fit_are_refused_after_the_first_update(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    optimizer = Delayed(torch.optim.Adam(model.parameters()), 9, mixing=0.5)
    monkeypatch.setattr("tauscope.torch._mixing.free_bytes", lambda device: 1000)
    with pytest.raises(MemoryError, match=r"the optimizer.s state in 9 more slots takes .* where .* are free; accepted: a shorter delay"):
        go_on(model, optimizer, 0, 1)


def test_what_is_written_through_data_inside_server_stays() -> None:
    model = network()
    optimizer = Delayed(sgd(model.parameters()), 2)
    go_on(model, optimizer, 0, 4)
    with optimizer.server():
        for parameter in model.parameters():
            parameter.data.mul_(0.5)
        halved = weights(model.parameters())
    with optimizer.server():
        assert all(torch.equal(one, other) for one, other in zip(weights(model.parameters()), halved))


def test_a_state_that_is_damaged_or_of_another_decay_changes_nothing() -> None:
    model = network()
    optimizer = Delayed(sgd(model.parameters()), 2)
    go_on(model, optimizer, 0, 3)
    whole = optimizer.state_dict()
    before = [weights(model.parameters()), optimizer.steps]
    ring = whole["delayed"]
    strand = ring["strands"][0]
    for damaged, part in [
        ({**ring, "steps": -1}, "the state has -1 steps"),
        ({**ring, "strands": 3}, "a ring of type int"),
        ({**ring, "strands": [{**strand, "versions": strand["versions"][:1]}]}, "the state is damaged"),
        ({**ring, "strands": [{**strand, "parameters": None}]}, "the state is damaged"),
        ({**ring, "strands": [7]}, "the state"),
        ({**ring, "decay_at": "read"}, "the state is of decay_at 'read'; accepted: 'newest', as here"),
    ]:
        with pytest.raises(ValueError) as refused:
            optimizer.load_state_dict({**whole, "delayed": damaged})
        assert part in str(refused.value) and "\n" not in str(refused.value)
        assert optimizer.steps == before[1]
        assert all(torch.equal(one, other) for one, other in zip(weights(model.parameters()), before[0]))


def test_a_group_that_the_stages_do_not_know_is_refused() -> None:
    model = network()
    inner = sgd(model[0].parameters())
    optimizer = Delayed(inner, stages=[2])
    inner.add_param_group({"params": list(model[2].parameters())})
    with pytest.raises(RuntimeError, match=r"2 parameter groups for 1 stages; accepted: groups added with Delayed.add_param_group"):
        go_on(model, optimizer, 0, 1)


def test_this_machine_says_how_much_memory_is_free() -> None:
    free = _ring.free_bytes(torch.device("cpu"))
    assert free is not None and 2**20 < free < 2**50


@pytest.mark.parametrize(
    ("arguments", "kind", "part"),
    [
        ({}, ValueError, "no delays; accepted: one of delay=, schedule=, trace= and stages="),
        ({"delay": -1}, ValueError, "delay -1; accepted: a whole number of updates from 0 on"),
        ({"delay": 1.5}, TypeError, "delay 1.5; accepted: a whole number"),
        ({"delay": True}, TypeError, "delay True; accepted: a whole number"),
        ({"delay": 2_000_000}, ValueError, "too long; accepted: up to 1000000 updates"),
        ({"delay": 1, "trace": [1]}, ValueError, "accepted: one of them"),
        ({"schedule": "random"}, ValueError, "no delay for schedule 'random'; accepted"),
        ({"schedule": "rondom", "delay": 1}, ValueError, "no process 'rondom'; accepted"),
        ({"trace": []}, ValueError, "it has no delays; accepted: at least one"),
        ({"trace": [1, -1]}, ValueError, "trace: delay -1 at place 1; accepted: a path, or whole numbers of updates"),
        ({"trace": 3}, TypeError, "trace: int; accepted: a path, or whole numbers of updates"),
        ({"schedule": 3}, TypeError, "schedule 3; accepted: a process as typed after --schedule, or a DelayProcess"),
        ({"trace": Path("no/such/file")}, FileNotFoundError, "no/such/file"),
        ({"stages": [1, 2]}, ValueError, "2 stages for 1 parameter groups; accepted: a delay for each group"),
        ({"stages": [-1]}, ValueError, "delay -1; accepted"),
        ({"stages": [1], "delay": 1}, ValueError, "beside stages, which say the delays; accepted: one of them"),
        ({"delay": 1, "mixing": 0}, ValueError, "mixing 0; accepted: a share above 0 and at most 1, '1/T' or 'age'"),
        ({"delay": 1, "mixing": 1.5}, ValueError, "mixing 1.5; accepted"),
        ({"delay": 1, "mixing": "half"}, ValueError, "mixing 'half'; accepted"),
        ({"delay": 1, "horizon": -1}, ValueError, "horizon -1; accepted: updates from 0 on, or 'delay'"),
        ({"delay": 1, "horizon": float("nan")}, ValueError, "horizon nan; accepted"),
        ({"delay": 1, "horizon": 2, "mixing": 0.5}, ValueError, "mixing beside horizon; accepted: one of them"),
        ({"stages": [1], "mixing": 0.5}, ValueError, "mixing beside stages; accepted: one delay process"),
        ({"delay": 1, "decay_at": "late"}, ValueError, "decay_at 'late'; accepted: 'newest', 'read'"),
        ({"delay": 1, "device": "meta"}, ValueError, "device meta has no numbers; accepted"),
        ({"delay": 1, "device": "nowhere"}, ValueError, "device 'nowhere'; accepted: a device of torch that is here"),
        ({"delay": 1, "seed": -1}, ValueError, "seed -1; accepted: a whole number from 0 on"),
        ({"stages": 2}, TypeError, "stages 2; accepted: a delay for each parameter group"),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_had_are_told_in_one_line(arguments: Any, kind: Any, part: str) -> None:
    with pytest.raises(kind) as refused:
        Delayed(sgd(network().parameters()), **arguments)
    assert part in str(refused.value)


def test_what_cannot_be_wrapped_is_told_in_one_line() -> None:
    optimizer = sgd(network().parameters())
    meta = torch.nn.Parameter(torch.empty(3, device="meta"))
    rprop = torch.optim.Rprop(network().parameters())
    empty = torch.optim.SGD([{"params": []}], 0.1)
    for wrapped, arguments, kind, part in [
        (network(), {}, TypeError, "optimizer: Sequential; accepted: a torch.optim.Optimizer"),
        (Delayed(optimizer, 1), {}, TypeError, "already Delayed; accepted: the optimizer that it wraps"),
        (empty, {}, ValueError, "it has no parameters; accepted: at least one"),
        (torch.optim.SGD([meta], 0.1), {}, ValueError, "on the device meta, which has no numbers; accepted"),
        (rprop, {"decay_at": "read"}, ValueError, "decay_at 'read' with Rprop, whose decay is not known; accepted"),
    ]:
        with pytest.raises(kind) as refused:
            Delayed(wrapped, 1, **arguments)
        assert part in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(TypeError, match=r"accepted: its state_dict\(\)"):
        copy.deepcopy(Delayed(optimizer, 1))


def test_decay_at_the_weights_that_were_read_leaves_the_gradients_as_they_were() -> None:
    model = network()
    optimizer = Delayed(torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.5, maximize=True), 1, decay_at="read")
    versions = [weights(model.parameters())]
    for step in range(6):
        optimizer.zero_grad()
        (-loss(model, step)).backward()
        gradients = [p.grad.clone() for p in model.parameters()]
        read, latest = versions[max(0, step - 1)], versions[-1]
        optimizer.step()
        assert same([p.grad for p in model.parameters()], gradients)
        versions.append([x + 0.1 * g - 0.1 * 0.5 * y for x, g, y in zip(latest, gradients, read)])
        for one, other in zip(newest(model, optimizer), versions[-1]):
            torch.testing.assert_close(one, other)
