"""A network trained by PyTorch with AdamW to a modest accuracy, which `--minimum-from` descends from: adamw.npz and
adamw.safetensors.

    python3 tests/data/adamw.py [DIGITS.csv.gz]

Three overlapping clusters of 40 samples and 6 features; 6-5-3 with tanh, cross-entropy, 60 epochs of minibatches of 8. With the
embedded digits as argument (data/digits.csv.gz) it trains 64-16-10 on them instead, into digits.npz and digits.safetensors here.
"""

import gzip
import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent


def write_safetensors(path, tensors):
    """8 bytes of length, a JSON header, and the numbers; see https://github.com/huggingface/safetensors."""
    header, body = {}, b""
    for name, tensor in tensors.items():
        numbers = tensor.detach().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(numbers)]}
        body += numbers
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def clusters():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    centres = rng.normal(size=(3, 6))
    return (centres[labels] + rng.normal(size=(120, 6))).astype(np.float32), labels


def digits(path):
    table = np.loadtxt(gzip.open(path), delimiter=",")[:512]
    return (table[:, :64] / 16).astype(np.float32), table[:, 64].astype(np.int64)


digits_given = len(sys.argv) > 1
name, hidden = ("digits", 16) if digits_given else ("adamw", 5)
inputs, labels = digits(sys.argv[1]) if digits_given else clusters()
np.savez_compressed(HERE / f"{name}.npz", x=inputs, y=labels)
torch.manual_seed(0)
network = torch.nn.Sequential(
    torch.nn.Linear(inputs.shape[1], hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, int(labels.max()) + 1)
)
optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=1e-2)
loss = torch.nn.CrossEntropyLoss()
x, y = torch.from_numpy(inputs), torch.from_numpy(labels)
for _ in range(60):
    for rows in torch.randperm(len(y)).split(8 if not digits_given else 32):
        optimiser.zero_grad()
        loss(network(x[rows]), y[rows]).backward()
        optimiser.step()
accuracy = (network(x).argmax(1) == y).double().mean()
print(f"loss {float(loss(network(x), y)):.4f}, accuracy {float(accuracy):.3f}")
write_safetensors(HERE / f"{name}.safetensors", network.state_dict())
