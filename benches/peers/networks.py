"""Gradients per second of LeNet, ResNet-20 and VGG-11 in PyTorch on the processor, in both memory layouts: what `tauscope bench step
--lanes 1` is held against. Prints CSV.

    taskset -c 0,1 python3 benches/peers/networks.py > networks.csv
"""

import os
import time

import torch
from torch import nn
from torch.nn import functional

ROUNDS = 3
ROUND_SECONDS = 0.7
BATCHES = [8, 32, 128]


class Block(nn.Module):
    """Two convolutions of 3 x 3 with batch norms, around which the input is added (option B of He et al. 2015)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.past = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.past = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return functional.relu(self.second(self.first(x)) + self.past(x))


def resnet20():
    layers, inputs = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for outputs, stride in [(16, 1), (32, 2), (64, 2)]:
        for number in range(3):
            layers.append(Block(inputs, outputs, stride if number == 0 else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)), (3, 32, 32)


def vgg11():
    layers, inputs = [], 3
    for outputs in [64, None, 128, None, 256, 256, None, 512, 512, None, 512, 512, None]:
        if outputs is None:
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10)), (3, 32, 32)


def lenet():
    convolutions = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    dense = [nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return nn.Sequential(*convolutions, nn.Flatten(), *dense), (1, 28, 28)


def rate(network, inputs, labels):
    """Gradients per second: the best of some rounds."""
    best = 0.0
    for _ in range(ROUNDS):
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < ROUND_SECONDS:
            network.zero_grad()
            functional.cross_entropy(network(inputs), labels).backward()
            count += 1
        best = max(best, count / (time.perf_counter() - begin))
    return best


def main():
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    print("torch,threads,network,layout,batch,gradients_per_s")
    for make in [lenet, resnet20, vgg11]:
        network, shape = make()
        for layout in [torch.contiguous_format, torch.channels_last]:
            network = network.to(memory_format=layout)
            for batch in BATCHES:
                inputs = torch.randn(batch, *shape).to(memory_format=layout)
                best = rate(network, inputs, torch.randint(0, 10, (batch,)))
                name = str(layout).removeprefix("torch.").removesuffix("_format")
                print(f"{torch.__version__},{torch.get_num_threads()},{make.__name__},{name},{batch},{best:.2f}", flush=True)


if __name__ == "__main__":
    main()
