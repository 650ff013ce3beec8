"""The workload in PyTorch: all runs at once in batched products, and one run at a time in a Python loop."""

from collections import deque

import numpy as np
import torch
from torch import nn
from torch.nn import functional

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}
MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU}

# f32 is f32: no TF32.
torch.set_float32_matmul_precision("highest")


class Batched:
    """All runs in one state: every parameter has a leading axis of lanes, the history another of slots before it.

    The first layer is one product of the shared rows with the weights of all lanes side by side; the others are batched
    products. Gradients are written out, which saves autograd's bookkeeping.
    """

    def __init__(self, workload, device, variant):
        self.workload, self.variant, self.device = workload, variant, device
        self.x, self.lr = self.resident(workload.x), self.resident(workload.lr)
        self.y = self.resident(workload.y.astype(np.int64))
        self.order = None if workload.order is None else self.resident(workload.order.astype(np.int64))
        self.activation = ACTIVATIONS[workload.activation]
        torch.compiler.reset()  # Or else the eighth workload would quietly be interpreted.
        self.compiled_step = torch.compile(self.step, dynamic=False) if "compile" in variant else self.step
        self.graph = None
        self.server = self.history = self.loss = None

    @staticmethod
    def variants(device):
        eager = ["bmm, eager", "bmm, torch.compile"]
        return ["bmm, CUDA graph", *eager] if device == "cuda" else eager

    def resident(self, array):
        return torch.from_numpy(array).to(self.device)

    def forward(self, params, x):
        """Inputs of every layer (the first: rows x features; else lanes x rows x inputs), and the logits."""
        inputs = [x]
        for index in range(0, len(params), 2):
            weight, bias = params[index], params[index + 1]
            lanes, outputs, width = weight.shape
            if index == 0:
                z = (inputs[0] @ weight.reshape(lanes * outputs, width).T).view(-1, lanes, outputs).transpose(0, 1)
                z = z + bias[:, None]
            else:
                z = torch.baddbmm(bias[:, None], inputs[-1], weight.transpose(1, 2))
            if index + 2 == len(params):
                return inputs, z
            inputs.append(self.activation(z))

    def by_hand(self, params, x, y):
        """Objective of each lane, and its gradient."""
        inputs, logits = self.forward(params, x)
        rows = len(x)
        log_p = torch.log_softmax(logits, 2)
        lanes = len(logits)
        loss = -log_p.gather(2, y.expand(lanes, rows)[:, :, None]).mean((1, 2))
        delta = log_p.exp_()
        delta[:, torch.arange(rows, device=x.device), y] -= 1.0
        delta /= rows
        gradients = [None] * len(params)
        for index in range(len(params) - 2, -1, -2):
            below = inputs[index // 2]
            if index == 0:
                side_by_side = delta.transpose(0, 1).reshape(rows, -1)
                weight_gradient = (side_by_side.T @ below).view_as(params[0])
            else:
                weight_gradient = torch.bmm(delta.transpose(1, 2), below)
            gradients[index], gradients[index + 1] = weight_gradient, delta.sum(1)
            if index > 0:
                delta = torch.bmm(delta, params[index])
                if self.workload.activation == "tanh":
                    delta = torch.ops.aten.tanh_backward(delta, below)
                else:
                    delta = torch.where(below > 0, delta, 0.0)
        decay = self.workload.weight_decay
        if decay != 0:
            for param, gradient in zip(params, gradients):
                gradient.add_(param, alpha=decay)
                loss += 0.5 * decay * param.flatten(1).square().sum(1)
        return loss, gradients

    @torch.no_grad()
    def step(self, server, read, x, y):
        """Takes the gradient at `read`, moves `server` by it and leaves it in `read`, whose turn comes again; returns the loss."""
        loss, gradients = self.by_hand(read, x, y)
        for param, version, gradient in zip(server, read, gradients):
            lr = self.lr.view(-1, *[1] * (param.dim() - 1))
            param.addcmul_(lr.expand_as(param), gradient, value=-1.0)
            version.copy_(param)
        return loss

    def steps(self):
        for t in range(self.workload.steps):
            slot = t % self.workload.slots
            rows = slice(None) if self.order is None else self.order[t]
            read = [versions[slot] for versions in self.history]
            self.loss[t] = self.compiled_step(self.server, read, self.x[rows], self.y[rows])

    def start(self):
        lanes, slots = self.workload.lanes, self.workload.slots
        parts = [self.resident(np.ascontiguousarray(part)) for part in self.workload.split(self.workload.start)]
        if self.graph is None:
            self.server = [part.expand(lanes, *part.shape).contiguous() for part in parts]
            self.history = [part.expand(slots, lanes, *part.shape).contiguous() for part in parts]
            self.loss = torch.zeros(self.workload.steps, lanes, device=self.device)
        if "graph" in self.variant:
            if self.graph is None:
                self.capture()
            # A graph owns its buffers, so it starts by filling them again.
            for server, versions, part in zip(self.server, self.history, parts):
                server.copy_(part.expand_as(server))
                versions.copy_(part.expand_as(versions))
        self.wait()

    def capture(self):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.steps()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        # JAX, in the same process, may call CUDA from threads of its own meanwhile.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.steps()

    def advance(self):
        if self.graph is None:
            self.steps()
        else:
            self.graph.replay()
        self.wait()

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def outcome(self):
        return self.workload.join([p.cpu().numpy() for p in self.server]), self.loss.cpu().numpy()

    def free(self):
        self.graph = self.server = self.history = self.loss = None
        if self.device == "cuda":
            torch.cuda.empty_cache()


class Loop:
    """One run after the other: a module, an optimiser, and a queue of old weights. Its speed does not depend on how many runs
    there are, so it takes the first few alone."""

    LANES = 2

    def __init__(self, workload, device, variant):
        self.workload, self.device, self.variant = workload, device, variant
        self.lanes = min(self.LANES, workload.lanes)
        self.x = torch.from_numpy(workload.x).to(device)
        self.y = torch.from_numpy(workload.y.astype(np.int64)).to(device)
        self.order = None if workload.order is None else torch.from_numpy(workload.order.astype(np.int64)).to(device)
        self.runs = self.loss = None

    @staticmethod
    def variants(device):
        return ["a loop over runs, 1 thread", "a loop over runs, all threads"] if device == "cpu" else ["a loop over runs"]

    def start(self):
        w = self.workload
        self.runs = []
        for lane in range(self.lanes):
            modules = []
            for index, (inputs, outputs) in enumerate(w.layers):
                modules.append(nn.Linear(inputs, outputs))
                if index + 1 < len(w.layers):
                    modules.append(MODULES[w.activation]())
            net = nn.Sequential(*modules).to(self.device)
            with torch.no_grad():
                for param, value in zip(net.parameters(), w.split(w.start)):
                    param.copy_(torch.from_numpy(np.ascontiguousarray(value)))
            optimiser = torch.optim.SGD(net.parameters(), lr=float(w.lr[lane]))
            versions = deque([p.detach().clone() for p in net.parameters()] for _ in range(w.slots))
            self.runs.append((net, optimiser, versions))
        self.loss = torch.zeros(w.steps, self.lanes)

    def advance(self):
        threads = torch.get_num_threads()
        if "1 thread" in self.variant:
            torch.set_num_threads(1)
        w = self.workload
        for lane, (net, optimiser, versions) in enumerate(self.runs):
            params = list(net.parameters())
            for t in range(w.steps):
                rows = slice(None) if self.order is None else self.order[t]
                current = [p.detach().clone() for p in params]
                with torch.no_grad():
                    for param, old in zip(params, versions.popleft()):
                        param.copy_(old)
                optimiser.zero_grad()
                loss = functional.cross_entropy(net(self.x[rows]), self.y[rows])
                loss = loss + 0.5 * w.weight_decay * sum(p.square().sum() for p in params)
                loss.backward()
                with torch.no_grad():
                    for param, now in zip(params, current):
                        param.copy_(now)
                optimiser.step()
                versions.append([p.detach().clone() for p in params])
                self.loss[t, lane] = loss.detach()
        torch.set_num_threads(threads)
        if self.device == "cuda":
            torch.cuda.synchronize()

    def outcome(self):
        flat = [torch.cat([p.detach().flatten() for p in net.parameters()]) for net, _, _ in self.runs]
        return torch.stack(flat).cpu().numpy(), self.loss.numpy()

    def free(self):
        self.runs = self.loss = None
