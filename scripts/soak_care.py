"""Ways to disturb a job for scripts/soak, and to bring it to its end as its messages say.

Not here: which jobs there are (soak_jobs.py), and what counts as a fault of one process (soak_watch.py).
"""

import os
import shutil
import signal
import subprocess

from soak_jobs import write_npz
from soak_watch import DONE, FAILED, INTERRUPTED, REFUSED, Fault, compare, judge, listing, remove

NAMES = ["out", "out", "out", "my results", "r\udcff\udcfe", "ergébnis", "a.partial.b", "deep/er"]
# ENOSPC, EIO, EMFILE, EACCES
ERRORS = ["28", "28", "5", "24", "13"]
CALLS = ["open", "write", "write", "fsync", "fdatasync", "rename", "unlink", "unlinkat", "mkdir", "mmap", "read", "ftruncate", "rmdir"]
ATTEMPTS = 15


def beside(folder, suffix):
    return folder.with_name(folder.name + suffix)


class Job:
    """A job in a folder of its own, and its results undisturbed."""

    def __init__(self, program, rng, args, truth, rc, seconds):
        self.program, self.rng, self.args, self.truth, self.rc, self.seconds = program, rng, args, truth, rc, seconds
        self.name = rng.choice(NAMES)
        (program.folder / self.name).parent.mkdir(exist_ok=True)
        self.before = listing(program.folder)

    def out(self, name=None):
        return self.program.folder / (name or self.name)

    def random_fault(self):
        rng, call = self.rng, self.rng.choice(CALLS)
        count = int(1 + 1.1 ** rng.uniform(0, 36))
        actions = ["kill", "kill", *ERRORS, *{"write": ["short", "half"], "read": ["short"]}.get(call, [])]
        return f"{call}:{count}{rng.choice(['', '', '+'])}:{rng.choice(actions)}"

    def random_signal(self):
        late = self.rng.uniform(0, 1.1 * self.seconds)
        return late, self.rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])

    def bring_home(self, args, name, disturb, most=ATTEMPTS - 4):
        """Runs a job, disturbed up to `most` times, and goes on with it as messages say until its folder is whole."""
        out, partial, last, forced = self.out(name), beside(self.out(name), ".partial"), None, False
        resumes = args[0] != "merge"
        for attempt in range(ATTEMPTS):
            flags = ["--out", name]
            if forced:
                flags.append("--force")
            elif resumes and (partial.exists() or out.exists()):
                flags.append("--resume")
            how = disturb() if attempt < most else {}
            last = self.program.run([*args, *flags], **how)
            killed = (-signal.SIGKILL, *INTERRUPTED, *((-signal.SIGXFSZ,) if "file_size" in how else ()))
            judge(last, killed)
            forced = False
            if last.rc in (DONE, FAILED):
                if last.rc != self.rc and args[0] != "merge" and "--shard" not in args:
                    raise Fault(f"exit code {last.rc}, undisturbed {self.rc}")
                if not out.is_dir():
                    raise Fault(f"exit code {last.rc}, but there is no {name}")
                break
            if last.rc == REFUSED and not how:
                self.program.count("refused")
                if "is finished" in last.error or "exists already" in last.error and not partial.exists():
                    break
                if "--force" in last.error and "accepted" in last.error:
                    forced = True
                elif "without --resume" not in last.error:
                    raise Fault(f"refused without a way on: {last.error!r}")
            elif last.rc < 0 and out.is_dir() and not partial.exists():
                break
        else:
            raise Fault(f"not at its end after {ATTEMPTS} runs: {last.error!r}")
        if how:
            # Only tidying may be left, which the next process of that name does.
            self.tidy([*args, "--out", name, *(["--resume"] if resumes else [])])

    def tidy(self, args):
        end = self.program.run(args)
        judge(end)
        if end.rc == REFUSED and not ("finished" in end.error or "exists already" in end.error):
            raise Fault(f"whole, but refused by {end.error!r}")

    def check(self):
        """Raises Fault where the folder differs from the truth or anything else stands beside it."""
        if not self.out().is_dir():
            raise Fault("the folder is not there at the end")
        compare(self.truth, self.out())
        inside = self.name + os.sep
        stray = [path for path in listing(self.program.folder) if path not in self.before and path != self.name and not path.startswith(inside)]
        if stray:
            raise Fault(f"stray files at the end: {stray[:5]}")

    def clear(self):
        for path in listing(self.program.folder):
            if path not in self.before:
                remove(self.program.folder / path)


def read_back(program, rng, truth):
    """The commands that read a results folder, on a copy: `plot` draws the very same pictures again, the others do not fail."""
    copy = program.folder / "copy"
    shutil.copytree(truth, copy)
    if rng.random() < 0.5:
        judge(program.run(["plot", "copy"]))
        compare(truth, copy)
    for args in (["report", "copy", "--out", "page.html"], ["compare", "copy", "--out-dir", "copy"]):
        if rng.random() < 0.5:
            judge(program.run(args))
    remove(copy)
    remove(program.folder / "page.html")


def signals(job):
    """SIGKILL, SIGTERM and SIGINT at random times, twice now and then."""
    job.bring_home(job.args, job.name, lambda: {"signal_at": job.random_signal()})


def faults(job):
    """One system call after another that fails or is the last."""
    job.bring_home(job.args, job.name, lambda: {"fault": job.random_fault(), "path": job.name})


def file_limit(job):
    """A limit on the size of files, which ends the process or fails its writes."""
    job.bring_home(job.args, job.name, lambda: {"file_size": 1024 * job.rng.randint(1, 150)}, most=3)


def full_disk(job):
    """A small file system, which later grows; without the right to mount one, writes that fail for want of space."""
    disk = job.out("disk")
    disk.mkdir()
    size = job.rng.choice([8, 32, 64, 128, 256])
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", disk], capture_output=True).returncode:
        disk.rmdir()
        count = job.rng.randint(1, 40)
        job.bring_home(job.args, job.name, lambda: {"fault": f"write:{count}+:28", "path": job.name}, most=3)
        return
    job.program.commands.append(f"mount -t tmpfs -o size={size}k tmpfs disk")
    try:
        first = job.program.run([*job.args, "--out", "disk/out"])
        judge(first)
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        job.program.commands.append("mount -o remount,size=64m disk")
        job.bring_home(job.args, "disk/out", dict)
        if left := [name for name in os.listdir(disk) if name != "out"]:
            raise Fault(f"stray files at the end: {left}")
        shutil.move(disk / "out", job.out())
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


def shards(job):
    """Shards, disturbed one by one, and their merge."""
    of = job.rng.randint(2, 4)
    ways = [dict, lambda: {"signal_at": job.random_signal()}, lambda: {"fault": job.random_fault(), "path": "part-"}]
    parts = [f"part-{i}" for i in range(1, of + 1)]
    for i, part in enumerate(parts, 1):
        job.bring_home([*job.args, "--shard", f"{i}/{of}"], part, job.rng.choice(ways), most=4)
    job.rng.shuffle(parts)
    way = job.rng.choice([dict, lambda: {"fault": job.random_fault(), "path": job.name}])
    job.bring_home(["merge", *parts], job.name, way, most=4)
    for part in parts:
        remove(job.out(part))


def twice(job):
    """Two processes with one folder at the same time: one does it, the other is refused."""
    args = [*job.args, "--out", job.name]
    both = [job.program.start(args) for _ in range(2)]
    ends = [job.program.end(process) for process in both]
    for end in ends:
        judge(end)
    if all(end.rc == REFUSED for end in ends):
        raise Fault(f"both of two processes were refused: {ends[0].error!r}, {ends[1].error!r}")


def mute(job):
    """Outputs that are closed or full: the results are made all the same."""
    sink = job.rng.choice(["full", "closed"])
    if sink == "full":
        file = open("/dev/full", "wb")
    else:
        read, write = os.pipe()
        os.close(read)
        file = os.fdopen(write, "wb")
    with file:
        which = job.rng.choice([{"err": file}, {"out": file, "err": file}, {"out": file}])
        end = job.program.run([*job.args, "--out", job.name], **which)
    job.program.commands[-1] += f"   # {' and '.join(which)} {sink}"
    judge(end)
    # A table that cannot be printed may be told by the exit code; the folder must be whole all the same.
    if end.rc not in (job.rc, *((REFUSED,) if "out" in which else ())):
        raise Fault(f"{' and '.join(which)} {sink}: exit code {end.rc}, undisturbed {job.rc}: {end.err[-200:]!r}")


def replace(job):
    """--force in the place of a finished folder, killed: the old results stand until the new ones do."""
    shutil.copytree(job.truth, job.out())
    args, forced = [*job.args, "--out", job.name], True
    for attempt in range(ATTEMPTS):
        how = {}
        if attempt < 6:
            how = {"fault": job.random_fault(), "path": job.name} if job.rng.random() < 0.7 else {"signal_at": job.random_signal()}
        forced = forced or not beside(job.out(), ".partial").exists()
        end = job.program.run([*args, "--force" if forced else "--resume"], **how)
        judge(end, (-signal.SIGKILL, *INTERRUPTED))
        whole = [path for path in (job.out(), beside(job.out(), ".replaced"), beside(job.out(), ".partial")) if (path / "run.json").exists()]
        if not whole:
            raise Fault("neither the old results nor the new ones are whole")
        if end.rc == job.rc:
            return job.tidy([*args, "--resume"]) if how else None
        forced = "--force" in end.error
        if end.rc == REFUSED and not how and not forced:
            raise Fault(f"refused without a way on: {end.error!r}")
    raise Fault(f"not at its end after {ATTEMPTS} runs")


def other_data(job):
    """Data that change while a job is interrupted: refused, and resumed once they are back."""
    points = job.out("points.npz")
    if "points.npz" not in " ".join(job.args):
        return signals(job)
    kept = points.read_bytes()
    end = job.program.run([*job.args, "--out", job.name], fault=f"fdatasync:{job.rng.randint(1, 3)}:kill", path=job.name)
    judge(end, (-signal.SIGKILL,))
    if beside(job.out(), ".partial").exists() and (beside(job.out(), ".partial") / "journal.jsonl").exists():
        write_npz(job.rng, points)
        wrong = job.program.run([*job.args, "--out", job.name, "--resume"])
        job.program.commands[-1] += "   # with other points.npz"
        points.write_bytes(kept)
        judge(wrong)
        if wrong.rc != REFUSED:
            raise Fault(f"--resume with other data: exit code {wrong.rc}")
    job.bring_home(job.args, job.name, dict)


WAYS = [signals, signals, faults, faults, faults, shards, shards, full_disk, file_limit, twice, mute, replace, other_data]


