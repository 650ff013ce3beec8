"""Makes tests/data/weights: files of weights as PyTorch users have them, and what PyTorch computes with each.

    python3 tests/data/weights.py

The same perceptron of 6 inputs, 4 tanh units and 3 outputs, wrapped, cast, renamed and saved in every way; outputs.csv has
its outputs in float64 for three samples that a formula gives (file, row, class, value). safetensors files are written here,
from their description, because Debian's PyTorch comes without that package.
"""

import csv
import json
import os
import struct
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

HERE = Path(__file__).parent / "weights"
KINDS = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}


def numbers(count, stream):
    """Numbers in [-1, 1) that need no generator."""
    i = torch.arange(count, dtype=torch.int64)
    return ((i * 2654435761 + stream * 40503 * 65537 + 12345) % 2**32).double() / 2**31 - 1


def safetensors(name, tensors):
    header, data = {}, b""
    for key, tensor in sorted(tensors.items()):
        tensor = tensor.detach().contiguous()
        as_bytes = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
        content = as_bytes.numpy().tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[key] = {"dtype": KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (HERE / name).write_bytes(struct.pack("<Q", len(text)) + text + data)


def filled(model):
    for stream, tensor in enumerate(model.parameters()):
        tensor.data.copy_(numbers(tensor.numel(), stream).reshape(tensor.shape))
    return model


def sequential():
    return filled(nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        # Modules of a state dict stand in the order of definition, those of a file in that of their names.
        self.output, self.hidden = nn.Linear(4, 3), nn.Linear(6, 4)

    def forward(self, x):
        return self.output(self.hidden(x).tanh())


class Fc(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.fc2(self.fc1(x).tanh())


class Wrapper(nn.Module):
    """What torch.compile and FSDP make of a model, as far as its names go: this PyTorch has the first not, the second on GPUs."""

    def __init__(self, attribute, model):
        super().__init__()
        setattr(self, attribute, model)


def like(model, weights):
    """`model` with these tensors in the order of its modules' depth."""
    pairs = {"fc1": "0", "fc2": "2", "hidden": "0", "output": "2"}
    state = {key: weights[f"{pairs[key.split('.')[0]]}.{key.split('.')[1]}"] for key in model.state_dict()}
    model.load_state_dict(state)
    return model


def outputs(weights, x):
    w = {key: tensor.double() for key, tensor in weights.items()}
    return (x @ w["0.weight"].T + w["0.bias"]).tanh() @ w["2.weight"].T + w["2.bias"]


def main():
    HERE.mkdir(exist_ok=True)
    model = sequential()
    weights = model.state_dict()
    cast = lambda kind: {key: tensor.to(kind) for key, tensor in weights.items()}
    files = {}

    def save(name, tensors, values=weights):
        safetensors(name, tensors)
        files[name] = values

    save("plain.safetensors", weights)
    save("double.safetensors", cast(torch.float64))
    for name, kind in (("bf16", torch.bfloat16), ("f16", torch.float16)):
        save(f"{name}.safetensors", cast(kind), cast(kind))
    save("compiled.safetensors", Wrapper("_orig_mod", sequential()).state_dict())
    save("data-parallel.safetensors", nn.DataParallel(sequential()).state_dict())
    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{os.path.join(folder, 'store')}"
        torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
        parallel = nn.parallel.DistributedDataParallel(sequential())
        save("ddp.safetensors", parallel.state_dict())
        save("compiled-ddp.safetensors", Wrapper("_orig_mod", parallel).state_dict())
        torch.distributed.destroy_process_group()
    inner = sequential()
    for index in (0, 2):
        inner[index] = Wrapper("_checkpoint_wrapped_module", inner[index])
    save("fsdp-checkpointing.safetensors", Wrapper("_fsdp_wrapped_module", inner).state_dict())
    # The real wrapper takes its name out of state dicts; named_parameters has it.
    checkpointed = nn.Sequential(*(checkpoint_wrapper(module) for module in sequential()))
    filled(checkpointed)
    save("checkpointing.safetensors", dict(checkpointed.named_parameters()))
    save("fc.safetensors", like(Fc(), weights).state_dict())
    save("named.safetensors", like(Net(), weights).state_dict())
    save("backbone.safetensors", {f"backbone.{key}": tensor for key, tensor in weights.items()})

    optimiser = torch.optim.Adam(model.parameters())
    model(numbers(6, 7).float()).sum().backward()
    optimiser.step()
    weights = filled(model).state_dict()
    torch.save(weights, HERE / "state-dict.pt")
    torch.save({"epoch": 3, "model": weights, "optimizer": optimiser.state_dict()}, HERE / "checkpoint.pt")
    torch.save(weights, HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(model, HERE / "whole-model.pt")
    files |= {name: weights for name in ("state-dict.pt", "checkpoint.pt", "legacy.pth", "whole-model.pt")}

    x = numbers(18, 1000).reshape(3, 6)
    with (HERE / "outputs.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "row", "class", "value"])
        for name, values in sorted(files.items()):
            for row, line in enumerate(outputs(values, x).tolist()):
                table.writerows([name, row, column, repr(value)] for column, value in enumerate(line))


main()
