"""Makes networks.csv: what PyTorch computes with the named models, in float64, from weights and images that a formula gives.

    python3 networks.py > networks.csv

The models are written here from their papers and the reference code of the theory's paper, with PyTorch's own layers; the
test (tests/suite/networks.rs) fills the same formula into tauscope's. Columns: model, quantity, index, value.
"""

import sys

import torch
from torch import nn

torch.set_default_dtype(torch.float64)
ROWS, CLASSES, PROBES = 4, 10, 6


def numbers(count, stream):
    """Numbers in [-1, 1) that need no generator."""
    i = torch.arange(count, dtype=torch.int64)
    return ((i * 2654435761 + stream * 40503 * 65537 + 12345) % 2**32).double() / 2**31 - 1


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, CLASSES)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.conv1(x).relu(), 2)
        x = nn.functional.max_pool2d(self.conv2(x).relu(), 2)
        return self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


class Stack(nn.Module):
    """Features, then a classifier."""

    def __init__(self, features, classifier):
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def cifar_shallow():
    features = []
    for inputs in (3, 64):
        features += [nn.Conv2d(inputs, 64, 5, padding=2, bias=False), nn.MaxPool2d(3, 2), nn.BatchNorm2d(64), nn.ReLU()]
    classifier = []
    for inputs, outputs in ((64 * 49, 384), (384, 192)):
        # nn.Identity stands where the reference has dropout.
        classifier += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Identity()]
    return Stack(nn.Sequential(*features), nn.Sequential(*classifier, nn.Linear(192, CLASSES)))


def vgg11(norm):
    layers, inputs = [], 3
    for outputs in (64, None, 128, None, 256, 256, None, 512, 512, None, 512, 512, None):
        if outputs is None:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), *([nn.BatchNorm2d(outputs)] if norm else []), nn.ReLU()]
        inputs = outputs
    return Stack(nn.Sequential(*layers), nn.Linear(512, CLASSES))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + shortcut).relu()


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        for layer, (inputs, outputs) in enumerate(((16, 16), (16, 32), (32, 64)), 1):
            blocks = [Block(inputs, outputs, 1 if layer == 1 else 2), *(Block(outputs, outputs, 1) for _ in range(2))]
            setattr(self, f"layer{layer}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def fill(model):
    for stream, tensor in enumerate(model.parameters()):
        values = numbers(tensor.numel(), stream).reshape(tensor.shape)
        if tensor.dim() > 1:
            values = values * (6 / tensor[0].numel()) ** 0.5
        else:
            values = 0.1 * values
        tensor.data.copy_(values)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.weight.data.add_(1)


def write(model, quantity, values):
    for index, value in enumerate(values.flatten().tolist()):
        print(f"{model},{quantity},{index},{value!r}")


def probes(tensor):
    """Some of its numbers, evenly spread, and its norm."""
    flat = tensor.flatten()
    places = torch.tensor([k * (flat.numel() - 1) // (PROBES - 1) for k in range(PROBES)])
    return torch.cat([flat[places], flat.norm().reshape(1)])


def main():
    print(f"PyTorch {torch.__version__}", file=sys.stderr)
    print("model,quantity,index,value")
    models = {
        "lenet": (LeNet(), (1, 28, 28)),
        "cifar-shallow": (cifar_shallow(), (3, 32, 32)),
        "vgg11": (vgg11(False), (3, 32, 32)),
        "vgg11-bn": (vgg11(True), (3, 32, 32)),
        "resnet20": (ResNet20(), (3, 32, 32)),
    }
    for name, (model, shape) in models.items():
        fill(model)
        x = numbers(ROWS * torch.Size(shape).numel(), 1000).reshape(ROWS, *shape)
        y = torch.arange(ROWS) * 3 % CLASSES
        model.train()
        outputs = model(x)
        loss = nn.functional.cross_entropy(outputs, y)
        loss.backward()
        write(name, "outputs", outputs.detach())
        write(name, "loss", loss.detach())
        for parameter, tensor in model.named_parameters():
            write(name, f"gradient {parameter}", probes(tensor.grad))
        for buffer, tensor in model.named_buffers():
            if not buffer.endswith("num_batches_tracked"):
                write(name, f"statistics {buffer}", probes(tensor))
        model.eval()
        write(name, "evaluated", model(x).detach())


main()
