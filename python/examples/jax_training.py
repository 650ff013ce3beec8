"""A JAX training under late gradients: probe it, judge it, run what fails and what is advised.

    python python/examples/jax_training.py

A small network learns to tell four clusters apart, with SGD and momentum and without delay, until it has found a minimum. Then
`sharpness` measures its curvature, `judge` says whether the same settings tolerate gradients that are four updates late, and three
trainings go on from there: without delay, with the delay at the same settings, and with the delay at those that are advised. Takes some
seconds.

What to expect: under the delay the loss blows up within a hundred updates; what is advised stays where the training without delay is.
"""

import jax
import jax.numpy as jnp
import optax

from tauscope.optax import delayed, read
from tauscope.probe import judge, sharpness

LR, MOMENTUM, DELAY = 0.3, 0.9, 4
#: Updates without delay before the probe, updates of each training after it, and updates between two lines.
WARM_UP, UPDATES, EVERY = 600, 200, 40

_keys = jax.random.split(jax.random.PRNGKey(0), 4)
LABELS = jnp.arange(400) % 4
INPUTS = 1.5 * jax.random.normal(_keys[0], (4, 6))[LABELS] + jax.random.normal(_keys[1], (400, 6))


def first_weights():
    return {
        "hidden": {"weight": jax.random.normal(_keys[2], (6, 16)) / 6**0.5, "bias": jnp.zeros(16)},
        "output": {"weight": jax.random.normal(_keys[3], (16, 4)) / 4, "bias": jnp.zeros(4)},
    }


def loss(weights):
    hidden = jnp.tanh(INPUTS @ weights["hidden"]["weight"] + weights["hidden"]["bias"])
    outputs = hidden @ weights["output"]["weight"] + weights["output"]["bias"]
    squares = sum(jnp.vdot(part, part) for part in jax.tree_util.tree_leaves(weights))
    return optax.softmax_cross_entropy_with_integer_labels(outputs, LABELS).mean() + 5e-4 * squares


def train(weights, delay, lr, momentum, updates):
    """The last weights, and the loss after every so many updates."""
    optimizer = delayed(optax.sgd(lr, momentum), delay=delay)

    @jax.jit
    def update(weights, state):
        gradient = jax.grad(loss)(read(state, weights))
        moves, state = optimizer.update(gradient, state, weights)
        return optax.apply_updates(weights, moves), state

    state, losses = optimizer.init(weights), []
    for index in range(1, updates + 1):
        weights, state = update(weights, state)
        if index % EVERY == 0:
            losses.append(float(loss(weights)))
    return weights, losses


def main():
    weights, losses = train(first_weights(), 0, LR, MOMENTUM, WARM_UP)
    print(f"{WARM_UP} updates without delay at lr {LR:g}, momentum {MOMENTUM:g}: loss {losses[-1]:.4f}")

    probed = sharpness(loss, weights)
    print(probed)
    for delay in (0, DELAY):
        verdict = judge(probed, "heavy-ball", LR, MOMENTUM, delay)
        print(f"delay {delay}: {verdict.why}")
    advised = verdict.instead[0]
    print(f"instead: lr {advised.lr:.3g}, momentum {advised.momentum:g}")

    seen = {"start": losses[-1], "verdict": verdict}
    for name, title, delay, lr, momentum in [
        ("synchronous", "no delay", 0, LR, MOMENTUM),
        ("fails", f"delay {DELAY}", DELAY, LR, MOMENTUM),
        ("advised", f"delay {DELAY}, advised", DELAY, advised.lr, advised.momentum),
    ]:
        _, seen[name] = train(weights, delay, lr, momentum, UPDATES)
        print(f"{title:<18}", " ".join(f"{value:9.4f}" for value in seen[name]))
    return seen


if __name__ == "__main__":
    main()
