"""Delay processes from Python beside the traces that the engine writes, and beside delays worked by hand."""

import csv

import numpy as np
import pytest

import tauscope


@pytest.mark.parametrize("schedule", ["round-robin", "random", "normal", "workers:exponential", "iid:uniform", "random:cap=6"])
def test_slots_are_those_of_a_training(schedule, tmp_path):
    results = tauscope.train(
        data="synthetic:clusters", samples=64, model="linear", rules="sgd", delays=[3], schedule=schedule, lr_scaling="none",
        seeds=[5, 11], epochs=6, batch=8, engine="cpu", trace_runs=True, out=tmp_path / "out",
    )
    runs = {row["run_id"]: row["seed"] for row in (results.runs.row(index) for index in range(results.runs.rows))}
    assert sorted(runs.values()) == [5, 11]
    for run, seed in runs.items():
        with open(tmp_path / "out" / "traces" / f"{run}.csv", newline="") as file:
            trace = list(csv.DictReader(file))
        assert len(trace) == 48
        process = tauscope.DelayProcess(schedule, 3, seed=seed)
        for step in trace:
            read, write, delay = process.next()
            assert (read, write, delay) == (int(step["slot_read"]), int(step["slot_write"]), int(step["delay"]))


def test_delays_of_a_trace_are_played_over_and_over(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("delay\n2\n0\n1\n")
    for given in ([2, 0, 1], np.array([2, 0, 1]), log, str(log)):
        process = tauscope.DelayProcess(trace=given)
        assert (process.slots, process.workers, process.is_random, process.mean_delay) == (3, None, False, 1.0)
        process.skip(9)
        assert process.take(6)[2].tolist() == [2, 0, 1, 2, 0, 1]


def test_probabilities_are_drawn_from():
    process = tauscope.DelayProcess(pmf=[0.5, 0.0, 0.5], seed=3)
    process.skip(10)
    delays = process.take(20_000)[2]
    assert set(delays.tolist()) == {0, 2}
    assert abs((delays == 2).mean() - 0.5) < 0.02
    assert process.mean_delay == 1.0


def test_a_process_starts_anew_and_finds_its_place():
    process = tauscope.DelayProcess("random", 7, seed=1)
    reads, writes, delays = process.take(100)
    assert process.step == 100 and reads.dtype == np.int64 and reads.shape == (100,)
    again = process.restart()
    again.skip(60)
    assert [again.next() for _ in range(40)] == list(zip(reads[60:], writes[60:], delays[60:]))
    assert process.restart(seed=2).take(100)[0].tolist() != reads.tolist()
    assert "random" in repr(process) and "100 steps" in repr(process)


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({}, ValueError, "no delay for schedule 'round-robin'"),
        ({"schedule": "rand", "delay": 1}, ValueError, "no process 'rand'; accepted: round-robin"),
        ({"delay": -1}, ValueError, "delay -1: accepted: whole numbers"),
        ({"delay": 1_000_001}, ValueError, "too long; accepted: up to 1000000"),
        ({"delay": 1, "trace": [1]}, ValueError, "delay 1 beside trace"),
        ({"schedule": "random", "pmf": [1.0]}, ValueError, "schedule and pmf"),
        ({"trace": []}, ValueError, "trace: it has no delays"),
        ({"trace": [1, -1]}, TypeError, "trace: neither a file nor delays"),
        ({"trace": "no/such/file"}, FileNotFoundError, "no/such/file"),
        ({"pmf": [0.5, float("nan")]}, ValueError, "pmf: "),
        ({"schedule": "iid:uniform:1..=3", "delay": 2}, ValueError, "it brings its own delays; accepted: without delays"),
    ],
)
def test_a_process_that_cannot_be_had_is_one_sentence(arguments, error, part):
    with pytest.raises(error) as raised:
        tauscope.DelayProcess(**arguments)
    assert part in str(raised.value) and "\n" not in str(raised.value)


def test_more_steps_than_memory_are_refused():
    with pytest.raises(MemoryError, match="accepted: fewer"):
        tauscope.DelayProcess(delay=1).take(2**60)
