"""Shards of a sweep as tasks of HyperQueue; a worker is killed midway, and the merged tables are those of one sweep.

    pip install hyperqueue
    python python/examples/hyperqueue_shards.py FOLDER

Starts a HyperQueue server with `LocalCluster` and submits a task for each shard. When a shard has finished some of its cells its
worker is killed. HyperQueue gives the shard to the next worker, where it goes on from its journal. Then the shards are merged, and
compared byte for byte with a sweep that was not sharded. FOLDER must not exist. Linux.

On a cluster only the workers differ: there `hq worker start` runs on every node, or `hq alloc add slurm` starts it, and the
server is that of `hq server start`, whose client is `hyperqueue.Client()`.
"""

import subprocess
import sys
import time
from pathlib import Path

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

SHARDS = 3
SWEEP = ["--model=quadratic:1,0.3", "--rules=sgd,shifted", "--dampening=ema", "--delays=0,100,300,350"]
TAUSCOPE = [sys.executable, "-m", "tauscope"]

#: What a task does, with the folder of its shard and the command line. A task may be started again, and the process of its
#: first start may still be writing a checkpoint: `flock` waits for it. `exec` lets tauscope receive the signals.
SHARD = """
out=$1
shift
exec >>"$out.log" 2>&1
[ ! -e "$out.partial/lock" ] || flock "$out.partial/lock" true
[ ! -e "$out" ] || exit 0
[ ! -e "$out.partial" ] || set -- "$@" --resume
exec "$@" --out="$out"
"""


def worker(server, own):
    """Runs as a worker of one core until it is killed.

    `LocalCluster` has its workers in the process of the server. To have one that can be killed, this process
    starts a server of its own, which nobody uses, and lets the worker find the other one in its place.
    """
    cluster = LocalCluster(server_dir=own)
    place = Path(own) / "hq-current"
    place.unlink()
    place.symlink_to((Path(server) / "hq-current").resolve())
    cluster.start_worker(WorkerConfig(cores=1))
    while True:
        time.sleep(60)


def start_worker(server, own):
    words = [sys.executable, __file__, "--worker", str(server), str(own)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def cells_done(shard):
    journal = shard.with_name(f"{shard.name}.partial") / "journal.jsonl"
    return len(journal.read_bytes().splitlines()) if journal.exists() else 0


def main(words):
    if len(words) != 1:
        raise SystemExit("accepted: hyperqueue_shards.py FOLDER")
    folder = Path(words[0]).resolve()
    folder.mkdir()
    shards = [folder / f"part-{number}" for number in range(1, SHARDS + 1)]
    server = folder / "server"
    with LocalCluster(server_dir=str(server)) as cluster:
        job = Job(max_fails=None)
        for number, shard in enumerate(shards, start=1):
            command = [*TAUSCOPE, "sweep", *SWEEP, "--engine=cpu", f"--shard={number}/{SHARDS}"]
            job.program(["sh", "-c", SHARD, "sh", str(shard), *command], cwd=folder, stdout=None, stderr=None)
        client = cluster.client()
        submitted = client.submit(job)

        first = start_worker(server, folder / "worker-1")
        while not any(map(cells_done, shards)):
            if first.poll() is not None:
                raise SystemExit("the worker ended before it was killed")
            time.sleep(0.02)
        first.kill()
        first.wait()
        killed = next((shard for shard in shards if cells_done(shard)), None)
        if killed is None:
            raise SystemExit("the shard had ended before its worker was killed; accepted: a longer sweep")
        print(f"killed the worker of {killed.name} after {cells_done(killed)} cells")

        second = start_worker(server, folder / "worker-2")
        try:
            client.wait_for_jobs([submitted])
        finally:
            second.kill()
            second.wait()

    whole, merged = folder / "whole", folder / "merged"
    subprocess.run([*TAUSCOPE, "merge", *map(str, shards), f"--out={merged}"], check=True)
    subprocess.run([*TAUSCOPE, "sweep", *SWEEP, "--engine=cpu", "--quiet", f"--out={whole}"], check=True)
    for table in sorted(whole.glob("*.csv")):
        same = table.read_bytes() == (merged / table.name).read_bytes()
        print(f"{table.name}: {'the same bytes' if same else 'DIFFERENT'}")
        if not same:
            raise SystemExit(f"{merged / table.name} differs from {table}")
    return killed


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
    main(sys.argv[1:])
