"""Sweeps and trainings from Python beside the command line, undisturbed and interrupted."""

import _thread
import inspect
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import tauscope
from tauscope import _core, _jobs

#: A sweep of moments.
SMALL = {"model": "quadratic:1,0.3", "rules": ["sgd", "shifted"], "delays": [0, 3], "engine": "cpu", "precision": "f64"}


def table(folder) -> bytes:
    return (folder / "thresholds.csv").read_bytes()


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept") / "out"
    return tauscope.sweep(**SMALL, out=folder)


def test_a_sweep_is_that_of_the_command_line(swept, tmp_path):
    words = ["--model=quadratic:1,0.3", "--rules=sgd,shifted", "--delays=0,3", "--engine=cpu", "--precision=f64"]
    words += ["--quiet", f"--out={tmp_path / 'out'}"]
    subprocess.run([sys.executable, "-m", "tauscope", "sweep", *words], check=True)
    assert table(swept.folder) == table(tmp_path / "out")
    assert swept.thresholds["lr_threshold"].tolist()[0] == pytest.approx(2.0, rel=0.01)
    assert any("engine   cpu f64" in note for note in swept.notes)
    assert swept.run["command"][:2] == ["tauscope", "sweep"]


@pytest.mark.parametrize("command", ["sweep", "train", "advise", "tune"])
def test_keywords_are_the_flags(command):
    flags = {name for name, _, _ in _core.flags(command)}
    keywords = {name.rstrip("_").replace("_", "-") for name in inspect.signature(getattr(tauscope, command)).parameters}
    # What a terminal asks for, and what only Python has.
    assert flags - keywords == {"sweep": {"json", "quiet", "columns"}, "train": {"json", "quiet", "columns"}, "advise": {"json"}, "tune": {"columns"}}.get(command, set())
    assert keywords - flags == ({"plan", "progress"} if command in ("sweep", "train") else set())


def test_values_are_typed_as_a_terminal_would_have_them(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('model = "quadratic:2"\nrules = "sgd"\ndelays = "0..2"\nengine = "cpu"\n')
    told = tauscope.sweep(plan, delays=range(3), seed_order=7, tolerance=0.02, dry_run=True)
    assert told["cells"] == 3
    assert told["plan"]["seed_order"] == 7
    told = tauscope.train(seeds="0..2", lr=[0.1, 0.2], delays=[0], lr_scaling="none", engine="cpu", dry_run=True)
    assert told["runs"] == 4


def test_a_plan_shards_and_merges_to_the_same_bytes(swept, tmp_path):
    for shard in (1, 2):
        tauscope.sweep(**SMALL, shard=f"{shard}/2", out=tmp_path / str(shard))
    words = ["merge", str(tmp_path / "1"), str(tmp_path / "2"), "--out", str(tmp_path / "all")]
    subprocess.run([sys.executable, "-m", "tauscope", *words], check=True, stdout=subprocess.DEVNULL)
    assert table(tmp_path / "all") == table(swept.folder)


def test_an_interrupted_sweep_is_kept_and_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    # Cells that take much longer than others, so that some are to come when the first is done.
    keywords = {**SMALL, "delays": [0, 500]}
    whole = tauscope.sweep(**keywords, out=tmp_path / "whole").folder
    taken = _jobs.Watcher._event

    def interrupt(self, event):
        if event["event"] == "cell":
            _thread.interrupt_main()
        taken(self, event)

    monkeypatch.setattr(_jobs.Watcher, "_event", interrupt)
    # A shell that runs the tests in the background has them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt, match="of 4 cells are safe in .*; the same call with resume=True and out = .* goes on"):
        tauscope.sweep(**keywords, out=out)
    monkeypatch.undo()
    signal.signal(signal.SIGINT, before)
    assert not out.exists() and (tmp_path / "out.partial" / "journal.jsonl").exists()
    with pytest.raises(FileNotFoundError, match="out.partial is unfinished, resume=True goes on"):
        tauscope.open(out)
    assert table(tauscope.sweep(**keywords, out=out, resume=True).folder) == table(whole)


LONG = """
import signal, sys, threading, time
import tauscope
counted = 0
def count():
    global counted
    while True:
        counted += 1
        time.sleep(0.001)
threading.Thread(target=count, daemon=True).start()
print("begins", flush=True)
try:
    tauscope.sweep(model="quadratic:1,0.5", rules="sgd", delays=[40], schedule="random", ensemble=1000, tolerance=0.0001,
                   engine="cpu", out=sys.argv[1])
except KeyboardInterrupt as error:
    print(time.time(), counted, error, flush=True)
"""


def test_ctrl_c_stops_a_long_sweep_within_a_second_and_other_threads_run_meanwhile(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", LONG, str(out)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begins\n"
    journal = tmp_path / "out.partial" / "plan.json"
    while not journal.exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(1)
    assert process.poll() is None, "the sweep is too short to be interrupted"
    sent = time.time()
    process.send_signal(signal.SIGINT)
    told = process.stdout.readline()
    assert process.wait() == 0
    at, counted, message = told.split(" ", 2)
    assert float(at) - sent < 1.0
    assert int(counted) > 50, "no other thread ran during the sweep"
    assert message.startswith("interrupted: ")
    assert (tmp_path / "out.partial").is_dir()


def test_the_exception_of_another_handler_goes_on_as_it_is(tmp_path):
    def refuse(*_):
        raise TimeoutError("too long")

    before = signal.signal(signal.SIGALRM, refuse)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(TimeoutError, match="too long"):
            tauscope.sweep(model="quadratic:1", rules="sgd", delays=[40], schedule="random", ensemble=1000, tolerance=0.0001,
                           engine="cpu", out=tmp_path / "out")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_two_sweeps_run_at_once_in_threads(swept, tmp_path):
    failed = []

    def sweep(name):
        try:
            assert table(tauscope.sweep(**SMALL, out=tmp_path / name).folder) == table(swept.folder)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=sweep, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_training_has_its_tables(tmp_path):
    results = tauscope.train(
        data="synthetic:clusters", samples=64, model="linear", delays=[0, 2], seeds=2, epochs=3, batch=16, engine="cpu",
        lr_scaling="none", out=tmp_path / "out", save_weights=True,
    )
    assert results.summary.rows == 2 and results.runs.rows == 4
    assert sorted(set(results.runs["seed"].tolist())) == [0, 1]
    assert len(list((tmp_path / "out" / "weights").iterdir())) == 4
    assert set(results["metrics"].where(step=0)["metric"]) >= {"train_loss", "test_accuracy"}


@pytest.mark.parametrize(
    ("keywords", "error", "part"),
    [
        ({"engine": "tpu"}, ValueError, "invalid value 'tpu' for 'engine'; accepted: auto, cpu, gpu"),
        ({"rules": ["sgd", "foo"]}, ValueError, "invalid value 'foo' for 'rules': accepted: sgd"),
        ({"weight_decay": -1, "engine": "cpu"}, ValueError, "weight_decay -1: accepted: 0 or a positive number"),
        ({"delays": -1}, ValueError, "'delays'"),
        ({"momentum": True}, ValueError, "a value is required for 'momentum'"),
        ({"momentum": {"a": 1}}, TypeError, "momentum: {'a': 1}: accepted: text, a number, or a list"),
        ({"momentum": [True]}, TypeError, "momentum: True: accepted"),
        ({"schedule": "trace:no/such", "engine": "cpu"}, FileNotFoundError, "schedule trace:no/such: cannot read"),
        ({"minimum": "no/such/file", "model": "mlp:4", "engine": "cpu"}, FileNotFoundError, "minimum no/such/file"),
        ({"plan": "no/such.toml"}, FileNotFoundError, "no/such.toml: cannot read this plan"),
        ({"resume": True, "out": None}, ValueError, "resume without out"),
        ({"resume": True}, ValueError, "resume: no unfinished job"),
        ({"force": True, "resume": True}, ValueError, "'force'"),
        ({"out": "no/such/folder/out"}, ValueError, "out no/such/folder/out: no/such/folder is no folder"),
    ],
)
def test_what_cannot_be_swept_is_one_sentence_about_the_keyword(keywords, error, part, tmp_path):
    with pytest.raises(error) as raised:
        tauscope.sweep(**{"model": "quadratic:1", "out": tmp_path / "out", **keywords})
    said = str(raised.value)
    assert part in said and "\n" not in said and "--" not in said
    assert not os.listdir(tmp_path)


def test_a_folder_that_exists_is_refused_and_replaced_by_force(tmp_path):
    out = tmp_path / "out"
    keywords = {"model": "quadratic:1", "rules": "sgd", "delays": 0, "engine": "cpu", "out": out}
    tauscope.sweep(**keywords)
    with pytest.raises(FileExistsError, match="exists already; accepted: a new folder, or force=True to replace it"):
        tauscope.sweep(**keywords)
    tauscope.sweep(**keywords, force=True)


def test_a_keyword_that_is_none_is_pythons_own_error():
    with pytest.raises(TypeError, match="engin"):
        tauscope.sweep(engin="cpu")


def test_progress_counts_cells(tmp_path, monkeypatch):
    import tqdm.auto

    class Bar:
        made = []

        def __init__(self, **keywords):
            self.total, self.count, self.closed = keywords["total"], keywords["initial"], False
            Bar.made.append(self)

        def update(self, more):
            self.count += more

        def set_postfix_str(self, text):
            assert text.endswith(" runs alive")

        def close(self):
            self.closed = True

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    tauscope.sweep(**SMALL, out=tmp_path / "shown")
    tauscope.sweep(**SMALL, out=tmp_path / "quiet", progress=False)
    assert [(bar.total, bar.count, bar.closed) for bar in Bar.made] == [(4, 4, True)]
