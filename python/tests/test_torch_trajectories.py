"""`Delayed` in PyTorch beside `tauscope train`: same start, same minibatches, same delays, both in f64.

The two share the draws of slots alone: gradients and updates are PyTorch's on one side and the engine's on the other.
"""

from pathlib import Path
from typing import Iterator

import pytest
import torch
import torch_replay as replay

from tauscope.torch import Delayed

#: Relative to the largest weight, and for objectives to their size.
CLOSE = 1e-12

RULES = [
    ("sgd", "--rules sgd"),
    ("momentum", "--rules heavy-ball --momentum 0.9 --dampening 0,0.5,ema"),
    ("nesterov", "--rules nesterov --momentum 0.9 --dampening 0"),
    ("adam", "--rules adam,adamw"),
]


def delayed(run: replay.Run, model: torch.nn.Module, **process: object) -> Delayed:
    inner = replay.optimizer(run, list(model.parameters()))
    if "stages" in process:
        [whole] = inner.param_groups
        inner.param_groups.clear()
        # Every second layer is an activation: two stages, of weights and biases each.
        for start, delay in zip((0, 2), process["stages"]):
            lr = whole["lr"] / (delay + 1 if run.row["stage_lr"] else 1)
            inner.add_param_group({**whole, "params": whole["params"][start : start + 2], "lr": lr})
    return Delayed(inner, seed=int(run.row["seed"]), decay_at="read", **process)


def check(run: replay.Run, **process: object) -> None:
    model = replay.network(run)
    optimizer = delayed(run, model, **process)
    per_epoch = len(run.steps) // len(run.objectives)
    seen = []
    for step in run.steps:
        # The trace of stages tells the delay of the latest one.
        assert max(optimizer.delays) == int(step["delay"])
        optimizer.zero_grad()
        loss = replay.loss_of_step(run, model, step)
        loss.backward()
        squares = sum(float(p.detach().square().sum()) for p in model.parameters())
        seen.append(float(loss) + replay.WEIGHT_DECAY / 2 * squares)
        optimizer.step()
    epochs = torch.tensor(seen, dtype=torch.float64).reshape(-1, per_epoch).mean(1)
    torch.testing.assert_close(epochs, torch.tensor(run.objectives, dtype=torch.float64), rtol=CLOSE, atol=0)
    with optimizer.server():
        weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    expected = torch.cat([run.end[name].flatten() for name, _ in model.named_parameters()])
    assert len(run.steps) == 200
    assert (weights - expected).abs().max() <= CLOSE * expected.abs().max(), str(run)


@pytest.mark.parametrize("rule", [flags for _, flags in RULES], ids=[name for name, _ in RULES])
@pytest.mark.parametrize("schedule", ["round-robin", "random", "workers:exponential", "iid:geometric"])
def test_a_delayed_optimizer_makes_the_trajectory_of_tauscope_train(tmp_path: Path, rule: str, schedule: str) -> None:
    flags = f"{rule} --schedule {schedule} --delays 0,1,4,16 --lr 0.02 --seeds 1"
    runs = replay.train(tmp_path / "out", *flags.split())
    assert len({run.row["delay"] for run in runs}) == 4
    for run in runs:
        check(run, delay=int(run.row["delay"]), schedule=schedule)


REMEDIES = ["mixing:0.5", "mixing", "mixing:age", "weight-prediction", "weight-prediction:2.5"]


@pytest.mark.parametrize("schedule", ["round-robin", "random"])
@pytest.mark.parametrize("rule", REMEDIES)
def test_mixing_and_prediction_make_the_trajectory_of_tauscope_train(tmp_path: Path, rule: str, schedule: str) -> None:
    flags = f"--rules {rule} --momentum 0,0.9 --dampening 0 --schedule {schedule} --delays 0,1,4,16 --lr 0.02 --seeds 1"
    name, _, number = rule.partition(":")
    usual, keyword = ("1/T", "mixing") if name == "mixing" else ("delay", "horizon")
    given = number if number == "age" else float(number) if number else usual
    runs = replay.train(tmp_path / "out", *flags.split())
    assert len(runs) == 8
    for run in runs:
        check(run, delay=int(run.row["delay"]), schedule=schedule, **{keyword: given})


@pytest.fixture
def counts_in_f64() -> Iterator[None]:
    """Adam counts its steps in the default type, in which a mixed count would be rounded to f32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("counts_in_f64")
@pytest.mark.parametrize("schedule", ["round-robin", "random", "workers:exponential"])
def test_mixing_around_adam_makes_the_trajectory_of_tauscope_train(tmp_path: Path, schedule: str) -> None:
    rules = "mixing-adam:0.5/0.9,mixing-adamw:1/T,mixing-adamw:age"
    flags = f"--rules {rules} --momentum 0.5,0.9 --schedule {schedule} --delays 0,1,4,16 --lr 0.02 --seeds 1"
    runs = replay.train(tmp_path / "out", *flags.split())
    assert len(runs) == 24
    for run in runs:
        share = run.row["rule"].partition(":")[2].partition("/0.9")[0] or "1/T"
        mixing = float(share) if share == "0.5" else share
        check(run, delay=int(run.row["delay"]), schedule=schedule, mixing=mixing)


def test_a_recorded_trace_makes_the_trajectory_of_tauscope_train_from_its_file_and_from_its_numbers(tmp_path: Path) -> None:
    recorded = [0, 3, 1, 1, 7, 2]
    file = tmp_path / "trace.csv"
    file.write_text("delay\n" + "\n".join(map(str, recorded)) + "\n")
    flags = f"--rules sgd,heavy-ball,adamw --schedule trace:{file} --lr 0.02 --seeds 1"
    for run in replay.train(tmp_path / "out", *flags.split()):
        check(run, trace=file)
        check(run, trace=recorded)


@pytest.mark.parametrize("scaled", ["none", "inverse-delay"])
def test_stages_with_their_own_delays_and_rates_make_the_trajectory_of_tauscope_train(tmp_path: Path, scaled: str) -> None:
    rules = "--rules sgd,heavy-ball,nesterov,adam,adamw --momentum 0.9 --dampening 0"
    flags = f"{rules} --stages 2 --stage-delays pipedream,spread:5 --stage-lr {scaled} --lr 0.02 --seeds 1"
    runs = replay.train(tmp_path / "out", *flags.split())
    assert len(runs) == 10 and {run.row["stage_delays"] for run in runs} == {"1/0", "5/0"}
    for run in runs:
        check(run, stages=[int(delay) for delay in run.row["stage_delays"].split("/")])


def test_decay_at_the_newest_weights_is_another_training(tmp_path: Path) -> None:
    """Which of the two `decay_at` says; without it the comparison above would hold for either."""
    [run] = replay.train(tmp_path / "out", *"--rules sgd --delays 4 --lr 0.02 --seeds 1".split())
    ends = []
    for where in ("read", "newest"):
        model = replay.network(run)
        optimizer = Delayed(replay.optimizer(run, list(model.parameters())), 4, decay_at=where)
        for step in run.steps:
            optimizer.zero_grad()
            replay.loss_of_step(run, model, step).backward()
            optimizer.step()
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert (ends[0] - ends[1]).abs().max() > 1e-6
