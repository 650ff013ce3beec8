"""Trajectories of adaptive and sign rules on f(x) = (x_0^2 + 0.3 x_1^2) / 2 in float64, from (1, -2), for tests/suite/adaptive.rs.

    (python3 tests/data/adaptive.py torch; python3 tests/data/adaptive.py optax) > tests/data/adaptive.csv

The optimizers of PyTorch and of optax get the gradient at the weights of `delay` updates ago (of the start, before there are so
many). Every tenth of 100 iterates is written.
"""

import sys

CURVATURES, START, STEPS, EVERY, LR = [1.0, 0.3], [1.0, -2.0], 100, 10, 0.02
DELAYS = [0, 1, 4]


def iterates(step, delay):
    """`step(x, g)` gives the next x."""
    xs = [START]
    for t in range(STEPS):
        read = xs[max(t - delay, 0)]
        xs.append(step(xs[-1], [c * y for c, y in zip(CURVATURES, read)]))
    return [number for x in xs[EVERY::EVERY] for number in x]


def mixed_iterates(rule, share, delay):
    """PyTorch's optimizer at the weights and with the state of `delay` updates ago, and a share of where that leads."""
    import torch

    p = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = rule([p])
    zeros = lambda: torch.zeros(2, dtype=torch.float64)
    versions = [(torch.tensor(START, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64), zeros(), zeros())]
    for t in range(STEPS):
        read, step, first, second = (part.clone() for part in versions[max(t - delay, 0)])
        p.data = read
        p.grad = torch.tensor(CURVATURES, dtype=torch.float64) * read
        optimizer.state[p] = {"step": step, "exp_avg": first, "exp_avg_sq": second}
        optimizer.step()
        state = optimizer.state[p]
        led = (p.data, state["step"], state["exp_avg"], state["exp_avg_sq"])
        versions.append(tuple((1 - share) * old + share * new for old, new in zip(versions[-1], led)))
    return [number for version in versions[EVERY::EVERY] for number in version[0].tolist()]


def torch_rules():
    import torch

    torch.set_default_dtype(torch.float64)  # else NAdam's product of momenta is in float32

    def step_of(make):
        p = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
        optimizer = make([p])

        def step(x, g):
            p.grad = torch.tensor(g, dtype=torch.float64)
            optimizer.step()
            return p.tolist()

        return step

    o = torch.optim
    for b1, b2 in [(0.9, 0.999), (0.0, 0.9), (0.95, 0.9)]:
        yield f"adam:{b2}", b1, lambda: step_of(lambda p: o.Adam(p, lr=LR, betas=(b1, b2)))
        yield f"adamw:{b2}", b1, lambda: step_of(lambda p: o.AdamW(p, lr=LR, betas=(b1, b2), weight_decay=0.0))
    for b1 in [0.9, 0.0, 0.99]:
        # With foreach: the other path of PyTorch 1.13 takes the momentum of the present update into the next product twice.
        yield "nadam:torch", b1, lambda: step_of(lambda p: o.NAdam(p, lr=LR, betas=(b1, 0.999), foreach=True))


def optax_rules():
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import optax

    def step_of(rule):
        state = rule.init(jnp.array(START))

        def step(x, g):
            nonlocal state
            x = jnp.array(x)
            change, state = rule.update(jnp.array(g), state, x)
            return [float(number) for number in x + change]

        return step

    for b1, b2 in [(0.9, 0.999), (0.0, 0.9), (0.95, 0.9)]:
        yield f"nadam:{b2}", b1, lambda: step_of(optax.nadam(LR, b1=b1, b2=b2))
        yield f"nadamw:{b2}", b1, lambda: step_of(optax.nadamw(LR, b1=b1, b2=b2, weight_decay=0.0))
        yield f"lion:{b2}", b1, lambda: step_of(optax.lion(LR, b1=b1, b2=b2, weight_decay=0.0))
    for m in [0.9, 0.0, 0.95]:
        average = optax.ema(m, debias=False)
        yield "signum", m, lambda: step_of(optax.chain(average, optax.scale_by_sign(), optax.scale(-LR)))


if sys.argv[1] == "torch":
    print("oracle,rule,momentum,delay,lr", *[f"x{t}_{i}" for t in range(EVERY, STEPS + 1, EVERY) for i in (0, 1)], sep=",")
if sys.argv[1] == "torch":
    import torch

    for name, make in ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW):
        for share, text in (0.5, "0.5"), (1.0, "1"), (0.2, "0.2"), (None, "1/T"):
            for b1, b2 in (0.9, 0.999), (0.5, 0.9):
                for delay in DELAYS:
                    rule = lambda p: make(p, lr=LR, betas=(b1, b2), weight_decay=0.0)
                    found = mixed_iterates(rule, share or 1 / (delay + 1), delay)
                    print("torch", f"mixing-{name}:{text}/{b2}", b1, delay, LR, *map(repr, found), sep=",")
for rule, momentum, make in {"torch": torch_rules, "optax": optax_rules}[sys.argv[1]]():
    for delay in DELAYS:
        print(sys.argv[1], rule, momentum, delay, LR, *map(repr, iterates(make(), delay)), sep=",")
