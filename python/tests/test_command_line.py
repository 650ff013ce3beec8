"""The command line from the wheel: the script `tauscope`, and `python -m tauscope`."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = str(Path(sys.executable).with_name("tauscope"))


def run(*words, program=(SCRIPT,)):
    return subprocess.run([*program, *words], capture_output=True, text=True, check=False)


def test_script_and_module_are_the_program():
    import tauscope

    assert shutil.which("tauscope", path=str(Path(sys.executable).parent)) == SCRIPT
    for program in ((SCRIPT,), (sys.executable, "-m", "tauscope")):
        assert run("--version", program=program).stdout == f"tauscope {tauscope.__version__}\n"
        told = run("theory", "--rules=sgd", "--delays=1", program=program)
        assert told.returncode == 0 and told.stdout.splitlines()[1].startswith("sgd,0.0,0.0,1.0,round-robin,mean,0.0,")
        wrong = run("sweep", "--engine", "tpu", program=program)
        assert wrong.returncode == 2 and wrong.stdout == ""
        assert wrong.stderr.startswith("error: invalid value 'tpu' for '--engine") and wrong.stderr.count("\n") == 1
    assert run().returncode == 2


def test_run_json_has_the_command_as_it_was_typed(tmp_path):
    words = ["sweep", "--model", "quadratic:1", "--rules", "sgd", "--delays", "0", "--engine", "cpu", "--quiet"]
    assert run(*words, "--out", str(tmp_path / "out"), program=(sys.executable, "-m", "tauscope")).returncode == 0
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert told["command"] == ["tauscope", *words, "--out", str(tmp_path / "out")]


def test_jobs_of_a_scheduler_start_the_script(tmp_path):
    words = ["submit", "--scheduler=slurm", "--print", "--shards=2", f"--out={tmp_path / 'out'}", "--"]
    told = run(*words, "sweep", "--engine=cpu", program=(sys.executable, "-m", "tauscope"))
    assert told.returncode == 0, told.stderr
    assert f"{SCRIPT}' merge" in told.stdout or f"{SCRIPT} merge" in told.stdout


def test_ctrl_c_ends_it_as_it_ends_the_program(tmp_path):
    words = ["sweep", "--model=quadratic:1", "--rules=sgd", "--delays=40", "--schedule=random", "--ensemble=20000"]
    words += ["--tolerance=0.001", "--engine=cpu", f"--out={tmp_path / 'out'}"]
    process = subprocess.Popen([SCRIPT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "out.partial" / "plan.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert process.returncode == 130 and stdout == ""
    assert "--resume and --out" in stderr.splitlines()[-1] and "Traceback" not in stderr
