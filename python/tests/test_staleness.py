"""`staleness` on logs as verl and AReaL write them."""

import json

import pytest
import tensorboardX

import tauscope
from tauscope.probe import judge, staleness

WORST = "training/off_policy/trajectory_staleness_worst/max"
AREAL = "ppo_actor/update/version_stats/sample_staleness_theta_max"


@pytest.fixture
def verl(tmp_path):
    """A log of verl's `file` logger: metrics under "data", and a record of a validation in between."""
    path = tmp_path / "run.jsonl"
    records = [{"step": step, "data": {"actor/lr": 1e-6, WORST: worst, WORST.replace("_worst", ""): worst // 2}}
               for step, worst in enumerate([0, 1, 3.0, 2], start=1)]
    records.insert(2, {"step": 2, "data": {"val-core/math/acc": 0.5}})
    path.write_text("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records))
    return path


def test_a_log_of_verl_goes_in_as_it_is(verl):
    delays = staleness(verl)
    assert delays == [0, 1, 3, 2]
    assert staleness(verl, WORST.replace("_worst", ""), updates=4) == [0, 0, 4, 4]
    # Four updates a version: samples that are one version old are four updates old.
    assert staleness(verl, updates=4) == [0, 4, 12, 8]
    verdict = judge(1.0, "sgd", 0.3, trace=delays)
    assert verdict.threshold_gain == pytest.approx(tauscope.threshold("sgd", pmf=[0.25] * 4))
    assert tauscope.DelayProcess(trace=delays).mean_delay == 1.5


def test_events_of_areal_go_in_as_they_are_and_means_are_rounded_up(tmp_path):
    # AReaL writes means over minibatches and ranks with tensorboardX.
    with tensorboardX.SummaryWriter(str(tmp_path / "events")) as writer:
        for step, value in enumerate([0.0, 0.5, 2.0, 2.0000000001]):
            writer.add_scalar(AREAL, value, step)
            writer.add_scalar("ppo_actor/update/loss", 1.0, step)
    assert staleness(tmp_path / "events") == [0, 1, 2, 2]
    assert staleness(next((tmp_path / "events").iterdir()), updates=2) == [0, 1, 4, 4]


def test_a_table_goes_in_by_the_name_of_its_column(tmp_path):
    table = tmp_path / "history.csv"
    table.write_text(f"_step,{AREAL}\n0,1\n1,\n2,3\n")
    assert staleness(table) == [1, 3]
    flat = tmp_path / "flat.jsonl"
    flat.write_text('{"age": 2}\n\n{"age": 5}\n')
    assert staleness(flat, "age") == [2, 5]


@pytest.mark.parametrize(
    ("text", "keywords", "part"),
    [
        ('{"a": 1}\n', {}, "none of training/off_policy/trajectory_staleness_worst/max, "),
        ('{"a": 1}\n', {"metric": "b"}, "metric 'b' is not in "),
        ('{"my_stale": 1, "b": 2}\n', {"metric": "c"}, "accepted: one of my_stale"),
        ('{"a": 1}\n{"a": -1}\n', {"metric": "a"}, "line 2: a is -1; accepted: numbers of versions from 0 on"),
        ('{"a": "x"}\n', {"metric": "a"}, "line 1: a is 'x'"),
        ('{"a": 1\n', {"metric": "a"}, "line 1: Expecting ',' delimiter; accepted: one JSON object a line"),
        ('{"a": NaN}\n', {"metric": "a"}, "line 1: a is nan"),
        ('{"a": [1]}\n', {"metric": "a"}, "line 1: a is [1]; accepted: numbers of versions from 0 on"),
        ("[1, 2]\n", {"metric": "a"}, "metric 'a' is not in "),
        ("", {"metric": "a"}, "accepted: a log that is not empty"),
        ('{"a": 1}\n', {"metric": "a", "updates": 0}, "updates 0; accepted: a whole number from 1 on"),
    ],
)
def test_what_is_no_staleness_is_one_sentence(text, keywords, part, tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(text)
    with pytest.raises(ValueError) as raised:
        staleness(log, **keywords)
    assert part in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(FileNotFoundError, match="no.jsonl: not there; accepted: JSON lines"):
        staleness(tmp_path / "no.jsonl")
    with pytest.raises(TypeError, match="log 3; accepted: a path"):
        staleness(3)
