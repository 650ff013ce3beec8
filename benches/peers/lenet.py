"""LeNet on a part of Fashion-MNIST in plain PyTorch, as anyone would write it: what `tauscope train` is held against.

    python benches/peers/lenet.py --data DIR --samples 10000 --epochs 2 --batch 128 --lr 0.1 --seeds 5

DIR holds the four IDX files, gzip or not. Every seed draws its own weights, subset and order; nothing is shared with
tauscope but the data, the model, PyTorch's start of its layers, and the recipe: SGD, weight decay on all parameters, pixels
normalised by the mean and deviation of the data set, no augmentation. Prints one line a seed and the means.
"""

import argparse
import gzip
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from torch import nn

MEAN, DEVIATION = 0.2860, 0.3530


def idx(folder, name):
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            header = 4 + 4 * raw[3]
            return np.frombuffer(raw, np.uint8, offset=header), header
    raise SystemExit(f"{folder} has no {name}, gzip or not")


def load(folder, part):
    pixels, _ = idx(folder, f"{part}-images-idx3-ubyte")
    labels, _ = idx(folder, f"{part}-labels-idx1-ubyte")
    images = torch.tensor(pixels.reshape(-1, 1, 28, 28) / 255, dtype=torch.float32)
    return (images - MEAN) / DEVIATION, torch.tensor(labels.astype(np.int64))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


@torch.no_grad()
def evaluate(model, x, y):
    outputs = torch.cat([model(part) for part in x.split(1000)])
    return nn.functional.cross_entropy(outputs, y).item(), (outputs.argmax(1) == y).double().mean().item()


def train(options, seed, train_part, test_part):
    torch.manual_seed(seed)
    chosen = torch.randperm(len(train_part[1]))[: options.samples]
    x, y = train_part[0][chosen], train_part[1][chosen]
    model = lenet()
    optimiser = torch.optim.SGD(
        model.parameters(), options.lr, momentum=options.momentum, weight_decay=options.weight_decay
    )
    for _ in range(options.epochs):
        order = torch.randperm(len(y))
        for step in range(len(y) // options.batch):
            rows = order[step * options.batch :][: options.batch]
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    return evaluate(model, x, y), evaluate(model, *test_part)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    parts = load(options.data, "train"), load(options.data, "t10k")
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    seen = []
    for seed in range(options.seeds):
        (train_loss, train_accuracy), (test_loss, test_accuracy) = train(options, seed, *parts)
        print(f"seed {seed}: train {train_loss:.4f} {train_accuracy:.4f}, test {test_loss:.4f} {test_accuracy:.4f}")
        seen.append(test_accuracy)
    spread = f" (deviation {stdev(seen):.4f})" if len(seen) > 1 else ""
    print(f"mean test accuracy {mean(seen):.4f}{spread} over {len(seen)} seeds")


main()
