"""Closed forms from Python beside formulas worked by hand, roots of polynomials, and the command line."""

import csv
import io
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import tauscope
import tauscope.probe


def command(*words: str) -> str:
    # Lines as long as they are: pytest names the width of a terminal.
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    program = [sys.executable, "-m", "tauscope", *words]
    return subprocess.run(program, check=True, capture_output=True, text=True, env=env).stdout


def test_thresholds_of_sgd_are_the_closed_form_at_every_delay():
    delays = np.array([[0, 1, 2], [7, 100, 12345]])
    found = tauscope.threshold("sgd", delays)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found, 2 * np.sin(np.pi / (2 * (2 * delays + 1))), rtol=1e-12)


def test_arguments_broadcast_and_scalars_give_a_float():
    momentum = np.array([0.0, 0.5, 0.9])
    found = tauscope.threshold(["heavy-ball", "shifted"], 1, momentum=momentum[:, None], dampening="ema")
    expected = np.stack([np.ones(3), 1 + momentum], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    one = tauscope.threshold("heavy-ball", 0, momentum=0.5)
    assert isinstance(one, float) and one == pytest.approx(3.0, rel=1e-12)
    # The rule's own momentum, 0.9.
    assert tauscope.threshold("heavy-ball", 0) == pytest.approx(3.8, rel=1e-12)


def test_noise_and_random_delays_are_judged_in_mean_square():
    # K (1 + r) = 2 without delay; N (1+r) K^2 - (1-r) K - 2 = 0 for N workers that report at random.
    assert tauscope.threshold("sgd", 0, relative_variance=3.0) == pytest.approx(0.5, rel=1e-6)
    workers = 5
    random = (1 + math.sqrt(1 + 8 * workers)) / (2 * workers)
    assert tauscope.threshold("sgd", workers - 1, schedule="random") == pytest.approx(random, rel=1e-6)
    assert tauscope.threshold("sgd", 4, schedule="random", criterion="mean") == pytest.approx(2 * workers - 1, rel=1e-9)


def test_a_trace_counts_as_its_histogram(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("delay\n3\n0\n1\n0\n")
    pmf = [0.5, 0.25, 0.0, 0.25]
    found = [tauscope.threshold("sgd", trace=given) for given in ([3, 0, 1, 0], np.array([0, 0, 1, 3]), log, str(log))]
    found += [tauscope.threshold("sgd", schedule=f"trace:{log}"), tauscope.threshold("sgd", pmf=np.array(pmf))]
    assert len(set(found)) == 1
    assert tauscope.threshold("sgd", trace=[2, 2]) == tauscope.threshold("sgd", 2)


RULES = ["sgd", "heavy-ball", "nesterov", "shifted", "delayed-nesterov", "weight-prediction", "staleness-scaled"]
RULES += ["weight-prediction:3", "mixing", "mixing:0.3", "prediction-2:2/1.5"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("delay", [0, 1, 5])
def test_the_dominant_root_is_that_of_the_polynomial(rule, delay):
    equation = tauscope.characteristic(rule, delay, momentum=0.6, dampening=0.25)
    for gain in (0.3 * equation.threshold, 1.4 * equation.threshold):
        largest = abs(equation.roots(gain)[0])
        assert equation.growth(gain) == pytest.approx(math.log(largest), rel=1e-6)
    assert abs(equation.roots(equation.threshold)[0]) == pytest.approx(1.0, rel=1e-6)
    assert np.polyval(equation.denominator, 1.0) == pytest.approx(0.0, abs=1e-12)
    slope = np.polyval(np.polyder(equation.denominator), 1.0)
    assert equation.effective_factor == pytest.approx(np.polyval(equation.numerator, 1.0) / slope, rel=1e-12)


@pytest.mark.parametrize("rule", ["rennala:4", "dc-asgd-exact:1"])
def test_rules_that_take_the_delay_away_have_polynomials_without_it(rule):
    equation = tauscope.characteristic(rule, 7, momentum=0.0)
    assert abs(equation.roots(1.5)[0]) == pytest.approx(0.5)
    assert equation.growth(1.5) == pytest.approx(math.log(0.5))


def test_effective_factors_are_the_drift_under_a_constant_gradient():
    assert tauscope.effective_factor("nesterov", 3, momentum=0.9, dampening=0.9) == pytest.approx(1.9)
    assert tauscope.effective_factor("staleness-scaled", [0, 1, 4]).tolist() == [1.0, 1.0, 0.25]
    assert tauscope.effective_factor("staleness-scaled", pmf=[0.5, 0.0, 0.5]) == pytest.approx(0.75)
    assert math.isnan(tauscope.effective_factor("clipped", 1, momentum=0.5))


def test_growth_of_synchronous_sgd_is_known():
    gains = np.array([0.5, 1.5, 3.0])
    np.testing.assert_allclose(tauscope.growth("sgd", 0, gains), np.log(np.abs(1 - gains)), atol=1e-12)


def test_advice_is_that_of_the_command_line():
    advice = tauscope.advise("heavy-ball", lr=0.1, momentum=0.9, to_delay=31)
    words = ["advise", "--rule", "heavy-ball", "--lr", "0.1", "--momentum", "0.9", "--to-delay", "31"]
    told = json.loads(command(*words, "--json"))
    assert advice.recommendation is not None
    assert advice.recommendation.lr == told["recommendation"]["lr"]
    assert [choice.lr for choice in advice.choices] == [choice["lr"] for choice in told["choices"]]
    assert repr(advice) + "\n" == command(*words)
    html = advice._repr_html_()
    assert html.count("<tr>") == len(advice.choices) + 1 and advice.recommendation.rule in html
    assert tauscope.advise(lambda_=2.0, to_delay=3).curvature == 2.0


def test_advice_with_a_condition_number_has_the_fastest_rules():
    advice = tauscope.advise(lambda_=2.0, to_delay=4, condition=100)
    told = json.loads(command("advise", "--lambda", "2", "--to-delay", "4", "--condition", "100", "--json"))
    assert [one.rule for one in advice.tuned] == [one["rule"] for one in told["tuned"]]
    best = advice.tuned[0]
    assert best.lr == told["tuned"][0]["lr"] and best.tolerated == dict(told["tuned"][0]["tolerated"])
    assert best.rule in advice._repr_html_()
    assert tauscope.advise(lambda_=2.0, to_delay=4).tuned == []


def test_tuning_draws_its_picture(tmp_path):
    tauscope.tune(delays=[0, 2], condition=50, rules=["sgd", "mixing:0.5"], svg=tmp_path / "tune.svg")
    assert (tmp_path / "tune.svg").read_text().startswith("<svg")


def test_tuning_is_that_of_the_command_line():
    table = tauscope.tune(delays=[0, 2], condition=50, rules=["sgd", "mixing:0.5"])
    rows = list(csv.DictReader(io.StringIO(command("tune", "--delays=0,2", "--condition=50", "--rules=sgd,mixing:0.5"))))
    assert table["gain"].tolist() == [float(row["gain"]) for row in rows]
    assert table["rule"].tolist() == [row["rule"] for row in rows]


def test_tuning_under_delays_that_vary_says_whose_decay_it_is():
    table = tauscope.tune(delays=[2], schedule=["random", "round-robin"], condition=20, rules="sgd")
    assert table["dynamics"].tolist() == ["mean-square", "averaged", "mean-square", "fixed"]
    assert table["mean_delay"].tolist() == [2.0] * 4
    with pytest.raises(ValueError, match="rules shifted with schedule iid"):
        tauscope.tune(schedule="iid:uniform:0..=2", rules="shifted")


def test_advice_without_a_curvature_is_in_gains():
    advice = tauscope.advise(to_delay=4, condition=100)
    assert advice.tuned[0].lr is None and advice.curvature is None
    assert "gain " in advice._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"rule": "sgd"}, ValueError, "no delay; accepted"),
        ({"rule": "sgd", "delay": -1}, ValueError, "delay -1: accepted"),
        ({"rule": "sgd", "delay": [1, 2.5]}, ValueError, "delay 2.5: accepted"),
        ({"rule": "sgd", "delay": math.nan}, ValueError, "delay: nan: accepted"),
        ({"rule": "sgd", "delay": "many"}, ValueError, "delay 'many': accepted"),
        ({"rule": "lion", "delay": 1}, ValueError, "accepted: sgd, heavy-ball"),
        ({"rule": "sdg", "delay": 1}, ValueError, "rule 'sdg': accepted: sgd"),
        ({"rule": None, "delay": 1}, TypeError, "rule None: accepted"),
        ({"rule": "heavy-ball", "delay": 1, "momentum": 1.0}, ValueError, "momentum 1: accepted"),
        ({"rule": "heavy-ball", "delay": 1, "dampening": "emma"}, ValueError, "dampening 'emma': accepted"),
        ({"rule": "heavy-ball", "delay": 1, "dampening": 1.0}, ValueError, "dampening is 1"),
        ({"rule": "sgd", "delay": 1, "relative_variance": -1.0}, ValueError, "relative_variance -1: accepted"),
        ({"rule": "sgd", "delay": 1, "criterion": "median"}, ValueError, "criterion 'median': accepted: mean"),
        ({"rule": "sgd", "delay": 1, "trace": [1, 2]}, ValueError, "delay 1 beside"),
        ({"rule": "sgd", "trace": [1, 2], "pmf": [1.0]}, ValueError, "trace and pmf"),
        ({"rule": "sgd", "pmf": [0.5, 0.4]}, ValueError, "sum to 0.9"),
        ({"rule": "sgd", "pmf": "x"}, ValueError, "pmf 'x': accepted: a list of the probabilities"),
        ({"rule": "sgd", "pmf": [[0.5, 0.5]]}, ValueError, "accepted: a list of the probabilities"),
        ({"rule": "sgd", "trace": "no/such/file"}, FileNotFoundError, "no/such/file"),
        ({"rule": "sgd", "trace": [0, 3, -2]}, ValueError, "trace: delay -2 at place 2; accepted: a path, or whole numbers"),
        ({"rule": "sgd", "trace": [0, 1.5]}, ValueError, "trace: delay 1.5 at place 1; accepted"),
        ({"rule": "sgd", "trace": np.array([1, np.nan])}, ValueError, "trace: delay nan at place 1; accepted"),
        ({"rule": "sgd", "trace": [10**30]}, ValueError, "at place 0; accepted: a path, or whole numbers of updates from 0 to 1000000"),
        ({"rule": "sgd", "trace": [1, None]}, TypeError, "trace: None at place 1; accepted"),
        ({"rule": "sgd", "trace": ["a"]}, TypeError, "trace: 'a' in it; accepted"),
        ({"rule": "sgd", "trace": [True]}, TypeError, "trace: True in it; accepted"),
        ({"rule": "sgd", "trace": 3}, TypeError, "trace: int; accepted"),
        ({"rule": "sgd", "trace": b"log.csv"}, TypeError, "trace: bytes; accepted"),
        ({"rule": "sgd", "trace": (age for age in [1])}, TypeError, "trace: generator; accepted"),
        ({"rule": "sgd", "trace": [[1, 2], [3]]}, ValueError, "trace: "),
        ({"rule": "sgd", "trace": np.ones((2, 2), int)}, ValueError, "trace of shape (2, 2); accepted"),
        ({"rule": "sgd", "trace": []}, ValueError, "trace: it has no delays; accepted: at least one"),
        ({"rule": "sgd", "delay": 1, "schedule": 3}, TypeError, "schedule 3: accepted: a process as typed"),
        ({"rule": "sgd", "stages": 3}, ValueError, "delays 3: accepted: whole numbers of updates"),
        ({"rule": "sgd", "stages": ["x"]}, ValueError, "delays ['x']: accepted"),
        ({"rule": "sgd", "stages": [1, 0], "delay": 1}, ValueError, "stages beside delay: accepted"),
        ({"rule": "sgd", "stages": [1, 0], "relative_variance": [0, 1]}, ValueError, "stages beside relative_variance: accepted"),
        ({"rule": ["sgd"], "stages": [1, 0]}, ValueError, "stages beside arrays: accepted: one rule"),
        ({"rule": ["sgd", "shifted"], "delay": [1, 2, 3]}, ValueError, "shapes (2,)"),
        ({"rule": "sgd", "delay": 1e300}, ValueError, "delay 1000000000"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence_about_the_keyword(arguments, error, part):
    with pytest.raises(error) as raised:
        tauscope.threshold(**arguments)
    said = str(raised.value)
    assert part in said and "\n" not in said and "--" not in said.replace("after --schedule", "")


def test_gains_and_noise_of_any_size_are_answers_or_errors_and_never_a_panic():
    for gain in (1e-12, 1e-3, 1e3, 1e12):
        for delay in (0, 1, 1000):
            for momentum in (0.0, 5e-324, 0.9999):
                for call in (
                    lambda: tauscope.growth("shifted", delay, gain, momentum=momentum),
                    lambda: tauscope.threshold("nesterov", delay, momentum=momentum, relative_variance=gain),
                ):
                    try:
                        assert isinstance(call(), float)
                    except ValueError as error:
                        assert "\n" not in str(error)


def test_a_panic_is_a_runtime_error_of_one_sentence():
    with pytest.raises(RuntimeError, match="a fault in tauscope: planted here; please report it"):
        tauscope._core.planted_panic()


def test_outer_loops_are_thresholds_over_coverage():
    steps, gains = np.array([1, 30, 4]), np.array([1e-9, 0.05, 1.5])
    expected = [1e-9, 1 - 0.95**30, 1 - 0.5**4]
    np.testing.assert_allclose(tauscope.coverage(steps, gains), expected, rtol=1e-12)
    outer = tauscope.threshold("nesterov", [0, 1, 2], momentum=0.9)
    limits = tauscope.threshold("nesterov", [0, 1, 2], momentum=0.9, local_steps=30, local_gain=0.05)
    np.testing.assert_allclose(limits, outer / (1 - 0.95**30), rtol=1e-12)
    shares = tauscope.threshold("nesterov", 1, momentum=0.9, fresh_share=[1, 0.5, 0.25, 0.125, 1 / 16, 1 / 64])
    np.testing.assert_allclose(shares, [1.357, 0.770, 0.416, 0.320, 0.284, 0.260], rtol=2e-3)
    with pytest.raises(ValueError, match="local_gain 2: accepted: numbers between 0 and 2"):
        tauscope.coverage(3, 2)
    with pytest.raises(ValueError, match="local_steps 0"):
        tauscope.coverage(0, 1)
    with pytest.raises(ValueError, match="fresh_share 2"):
        tauscope.threshold("sgd", 1, fresh_share=2)
    with pytest.raises(ValueError, match="both or neither"):
        tauscope.threshold("sgd", 1, local_steps=2)


def test_advice_on_an_outer_loop_is_an_attribute_of_its_own():
    recipe = {"lr": 0.7, "momentum": 0.9, "local_steps": 30, "local_lr": 0.01, "lambda_": 12, "to_delay": 1}
    advice = tauscope.advise("nesterov", **recipe)
    assert not advice.outer.stable and advice.recommendation is None
    assert advice.outer.advised_lr == pytest.approx(0.8 * advice.outer.threshold_lr)
    assert "Unstable at 1 round" in repr(advice) and "Unstable" in advice._repr_html_()
    judgement = tauscope.probe.judge(12.0, "nesterov", 0.7, 0.9, 1, local_steps=30, local_lr=0.01)
    assert judgement.lr_threshold == pytest.approx(advice.outer.threshold_lr, rel=1e-12)
    assert "coverage" in judgement.why


def test_a_buffer_has_a_polynomial_of_several_ages_and_a_counted_momentum_has_none():
    equation = tauscope.characteristic("buffer:2", 3)
    assert abs(np.abs(equation.roots(equation.threshold)).max() - 1) < 1e-9
    with pytest.raises(ValueError, match="no polynomial"):
        tauscope.characteristic("nesterov-every", 3, momentum=0.9)


def test_stages_have_the_thresholds_of_their_energies_and_of_dense_eigenvalues() -> None:
    for stages, expected in ((8, 0.609), (6, 0.804)):
        estimate = tauscope.stage_threshold("sgd", range(stages - 1, -1, -1))
        assert estimate == pytest.approx(expected, rel=2e-3) and tauscope.threshold("sgd", stages=range(stages - 1, -1, -1)) == estimate
    generator = np.random.default_rng(3)
    factor = generator.normal(size=(9, 9))
    hessian, delays, sizes = factor @ factor.T / 9, [4, 1, 0], [2, 4, 3]
    found = tauscope.stage_threshold("sgd", delays, hessian=hessian, sizes=sizes, lr_factors=[0.5, 1, 1])

    def radius(lr: float) -> float:
        late, factors = np.repeat(delays, sizes), np.repeat([0.5, 1, 1], sizes)
        companion = np.zeros((45, 45))
        companion[:9, :9] = np.eye(9)
        for column in range(9):
            companion[:9, 9 * late[column] + column] -= lr * factors * hessian[:, column]
        companion[9:, :-9] += np.eye(36)
        return float(np.abs(np.linalg.eigvals(companion)).max())

    assert radius(found * (1 - 1e-6)) <= 1 + 1e-12 < radius(found * (1 + 1e-5))
    with pytest.raises(ValueError, match="sum to 1"):
        tauscope.stage_threshold("sgd", [1, 0], energies=[0.5, 0.4])
    with pytest.raises(ValueError, match="mixing"):
        tauscope.stage_threshold("mixing", [1, 0])
    with pytest.raises(ValueError, match="sizes"):
        tauscope.stage_threshold("sgd", [1, 0], hessian=hessian, sizes=[4, 4])


def test_ctrl_c_does_not_wait_for_a_long_threshold_of_stages() -> None:
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        tauscope.stage_threshold("heavy-ball", range(200), momentum=0.9)  # about ten seconds
    assert time.monotonic() - begin < 4
