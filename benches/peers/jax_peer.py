"""The workload in JAX: one compiled program for all steps of all runs, its state donated.

Written twice, as two users would: a run of its own that is vmapped, and steps of all runs that are scanned. A third
variant spreads the runs over one device per core, since XLA itself uses few cores on small products.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

# f32 is f32: on a GPU the default would be TF32.
jax.config.update("jax_default_matmul_precision", "highest")

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}


def objective(params, x, y, activation, weight_decay):
    """Mean cross-entropy of one run plus weight decay; `params` is [weight, bias, ...]."""
    for index in range(0, len(params), 2):
        x = x @ params[index].T + params[index + 1]
        if index + 2 < len(params):
            x = activation(x)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1)
    return -chosen.mean() + 0.5 * weight_decay * sum((p * p).sum() for p in params)


class Jax:
    """Interface of all peers: `start` a fresh state, `advance` it by the steps of a round and wait, read the `outcome`."""

    def __init__(self, workload, device, variant):
        self.workload, self.variant = workload, variant
        self.devices = jax.devices("gpu" if device == "cuda" else "cpu")
        spread = variant == "vmap of scan, one device per core"
        self.devices = self.devices if spread else self.devices[:1]
        if len(workload.lr) % len(self.devices) != 0:
            raise ValueError(f"{len(workload.lr)} runs do not divide among {len(self.devices)} devices")
        mesh = jax.sharding.Mesh(self.devices, ("lanes",))
        self.by_lane = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("lanes"))
        self.by_second = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "lanes"))
        self.everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        self.x, self.y = (jax.device_put(a, self.everywhere) for a in (workload.x, workload.y))
        order = np.arange(workload.steps)[:, None] if workload.order is None else workload.order
        self.order = jax.device_put(order, self.everywhere)
        self.lr = jax.device_put(workload.lr, self.by_lane)
        activation, decay = ACTIVATIONS[workload.activation], workload.weight_decay
        self.value_and_grad = jax.value_and_grad(
            lambda params, x, y: objective(params, x, y, activation, decay)
        )
        program = self.scan_of_vmap if variant == "scan of vmap" else self.vmap_of_scan
        self.program = jax.jit(program, donate_argnums=(0, 1))
        self.server = self.history = self.loss = None

    @staticmethod
    def variants(device):
        plain = ["vmap of scan", "scan of vmap"]
        return plain + ["vmap of scan, one device per core"] if device == "cpu" and len(jax.devices()) > 1 else plain

    def batch(self, rows, x, y):
        return (x, y) if self.workload.order is None else (x[rows], y[rows])

    def vmap_of_scan(self, server, history, lr, order, x, y):
        """history: lanes x slots x ...; the run of one lane, then all of them at once."""

        def step(state, inputs):
            server, history, lr = state
            t, rows = inputs
            slot = t % self.workload.slots
            read = [jax.lax.dynamic_index_in_dim(h, slot, keepdims=False) for h in history]
            loss, gradient = self.value_and_grad(read, *self.batch(rows, x, y))
            server = [p - lr * g for p, g in zip(server, gradient)]
            history = [jax.lax.dynamic_update_index_in_dim(h, p, slot, 0) for h, p in zip(history, server)]
            return (server, history, lr), loss

        def run(server, history, lr):
            (server, history, _), loss = jax.lax.scan(step, (server, history, lr), (jnp.arange(len(order)), order))
            return server, history, loss

        return jax.vmap(run, out_axes=(0, 0, 1))(server, history, lr)

    def scan_of_vmap(self, server, history, lr, order, x, y):
        """history: slots x lanes x ..."""

        def step(state, inputs):
            server, history = state
            t, rows = inputs
            slot = t % self.workload.slots
            read = [jax.lax.dynamic_index_in_dim(h, slot, keepdims=False) for h in history]
            loss, gradient = jax.vmap(self.value_and_grad, in_axes=(0, None, None))(read, *self.batch(rows, x, y))
            server = [p - lr.reshape((-1,) + (1,) * (p.ndim - 1)) * g for p, g in zip(server, gradient)]
            history = [jax.lax.dynamic_update_index_in_dim(h, p, slot, 0) for h, p in zip(history, server)]
            return (server, history), loss

        (server, history), loss = jax.lax.scan(step, (server, history), (jnp.arange(len(order)), order))
        return server, history, loss

    def start(self):
        lanes, slots = self.workload.lanes, self.workload.slots
        slots_first = self.variant == "scan of vmap"

        @functools.partial(jax.jit, static_argnums=1, out_shardings=self.by_lane)
        def fill(part, lead):
            return jnp.broadcast_to(part, lead + part.shape) + 0.0

        parts = [jnp.asarray(part) for part in self.workload.split(self.workload.start)]
        self.server = [jax.device_put(fill(part, (lanes,)), self.by_lane) for part in parts]
        lead = (slots, lanes) if slots_first else (lanes, slots)
        sharding = self.by_second if slots_first else self.by_lane
        shape = jax.jit(lambda part: jnp.broadcast_to(part, lead + part.shape) + 0.0, out_shardings=sharding)
        self.history = [shape(part) for part in parts]
        jax.block_until_ready((self.server, self.history))

    def advance(self):
        arguments = (self.server, self.history, self.lr, self.order, self.x, self.y)
        self.server, self.history, self.loss = self.program(*arguments)
        jax.block_until_ready((self.server, self.history, self.loss))

    def outcome(self):
        return self.workload.join(self.server), np.asarray(self.loss)

    def free(self):
        self.server = self.history = self.loss = None
