"""Trajectories of Muon in float64 on two small networks, for tests/suite/muon.rs.

    python3 tests/data/muon.py > tests/data/muon.csv

PyTorch gives the gradients, at the weights of `delay` updates ago (of the start, before there are so many). The update is the
formula written out in NumPy: Jordan et al. 2024, and for `rms` Liu et al. 2025; AdamW for first and last layer and for vectors.
Every 25th of 100 iterates is written, at 24 places and as a norm.
"""

import numpy as np
import torch

CLASSES, ROWS, STEPS, EVERY, LR, DECAY = 4, 21, 100, 25, 0.02, 0.01
DELAYS = [0, 1, 4]


def numbers(count, stream):
    """Numbers in [-1, 1) that need no generator."""
    i = np.arange(count, dtype=np.uint64)
    return ((i * 2654435761 + stream * 40503 * 65537 + 12345) % 2**32).astype(float) / 2**31 - 1


def perceptron(images, parameters):
    x = images
    for i in range(0, len(parameters), 2):
        x = x @ parameters[i].T + parameters[i + 1]
        if i + 2 < len(parameters):
            x = torch.tanh(x)
    return x


def convolutions(images, parameters):
    x = images.reshape(ROWS, 2, 6, 6)
    for i, padding in ((0, 1), (2, 1), (4, 0)):
        x = torch.tanh(torch.nn.functional.conv2d(x, parameters[i], parameters[i + 1], padding=padding))
    return torch.nn.functional.max_pool2d(x, 2).flatten(1) @ parameters[6].T + parameters[7]


PROBLEMS = {
    "mlp": (perceptron, 7, [(6, 7), (6,), (9, 6), (9,), (5, 9), (5,), (4, 5), (4,)]),
    "conv": (convolutions, 72, [(5, 2, 3, 3), (5,), (6, 5, 3, 3), (6,), (9, 6, 1, 1), (9,), (4, 81), (4,)]),
}


def newton_schulz(g):
    x = g / (np.sqrt((g * g).sum()) + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if tall else x


def iterates(problem, rms, m, adam_lr, ahead, clip, delay):
    forward, features, shapes = PROBLEMS[problem]
    images = torch.tensor(numbers(ROWS * features, 77).astype(np.float32).astype(float)).reshape(ROWS, features)
    labels = torch.tensor([(row * row + 1) % CLASSES for row in range(ROWS)])
    sizes = [int(np.prod(shape)) for shape in shapes]
    split = lambda flat: [part.reshape(shape) for part, shape in zip(np.split(flat, np.cumsum(sizes)[:-1]), shapes)]
    matrices = [i for i, shape in enumerate(shapes) if len(shape) > 1]
    y = split(0.4 * numbers(sum(sizes), 5))
    xs = [y]
    first, second = [np.zeros_like(w) for w in y], [np.zeros_like(w) for w in y]
    for t in range(STEPS):
        leaves = [torch.tensor(w, requires_grad=True) for w in xs[max(t - delay, 0)]]
        torch.nn.functional.cross_entropy(forward(images, leaves), labels).backward()
        gradient = [leaf.grad.numpy().copy() for leaf in leaves]
        if clip is not None:
            norm = np.sqrt(sum((g * g).sum() for g in gradient))
            gradient = [g * min(1.0, clip / (norm + 1e-6)) for g in gradient]
        before, y = y, []
        for i, (w, g) in enumerate(zip(before, gradient)):
            if i in matrices[1:-1]:
                first[i] = m * first[i] + (1 - m) * g
                direction = (1 - m) * g + m * first[i]
                flat = direction.reshape(len(direction), -1)
                rows, columns = flat.shape
                scale = 0.2 * max(rows, columns) ** 0.5 if rms else max(1, rows / columns) ** 0.5
                u = scale * newton_schulz(flat).reshape(w.shape)
                y.append(w - LR * DECAY * w - LR * u)
            else:
                first[i] = 0.9 * first[i] + 0.1 * g
                second[i] = 0.95 * second[i] + 0.05 * g * g
                u = first[i] / (1 - 0.9 ** (t + 1)) / (np.sqrt(second[i] / (1 - 0.95 ** (t + 1))) + 1e-10)
                y.append(w - adam_lr * DECAY * w - adam_lr * u)
        xs.append([new + ahead * (new - old) for new, old in zip(y, before)])
        if (t + 1) % EVERY == 0:
            flat = np.concatenate([w.reshape(-1) for w in y])
            yield from (flat[k * (len(flat) - 1) // 23] for k in range(24))
            yield np.sqrt((flat * flat).sum())


RULES = [
    ("muon", False, 0.95, 3e-4, 0.0, None),
    ("muon:rms+adam-lr=0.003", True, 0.9, 0.003, 0.0, None),
    ("muon+extrapolate=1+clip=0.05+adam-lr=0.003", False, 0.9, 0.003, 1.0, 0.05),
]
print("problem,rule,momentum,delay", *[f"x{t}_{k}" for t in range(EVERY, STEPS + 1, EVERY) for k in range(25)], sep=",")
for problem in PROBLEMS:
    for name, rms, m, adam_lr, ahead, clip in RULES:
        for delay in DELAYS:
            seen = iterates(problem, rms, m, adam_lr, ahead, clip, delay)
            print(problem, name, m, delay, *(repr(float(x)) for x in seen), sep=",")
