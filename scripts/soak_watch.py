"""Runs of the program for scripts/soak: started, disturbed, judged by exit code and messages; results folders compared byte by byte.

Not here: which jobs there are (soak_jobs.py), and in which order a job is disturbed (soak_care.py).
"""

import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import time

# Seconds after which a process counts as hanging.
LIMIT = 120
# Exit codes: done; some cells failed or the device broke; bad input or an unwritable disk; interrupted, resumable.
DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, (130, 143)
# Fields of run.json that say when, where and by which way a folder came about.
CIRCUMSTANCES = {"command", "started", "finished", "seconds", "commit", "host", "mended", "shards", "begun_by_commit", "paths", "gradient_evaluations"}


class Fault(Exception):
    """Something that the program should not have done."""


def shown(text):
    """A word of a command line, quoted for bash, bytes that are no UTF-8 too."""
    data = os.fsencode(text)
    if data.isascii() or "\udc80" > max(text):
        return shlex.quote(text)
    return "$'" + "".join(chr(b) if 32 < b < 127 and b not in b"\\'" else f"\\x{b:02x}" for b in data) + "'"


class Outcome:
    """What a process did: exit code, both outputs, seconds."""

    def __init__(self, args, rc, out, err, seconds, hung):
        self.args, self.rc, self.out, self.err, self.seconds, self.hung = args, rc, out, err, seconds, hung

    @property
    def error(self):
        return next((line for line in self.err.splitlines() if line.startswith("error:")), "")


class Program:
    """The program, run in one folder; keeps the commands for whoever repeats them."""

    counts = {"processes": 0, "killed": 0, "interrupted": 0, "faults of system calls": 0, "refused": 0}

    def __init__(self, binary, shim, folder):
        self.binary, self.shim, self.folder = binary, shim, folder
        self.commands = []

    def start(self, args, fault=None, path="", env=None, out=None, err=None, file_size=None, memory=None):
        """Starts a process. `fault` is CALL:N:ACTION for calls on paths that contain `path`."""
        environment = {**os.environ, "NODEVICE_SELECT": "1", "RUST_BACKTRACE": "0", **(env or {})}
        before = [f"{key}={shown(value)}" for key, value in (env or {}).items()]
        if fault:
            extra = {"FAULT": fault, "FAULT_WITHIN": path, "LD_PRELOAD": str(self.shim)}
            environment.update(extra)
            before += [f"{key}={shown(value)}" for key, value in extra.items()]
            self.count("faults of system calls")
        if file_size:
            before.insert(0, f"ulimit -f {file_size // 1024};")

        def limits():
            if file_size:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
            if memory:
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

        self.commands.append(" ".join([*before, self.binary, *map(shown, args)]))
        self.count("processes")
        out, err = (subprocess.PIPE if sink is None else sink for sink in (out, err))
        command = [self.binary, *args]
        process = subprocess.Popen(command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=limits)
        process.began, process.words = time.monotonic(), args
        return process

    def end(self, process, signal_at=None, limit=LIMIT):
        """Waits for a process, sending it a signal after some seconds where `signal_at` says so."""
        out = err = b""
        hung = False
        try:
            if signal_at:
                seconds, number = signal_at
                try:
                    out, err = process.communicate(timeout=seconds)
                except subprocess.TimeoutExpired:
                    process.send_signal(number)
                    self.commands[-1] = f"timeout -s {signal.Signals(number).name} {seconds:.3f} {self.commands[-1]}"
            out, err = process.communicate(timeout=limit) if process.returncode is None else (out, err)
        except subprocess.TimeoutExpired:
            hung = True
            process.kill()
            out, err = process.communicate()
        seconds = time.monotonic() - process.began
        if process.returncode == -signal.SIGKILL:
            self.count("killed")
        elif process.returncode in INTERRUPTED:
            self.count("interrupted")
        text = lambda data: (data or b"").decode(errors="replace")
        self.commands[-1] += f"   # exit code {process.returncode}"
        outcome = Outcome(process.words, process.returncode, text(out), text(err), seconds, hung)
        if outcome.error:
            self.commands[-1] += f", {outcome.error}"
        return outcome

    def run(self, args, signal_at=None, limit=LIMIT, **how):
        return self.end(self.start(args, **how), signal_at, limit)

    @classmethod
    def count(cls, what):
        cls.counts[what] += 1


def judge(outcome, disturbances=(), limit=LIMIT):
    """Raises Fault where a process hung, panicked, ended with an undocumented code or explained itself in more than a line."""
    err, rc = outcome.err, outcome.rc
    if outcome.hung:
        raise Fault(f"did not end within {limit} s")
    for trace in ("panicked at", "RUST_BACKTRACE", "memory allocation of", "overflowed its stack"):
        if trace in err:
            raise Fault(f"panic: {' '.join(err[max(0, err.find(trace) - 60):].split())[:300]}")
    # A signal in the first milliseconds, before anything was said, ends a process as it ends every other.
    early = rc in (-signal.SIGINT, -signal.SIGTERM) and set(disturbances) & set(INTERRUPTED) and not err
    if rc not in (DONE, FAILED, REFUSED, *disturbances) and not early:
        raise Fault(f"exit code {rc}; {err[-200:]!r}")
    # The argument parser's own hints stand below its errors.
    lines = [line for line in err.splitlines() if line.strip() and not re.match(r"  (tip: |\[possible values)|Usage: |  +tauscope|For more information", line)]
    if rc == REFUSED and err:
        if not lines or not lines[-1].startswith("error: ") or sum(line.startswith("error:") for line in lines) != 1:
            if "required arguments were not provided" not in err and "Usage:" not in err:
                raise Fault(f"an error that is not one line: {lines[-4:]!r}")
    if rc == DONE and outcome.error:
        raise Fault(f"exit code 0 in spite of {outcome.error!r}")
    if rc in INTERRUPTED and err and "resume" not in err:
        raise Fault(f"interrupted without a word on how to go on: {err[-200:]!r}")
    if "--json" in outcome.args:
        for line in outcome.out.splitlines()[: -1 if rc < 0 else None]:
            try:
                if line[:1] == "{" and outcome.args[0] in ("sweep", "train") and "--dry-run" not in outcome.args:
                    json.loads(line)
            except ValueError:
                raise Fault(f"--json: a line that is no JSON: {line[:200]!r}") from None


def essence(value):
    """run.json without what depends on time, place and way."""
    if isinstance(value, dict):
        return {key: essence(item) for key, item in value.items() if key not in CIRCUMSTANCES}
    return [essence(item) for item in value] if isinstance(value, list) else value


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def compare(truth, made):
    """Raises Fault where a folder differs from that of the job undisturbed in more than its circumstances."""
    there, here = listing(truth), listing(made)
    if there != here:
        raise Fault(f"files differ from the truth's: missing {sorted(set(there) - set(here))}, too many {sorted(set(here) - set(there))}")
    for name in there:
        a, b = truth / name, made / name
        if a.is_dir():
            continue
        if name == "run.json":
            x, y = (json.dumps(essence(json.loads(path.read_text())), indent=1).splitlines() for path in (a, b))
        else:
            x, y = a.read_bytes().split(b"\n"), b.read_bytes().split(b"\n")
        if x != y:
            line = next((i for i, (p, q) in enumerate(zip(x, y)) if p != q), min(len(x), len(y)))
            pair = [str(lines[line])[:160] if line < len(lines) else "the end" for lines in (x, y)]
            raise Fault(f"{name} differs from the truth's in line {line + 1}: {pair[0]} there, {pair[1]} here")


def remove(path):
    """Removes a file or folder, if there is one."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
