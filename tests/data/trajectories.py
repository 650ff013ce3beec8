"""Trajectories of every update rule on f(x) = x^2 / 2, for tests/suite/trajectory.rs. Standard library only.

    python3 tests/data/trajectories.py > tests/data/trajectories.csv

x_0 = 1, learning rate 1/2, momentum 1/2. Written from the rules' formulas over plain lists: workers remember the weights
that they read, and nothing here knows of slots, rings, coefficients or kernels. The first gradient of a velocity is dampened
like every other, or enters it whole, as in PyTorch's SGD. Two processes: three workers in turn
(delay 2), and a recorded sequence of delays 0, 1, 2, 1.
"""

import csv
import sys
from fractions import Fraction as F
from math import copysign, sqrt

STEPS = 12
LR = M = F(1, 2)


def in_turn(published):
    """Three workers; each arrival: (weights read, updates made when they were read), and what the worker then reads."""
    workers = [(F(1), 0)] * 3
    t = 0
    while True:
        sent = yield workers[t % 3]
        workers[t % 3] = sent
        t += 1


def recorded(_):
    """Delays 0, 1, 2, 1, over and over; before there are so many updates, x_0 is read."""
    seen = [(F(1), 0)]
    t = 0
    while True:
        delay = [0, 1, 2, 1][t % 4]
        sent = yield seen[max(t - delay, 0)]
        seen.append(sent)
        t += 1


def run(process, rule, whole):
    """`rule(g, y, x, age, updates, memory)` gives (new x, what is published, whether it was an update)."""
    arrivals = process(None)
    y, version = next(arrivals)
    x, updates, memory, xs = F(1), 0, {"whole": whole}, []
    for _ in range(STEPS):
        x, shown, moved = rule(y, y, x, updates - version, updates, memory)
        updates += moved
        xs.append(x)
        y, version = arrivals.send((shown, updates))
    return xs


def velocity(before, g, m, d, whole):
    """`before` is None where no gradient has entered yet."""
    if before is None:
        return g if whole else (1 - d) * g
    return m * before + (1 - d) * g


def heavy_ball(g, x, memory, m, d):
    memory["v"] = velocity(memory.get("v"), g, m, d, memory["whole"])
    return x - LR * memory["v"]


def plain(change, m, d):
    """Heavy-ball on a changed gradient, which is published as it is."""

    def rule(g, y, x, age, updates, memory):
        x = heavy_ball(change(g, y, x, age, updates, memory), x, memory, m, d)
        return x, x, True

    return rule


def look_ahead(s):
    def make(m, d):
        def rule(g, y, x, age, updates, memory):
            new = heavy_ball(g, x, memory, m, d)
            return new, new + (m if s is None else s) * (new - x), True

        return rule

    return make


def look_ahead_twice(h1, h2):
    """Weights predicted from those of the last two updates."""

    def make(m, d):
        def rule(g, y, x, age, updates, memory):
            before = memory.get("x", x)
            memory["x"] = x
            new = heavy_ball(g, x, memory, m, d)
            return new, new + h1 * (new - x) + h2 * (new - 2 * x + before), True

        return rule

    return make


def nesterov(m, d):
    def rule(g, y, x, age, updates, memory):
        memory["v"] = velocity(memory.get("v"), g, m, d, memory["whole"])
        x = x - LR * (g + m * memory["v"])
        return x, x, True

    return rule


def shifted(m, d):
    """A velocity for each of three workers in turn."""

    def rule(g, y, x, age, updates, memory):
        v = memory.setdefault("v", [None] * 3)
        v[updates % 3] = velocity(v[updates % 3], g, m, d, memory["whole"])
        x = x - LR * v[updates % 3]
        return x, x, True

    return rule


def mixing(share):
    """The server's X and P; a worker reads both and returns where its own step led."""

    def make(m, d):
        def rule(g, y, x, age, updates, memory):
            others = memory.setdefault("P", [F(1)])
            a = share(age)
            result = y + m * (y - others[updates - age]) - LR * (1 - d) * g
            others.append((1 - a) * others[updates] + a * y)
            x = (1 - a) * x + a * result
            return x, x, True

        return rule

    return make


def ringmaster(limit):
    def make(m, d):
        def rule(g, y, x, age, updates, memory):
            if age >= limit:
                return x, x, False
            x = heavy_ball(g, x, memory, m, d)
            return x, x, True

        return rule

    return make


def rennala(batch):
    def rule(g, y, x, age, updates, memory):
        heap = memory.setdefault("heap", [])
        if age == 0:
            heap.append(g)
        if len(heap) < batch:
            return x, x, False
        x = x - LR * sum(heap) / batch
        heap.clear()
        return x, x, True

    return rule


def buffer(size):
    """FedBuff: the next gradients are averaged, whatever their age."""

    def rule(g, y, x, age, updates, memory):
        heap = memory.setdefault("heap", [])
        heap.append(g)
        if len(heap) < size:
            return x, x, False
        x = x - LR * sum(heap) / size
        heap.clear()
        return x, x, True

    return rule


def nesterov_every(n, m, d):
    """Delayed Nesterov: each arrival moves by its share, each n-th also by the momentum with the mean of the last n."""

    def rule(g, y, x, age, updates, memory):
        last = memory.setdefault("last", [])
        first = "v" not in memory and not last
        last.append(g if first and memory["whole"] else (1 - d) * g)
        x = x - LR * g / n
        if len(last) == n:
            memory["v"] = m * memory.get("v", 0) + sum(last) / n
            x = x - LR * m * memory["v"]
            last.clear()
        return x, x, True

    return rule


def ormo(m, d):
    """From the sum that ordered momentum keeps, over all gradients so far with their buckets of three."""

    def rule(g, y, x, age, updates, memory):
        bucket = lambda version: -(-version // 3)
        memory.setdefault("all", []).append((bucket(updates - age), g))
        now = bucket(updates)
        x = 1 - LR * sum((1 - d) * (1 - m ** (now - b + 1)) / (1 - m) * g for b, g in memory["all"])
        return x, x, True

    return rule


def gap(m):
    def change(g, y, x, age, updates, memory):
        s = float(memory.get("v", 0)) if m else float(g)
        memory["r"] = 0.999 * memory.get("r", 0.0) + 0.001 * s * s
        c = float(LR) * sqrt(memory["r"] / (1 - 0.999 ** (updates + 1)))
        return float(g) / (1 + abs(float(x) - float(y)) / c) if c > 0 else float(g)

    return change


def compensated(g, y, x, age, updates, memory):
    return g + F(1, 2) * g * g * (x - y)


def compensated_adaptively(g, y, x, age, updates, memory):
    g, gap = float(g), float(x) - float(y)
    memory["s"] = 0.95 * memory.get("s", 0.0) + 0.05 * g * g
    return g + 0.25 / sqrt(memory["s"] + 1e-7) * g * g * gap


def clip(limit):
    def change(g, y, x, age, updates, memory):
        return float(g) * min(1.0, limit / (abs(float(g)) + 1e-6))

    return change


def adam(b1, b2):
    def rule(g, y, x, age, updates, memory):
        g, t = float(g), updates + 1
        memory["m"] = b1 * memory.get("m", 0.0) + (1 - b1) * g
        memory["s"] = b2 * memory.get("s", 0.0) + (1 - b2) * g * g
        x = float(x) - float(LR) / (1 - b1**t) * memory["m"] / (sqrt(memory["s"]) / sqrt(1 - b2**t) + 1e-8)
        return x, x, True

    return rule


def mixing_adam(share, b1, b2):
    """Every version has Adam's state and count of steps beside its weights; the server takes in a share of all four."""

    def rule(g, y, x, age, updates, memory):
        g, y, x, a = float(g), float(y), float(x), share(age)
        states = memory.setdefault("states", [(0.0, 0.0, 0.0)])
        m, s, t = states[updates - age]
        m, s, t = b1 * m + (1 - b1) * g, b2 * s + (1 - b2) * g * g, t + 1
        result = y - float(LR) / (1 - b1**t) * m / (sqrt(s) / sqrt(1 - b2**t) + 1e-8)
        states.append(tuple((1 - a) * old + a * new for old, new in zip(states[updates], (m, s, t))))
        x = (1 - a) * x + a * result
        return x, x, True

    return rule


def nadam(b1, b2, mu):
    """`mu(t)` is the momentum of the look-ahead at update t."""

    def rule(g, y, x, age, updates, memory):
        g, t = float(g), updates + 1
        memory["m"] = b1 * memory.get("m", 0.0) + (1 - b1) * g
        memory["s"] = b2 * memory.get("s", 0.0) + (1 - b2) * g * g
        memory["M"] = memory.get("M", 1.0) * mu(t)
        ahead = mu(t + 1) * memory["m"] / (1 - memory["M"] * mu(t + 1)) + (1 - mu(t)) * g / (1 - memory["M"])
        x = float(x) - float(LR) * ahead / (sqrt(memory["s"] / (1 - b2**t)) + 1e-8)
        return x, x, True

    return rule


def signum(m):
    def rule(g, y, x, age, updates, memory):
        memory["m"] = m * memory.get("m", 0.0) + (1 - m) * float(g)
        x = float(x) - float(LR) * (copysign(1.0, memory["m"]) if memory["m"] else 0.0)
        return x, x, True

    return rule


def lion(b1, b2):
    def rule(g, y, x, age, updates, memory):
        m = memory.get("m", 0.0)
        pull = b1 * m + (1 - b1) * float(g)
        memory["m"] = b2 * m + (1 - b2) * float(g)
        x = float(x) - float(LR) * (copysign(1.0, pull) if pull else 0.0)
        return x, x, True

    return rule


def cases():
    """(rule as typed, momentum, dampening, rule)"""
    forms = [(F(0), F(0)), (M, F(0)), (M, M)]
    same = lambda g, y, x, age, updates, memory: g
    scaled = lambda g, y, x, age, updates, memory: g / max(age, 1)
    adaptive = lambda mean: lambda g, y, x, age, updates, memory: g * mean / max(mean, age)
    yield "sgd", F(0), F(0), plain(same, 0, 0)
    for m, d in forms:
        yield "heavy-ball", m, d, plain(same, m, d)
        yield "nesterov", m, d, nesterov(m, d)
        yield "shifted", m, d, shifted(m, d)
        yield "delayed-nesterov", m, d, look_ahead(None)(m, d)
        yield "weight-prediction", m, d, lambda mean, m=m, d=d: look_ahead(mean)(m, d)
        yield "prediction-2:1.5/0.75", m, d, look_ahead_twice(F(3, 2), F(3, 4))(m, d)
        yield "prediction-2", m, d, lambda mean, m=m, d=d: look_ahead_twice(mean, mean * (mean + 1) / 2)(m, d)
        yield "mixing:0.5", m, d, mixing(lambda age: F(1, 2))(m, d)
        yield "mixing:age", m, d, mixing(lambda age: F(1, age + 1))(m, d)
        yield "mixing:1/T", m, d, lambda mean, m=m, d=d: mixing(lambda age: 1 / (mean + 1))(m, d)
        yield "staleness-scaled", m, d, plain(scaled, m, d)
        yield "delay-adaptive", m, d, lambda mean, m=m, d=d: plain(adaptive(mean + 1), m, d)
        yield "gap-aware", m, d, plain(gap(m), m, d)
        yield "dc-asgd:0.5", m, d, plain(compensated, m, d)
        yield "dc-asgd-adaptive:0.25", m, d, plain(compensated_adaptively, m, d)
        yield "dc-asgd-exact:0.5", m, d, plain(lambda g, y, x, *_: g + F(1, 2) * (x - y), m, d)
        yield "clipped:0.25", m, d, plain(clip(0.25), m, d)
        yield "ringmaster:2", m, d, ringmaster(2)(m, d)
        yield "ormo", m, d, ormo(m, d)
        yield "nesterov-every", m, d, nesterov_every(3, m, d)
        yield "nesterov-every:2", m, d, nesterov_every(2, m, d)
    yield "rennala:2", F(0), F(0), rennala(2)
    yield "buffer:2", F(0), F(0), buffer(2)
    yield "buffer:3", F(0), F(0), buffer(3)
    for name in ("adam", "adamw"):  # without weight decay they are the same
        yield f"{name}:0.75", M, M, adam(0.5, 0.75)
    for name in ("mixing-adam", "mixing-adamw"):
        yield f"{name}:0.5/0.75", M, M, mixing_adam(lambda age: 0.5, 0.5, 0.75)
        yield f"{name}:age/0.75", M, M, mixing_adam(lambda age: 1 / (age + 1), 0.5, 0.75)
    for name in ("nadam", "nadamw"):
        yield f"{name}:0.75", M, M, nadam(0.5, 0.75, lambda t: 0.5)
        yield f"{name}:torch", M, M, nadam(0.5, 0.999, lambda t: 0.5 * (1 - 0.5 * 0.96 ** (t * 0.004)))
    yield "lion:0.75", M, M, lion(0.5, 0.75)
    yield "signum", M, M, signum(0.5)


def main():
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["rule", "momentum", "dampening", "first", "schedule"] + [f"x{t + 1}" for t in range(STEPS)])
    for name, m, d, rule in cases():
        for schedule, process, mean in [("round-robin", in_turn, F(2)), ("trace", recorded, F(1))]:
            if schedule == "trace" and name in ("shifted", "ormo", "nesterov-every", "nesterov-every:2"):
                continue  # they keep something for each worker, and a recorded process has none
            by_mean = name in ("weight-prediction", "delay-adaptive", "mixing:1/T", "prediction-2")
            for first in ["dampened", "whole"] if d else ["dampened"]:
                xs = run(process, rule(mean) if by_mean else rule, first == "whole")
                table.writerow([name, float(m), float(d), first, schedule] + [repr(float(x)) for x in xs])


main()
