"""Trajectories of adaptive and sign rules on f(x) = (x_0^2 + 0.3 x_1^2) / 2 in float64, from (1, -2), for tests/suite/adaptive.rs.

    (for part in torch optax modified; do python3 tests/data/adaptive.py $part; done) > tests/data/adaptive.csv

`modified` has what may be put around a rule: PyTorch's eps and clip_grad_norm_, and the update (1+A) u(t) - A u(t-1) of the
updates u that an optimizer makes by itself. Gradients are taken at the weights that move so; written are those of the optimizer,
the server's.

The optimizers of PyTorch and of optax get the gradient at the weights of `delay` updates ago (of the start, before there are so
many). Every tenth of 100 iterates is written.
"""

import sys

CURVATURES, START, STEPS, EVERY, LR = [1.0, 0.3], [1.0, -2.0], 100, 10, 0.02
DELAYS = [0, 1, 4]


def iterates(step, delay):
    """`step(x, g)` gives the next x, which gradients are taken at; `step.server()`, where there is one, what is written."""
    xs, shown = [START], [START]
    for t in range(STEPS):
        read = xs[max(t - delay, 0)]
        xs.append(step(xs[-1], [c * y for c, y in zip(CURVATURES, read)]))
        shown.append(step.server() if hasattr(step, "server") else xs[-1])
    return [number for x in shown[EVERY::EVERY] for number in x]


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


def modified_rules():
    import torch

    torch.set_default_dtype(torch.float64)

    def step_of(make, clip=None, ahead=0.0):
        """The optimizer walks along weights of its own, by whose steps the weights of the run move."""
        p = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
        optimizer = make([p])
        before = [0.0, 0.0]

        def step(x, g):
            nonlocal before
            p.grad = torch.tensor(g, dtype=torch.float64)
            if clip is not None:
                torch.nn.utils.clip_grad_norm_([p], clip)
            old = p.tolist()
            optimizer.step()
            u = [a - b for a, b in zip(old, p.tolist())]
            x = [x - (1 + ahead) * u - ahead * -v for x, u, v in zip(x, u, before)]
            before = u
            return x

        step.server = p.tolist
        return step

    o = torch.optim
    adam = lambda eps: lambda p: o.Adam(p, lr=LR, betas=(0.9, 0.999), eps=eps)
    adamw = lambda eps: lambda p: o.AdamW(p, lr=LR, betas=(0.9, 0.999), eps=eps, weight_decay=0.0)
    nadam = lambda eps: lambda p: o.NAdam(p, lr=LR, betas=(0.9, 0.999), eps=eps, foreach=True)
    sgd = lambda m: lambda p: o.SGD(p, lr=LR, momentum=m, dampening=m)
    yield "adam:0.999+eps=0.1", 0.9, lambda: step_of(adam(0.1))
    yield "nadam:torch+eps=1e-3", 0.9, lambda: step_of(nadam(1e-3))
    yield "adamw:0.999+eps=1e-3+extrapolate=1+clip=0.25", 0.9, lambda: step_of(adamw(1e-3), 0.25, 1.0)
    yield "nadam:torch+extrapolate=0.5", 0.9, lambda: step_of(nadam(1e-8), None, 0.5)
    yield "sgd+extrapolate=1", 0.0, lambda: step_of(sgd(0.0), None, 1.0)
    yield "sgd+clip=0.25", 0.0, lambda: step_of(sgd(0.0), 0.25)
    yield "heavy-ball+extrapolate=2+clip=0.5", 0.9, lambda: step_of(sgd(0.9), 0.5, 2.0)


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
for rule, momentum, make in {"torch": torch_rules, "optax": optax_rules, "modified": modified_rules}[sys.argv[1]]():
    for delay in DELAYS:
        print(sys.argv[1], rule, momentum, delay, LR, *map(repr, iterates(make(), delay)), sep=",")
