#!/usr/bin/env python3
"""How often the 95 % intervals of ensembles hold a threshold that is known exactly.

    scripts/coverage.py target/release/tauscope OUT --repeats 200

Makes small quadratics whose samples have Hessians of their own, computes each cell's threshold without the program (in mean square
from the second moments of the full state, as in lifted.py; over all orders of an epoch; over all workers that may report; almost
surely as the zero of the mean of ln |1 - lr h|), measures it with --seed-order 0, 1, ..., and writes OUT/measured.csv, a line for each
measurement, and OUT/coverage.csv, a line for each cell. Measurements that OUT/measured.csv has already are not made again. Needs
NumPy and SciPy.
"""

import argparse
import csv
import itertools
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

import lifted

TOLERANCE = 0.01


def hessians(seed, samples, dimension, spread):
    """Of rank two and a little more, of lognormal size; their mean has the largest eigenvalue 1."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((samples, dimension, 2)) * np.exp(spread * rng.standard_normal((samples, 1, 1)))
    h = a @ a.transpose(0, 2, 1) + 0.05 * np.eye(dimension)
    return h / np.linalg.eigvalsh(h.mean(0))[-1]


def few(seed):
    """Of six samples of three parameters, of rank two: noise that returns from across the top eigenvector as much as along it."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(6, 3, 2)) * np.exp(rng.uniform(-1.5, 0, 3))[:, None]
    h = z @ z.transpose(0, 2, 1)
    h = h + 0.05 * np.eye(3) * np.trace(h.mean(0)) / 3
    return h / np.linalg.eigvalsh(h.mean(0))[-1]


def zero(excess, low, high):
    """From below: where the function first rises through 0."""
    while excess(low) >= 0:
        low, high = 0.5 * low, low
    while excess(high) < 0:
        low, high = high, 1.05 * high
    return brentq(excess, low, high, rtol=1e-8)


def radius(steps):
    """Of M -> mean of A M A' over these steps."""
    steps, m, growth = np.asarray(steps), np.eye(steps[0].shape[0]), 0.0
    for _ in range(20_000):
        m, before = np.mean(steps @ m @ steps.transpose(0, 2, 1), 0), growth
        growth = np.trace(m)
        m = 0.5 * (m + m.T) / growth
        if abs(growth - before) < 1e-12 * growth:
            break
    return growth


def epochs(h, state, batch, lr):
    """Products of the steps of an epoch, over all ways of cutting it into batches."""
    rows = range(len(h))
    if 2 * batch == len(h):
        firsts = np.array([[row in first for row in rows] for first in itertools.combinations(rows, batch)], float)
        means = [np.tensordot(part / batch, h, 1) for part in (firsts, 1 - firsts)]
        # One step of sgd in the weights themselves.
        assert state.size == h.shape[-1]
        eye = np.eye(state.size)
        return (eye - lr * means[1]) @ (eye - lr * means[0])
    cuts = {
        tuple(tuple(sorted(order[at : at + batch])) for at in range(0, len(h), batch)) for order in itertools.permutations(rows)
    }
    steps = {rows: state.step(lr, h[list(rows)].mean(0)) for rows in itertools.combinations(rows, batch)}
    products = []
    for cut in cuts:
        product = np.eye(state.size)
        for batch_rows in cut:
            product = steps[batch_rows] @ product
        products.append(product)
    return products


def workers(count, lr):
    """Steps of sgd on the curvature 1 when any of `count` workers may report, over the weights and what the workers have read."""
    steps = []
    for worker in range(count):
        step = np.eye(count + 1)
        step[0, 1 + worker] = -lr
        step[1 + worker] = step[0]
        steps.append(step)
    return steps


class Cell:
    def __init__(self, name, h=None, rule="sgd", momentum=0.0, dampening=0.0, delay=0, batch=1, sampling="independent", sure=False,
                 random=0):
        self.name, self.h, self.random = name, h, random
        self.flags = ["--rules", rule, "--delays", str(random - 1 if random else delay)]
        if rule != "sgd":
            self.flags += ["--momentum", str(momentum), "--dampening", str(dampening)]
        self.flags += ["--criterion", "almost-sure" if sure else "mean-square"]
        self.flags += ["--schedule", "random"] if random else ["--batch", str(batch), "--sampling", sampling]
        if random:
            self.exact = zero(lambda lr: radius(workers(random, lr)) - 1, 0.2, 0.21)
        elif sure:
            self.exact = zero(lambda lr: np.mean(np.log(np.abs(1 - lr * h.ravel()))), 0.5, 0.51)
        else:
            state = lifted.State(rule, momentum, dampening, delay, h.shape[-1])
            if sampling == "epochs":
                self.exact = zero(lambda lr: radius(epochs(h, state, batch, lr)) - 1, 0.05, 0.06)
            else:
                self.exact = lifted.threshold(state, h, batch)

    def model(self, folder):
        if self.random:
            return "quadratic:1.0"
        path = folder / f"{self.name}.npz"
        if not path.exists():
            np.savez(path, h=self.h)
        return f"quadratic:npz:{path}"


def cells():
    yield Cell("sgd", hessians(11, 12, 6, 1.0))
    yield Cell("sgd of 6 samples", few(2))
    yield Cell("heavy-ball of 6 samples", few(2), "heavy-ball", 0.9, 0.0, batch=2)
    yield Cell("sgd delay 4", hessians(13, 6, 3, 1.0), delay=4)
    yield Cell("sgd heavy tails", hessians(19, 10, 4, 1.5))
    yield Cell("heavy-ball delay 1", hessians(14, 20, 4, 1.0), "heavy-ball", 0.9, 0.0, 1, 5)
    yield Cell("heavy-ball delay 4", hessians(20, 12, 3, 1.0), "heavy-ball", 0.9, 0.0, 4, 2)
    yield Cell("shifted delay 1", hessians(15, 8, 3, 1.0), "shifted", 0.9, 0.9, 1, 2)
    yield Cell("epochs of 3", hessians(17, 6, 3, 1.0), batch=2, sampling="epochs")
    yield Cell("epochs of 2", hessians(16, 12, 2, 1.0), batch=6, sampling="epochs")
    yield Cell("8 random workers", random=8)
    yield Cell("almost surely", np.array([0.6, 1.4]).reshape(2, 1, 1), sure=True)


def measure(binary, folder, cell, seed):
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        out = Path(scratch) / "out"
        command = [binary, "sweep", "--model", cell.model(folder), *cell.flags, "--tolerance", str(TOLERANCE)]
        command += ["--engine", "cpu", "--seed-order", str(seed), "--quiet", "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "RAYON_NUM_THREADS": "1"})
        with open(out / "thresholds.csv", newline="") as table:
            (row,) = csv.DictReader(table)
    return {key: row[key] for key in ("lr_threshold", "lr_low", "lr_high", "lr_stable", "lr_unstable", "runs", "status")}


def summary(name, exact, rows):
    number = lambda key: np.array([float(row[key] or "nan") for row in rows])
    measured = np.array([row["status"] == "measured" for row in rows])
    low, high, off = number("lr_low")[measured], number("lr_high")[measured], number("lr_threshold")[measured] / exact - 1
    return {
        "cell": name, "exact": f"{exact:.7g}", "repeats": len(rows), "measured": measured.sum(),
        "covered_percent": f"{100 * np.mean((low <= exact) & (exact <= high)):.1f}",
        "below_percent": f"{100 * np.mean(high < exact):.1f}", "above_percent": f"{100 * np.mean(low > exact):.1f}",
        "bias_percent": f"{100 * off.mean():.3f}", "deviation_percent": f"{100 * off.std(ddof=1):.3f}",
        "worst_percent": f"{100 * off[np.argmax(np.abs(off))]:.2f}", "width_percent": f"{100 * np.mean((high - low) / exact):.2f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("out", type=Path)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--only", nargs="*", help="names of cells")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    path, known = given.out / "measured.csv", {}
    if path.exists():
        with open(path, newline="") as table:
            known = {(row["cell"], int(row["seed"])): row for row in csv.DictReader(table)}
    summaries, exacts, fresh = [], {cell.name: cell for cell in cells() if not given.only or cell.name in given.only}, not known
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.jobs) as pool, open(path, "a", newline="") as table:
        writer = None
        # Seed by seed, so that a study that is cut short has equally many of every cell.
        asked = [key for seed in range(given.repeats) for key in ((name, seed) for name in exacts) if key not in known]
        run = lambda key: measure(given.binary, Path(folder), exacts[key[0]], key[1])
        for key, row in zip(asked, pool.map(run, asked)):
            known[key] = {"cell": key[0], "seed": key[1], "exact": exacts[key[0]].exact, **row}
            writer = writer or csv.DictWriter(table, known[key], lineterminator="\n")
            if fresh:
                writer.writeheader()
                fresh = False
            writer.writerow(known[key])
            table.flush()
    for name, cell in exacts.items():
        summaries.append(summary(name, cell.exact, [row for key, row in known.items() if key[0] == name]))
        print(summaries[-1])
    with open(given.out / "coverage.csv", "w", newline="") as table:
        writer = csv.DictWriter(table, summaries[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(summaries)


if __name__ == "__main__":
    main()
