"""Exact mean-square thresholds of minibatch training on a quadratic, from its second moments in the full state.

    python3 scripts/lifted.py FILE.npz --rule heavy-ball --momentum 0.9 --delay 4 --batch 2

FILE.npz has an array h of shape (n, P, P), the Hessians of n samples; every batch is a fresh subset of distinct samples. Prints
the threshold in the mean and that in mean square. Shares no code and no formula with the program: the state is what a run
remembers (all weights back to x[t-delay], and its velocities), and its covariance is carried on by one linear map,

    M -> A M A' + p sum_i (A_i - A) M (A_i - A)' / n,        p = (n - B) / (B (n - 1)),

A_i the step with the Hessian of sample i and A that with their mean. The threshold is where the spectral radius of this map is 1:
the map as a whole matrix where the state is small, else by Arnoldi on covariances. Needs NumPy and SciPy.
"""

import argparse

import numpy as np
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, eigs

# Largest state whose map is written out: its symmetric matrices have SMALL (SMALL + 1) / 2 numbers.
SMALL = 40


class State:
    """What a run of a rule remembers. A state is a list of P-vectors: x[t], ..., x[t-delay], then velocities, newest first."""

    def __init__(self, rule, momentum, dampening, delay, dimension):
        self.rule, self.m, self.d, self.delay, self.p = rule, momentum, dampening, delay, dimension
        self.versions = delay + 1
        self.velocities = {"sgd": 0, "heavy-ball": 1, "shifted": delay + 1}[rule]
        self.blocks = self.versions + self.velocities
        self.size = self.blocks * dimension

    def block(self, index):
        return slice(index * self.p, (index + 1) * self.p)

    @property
    def read(self):
        """The weights that gradients are taken at."""
        return self.block(self.delay)

    def new_rows(self, lr, h):
        """The blocks that are computed anew, as rows over the whole old state: x[t+1] and, with momentum, v[t+1]."""
        gradient = np.zeros((self.p, self.size))
        gradient[:, self.read] = h
        x = np.zeros((self.p, self.size))
        x[:, self.block(0)] = np.eye(self.p)
        if not self.velocities:
            return x - lr * gradient, None
        v = (1 - self.d) * gradient
        # shifted: the velocity of the worker that reports, which it wrote delay + 1 updates ago
        v[:, self.block(self.blocks - 1)] += self.m * np.eye(self.p)
        return x - lr * v, v

    def step(self, lr, h):
        """The whole step as a matrix."""
        a = np.zeros((self.size, self.size))
        x, v = self.new_rows(lr, h)
        for index in range(1, self.versions):
            a[self.block(index), self.block(index - 1)] = np.eye(self.p)
        a[self.block(0)] = x
        for index in range(1, self.velocities):
            a[self.block(self.versions + index), self.block(self.versions + index - 1)] = np.eye(self.p)
        if self.velocities:
            a[self.block(self.versions)] = v
        return a

    def noise(self, lr):
        """How a gradient enters the new state: a matrix size x P."""
        f = np.zeros((self.size, self.p))
        f[self.block(0)] = -lr * (1 - self.d if self.velocities else 1) * np.eye(self.p)
        if self.velocities:
            f[self.block(self.versions)] = (1 - self.d) * np.eye(self.p)
        return f


def share(samples, batch):
    """Variance of a mean over `batch` distinct ones of `samples`, relative to that of one."""
    return (samples - batch) / (batch * (samples - 1)) if samples > 1 else 0.0


def radius_in_mean(state, lr, h):
    return max(abs(np.linalg.eigvals(state.step(lr, h.mean(0)))))


def written_out(state, lr, h, p):
    """The map on symmetric matrices as a matrix, over the entries on and above the diagonal."""
    a, f, mean = state.step(lr, h.mean(0)), state.noise(lr), h.mean(0)
    rows, columns = np.triu_indices(state.size)
    whole = np.empty((len(rows), len(rows)))
    for number, (i, j) in enumerate(zip(rows, columns)):
        m = np.zeros((state.size, state.size))
        m[i, j] = m[j, i] = 1
        whole[:, number] = carried(state, a, f, h, mean, p, m)[rows, columns]
    return whole


def carried(state, a, f, h, mean, p, m):
    s = m[state.read, state.read]
    c = np.einsum("nij,jk,nkl->il", h, s, h, optimize=True) / len(h) - mean @ s @ mean
    return a @ m @ a.T + p * (f @ c @ f.T)


def carried_sparsely(state, x, v, f, h, mean, p, m):
    """The same by moving blocks: only x[t+1] and v[t+1] are computed."""
    size, b, n = state.size, state.p, state.versions
    new = np.empty_like(m)
    kept = [(1, n, 0), (n + 1, n + state.velocities, n)]  # blocks of the new state, and where they stand in the old one
    rows = np.vstack([x, v]) if v is not None else x
    cross = rows @ m
    corner = cross @ rows.T
    places = [0] if v is None else [0, n]
    for first, last, source in kept:
        for other_first, other_last, other_source in kept:
            if last > first and other_last > other_first:
                height, width = (last - first) * b, (other_last - other_first) * b
                new[first * b : last * b, other_first * b : other_last * b] = m[
                    source * b : source * b + height, other_source * b : other_source * b + width
                ]
    for number, place in enumerate(places):
        here = slice(number * b, (number + 1) * b)
        for first, last, source in kept:
            if last > first:
                part = cross[here, source * b : source * b + (last - first) * b]
                new[place * b : (place + 1) * b, first * b : last * b] = part
                new[first * b : last * b, place * b : (place + 1) * b] = part.T
        for other, at in enumerate(places):
            new[place * b : (place + 1) * b, at * b : (at + 1) * b] = corner[here, other * b : (other + 1) * b]
    s = m[state.read, state.read]
    c = np.einsum("nij,jk,nkl->il", h, s, h, optimize=True) / len(h) - mean @ s @ mean
    for place in places:
        for at in places:
            new[place * b : (place + 1) * b, at * b : (at + 1) * b] += (
                p * f[place * b : (place + 1) * b] @ c @ f[at * b : (at + 1) * b].T
            )
    return new


def radius_in_mean_square(state, lr, h, batch):
    p, mean, f = share(len(h), batch), h.mean(0), state.noise(lr)
    if state.size <= SMALL:
        return max(abs(np.linalg.eigvals(written_out(state, lr, h, p))))
    x, v = state.new_rows(lr, mean)

    def product(vector):
        m = vector.reshape(state.size, state.size)
        return carried_sparsely(state, x, v, f, h, mean, p, 0.5 * (m + m.T)).ravel()

    operator = LinearOperator((state.size**2, state.size**2), matvec=product, dtype=float)
    start = np.eye(state.size).ravel()
    found = eigs(operator, k=1, which="LM", v0=start, ncv=24, tol=1e-7, maxiter=400, return_eigenvectors=False)
    return max(abs(found))


def threshold_in_mean(state, h):
    """By the smallest learning rate at which a root reaches the circle; stable below it."""
    top = np.linalg.eigvalsh(h.mean(0))[-1]
    one = State(state.rule, state.m, state.d, state.delay, 1)
    alone = np.full((1, 1, 1), top)
    low, high = 0.0, 1e-3 / top
    while radius_in_mean(one, high, alone) < 1:
        low, high = high, 1.2 * high
    return brentq(lambda lr: radius_in_mean(one, lr, alone) - 1, low if low > 0 else 1e-6 / top, high, xtol=1e-12 / top)


def threshold(state, h, batch):
    """In mean square, to about 1e-5."""
    mean = threshold_in_mean(state, h)
    if share(len(h), batch) == 0:
        return mean
    excess = lambda lr: radius_in_mean_square(state, lr, h, batch) - 1
    # The map is unstable at the threshold in the mean. Towards 0 it is stable, if only just.
    high = mean
    low = 0.8 * mean
    while excess(low) >= 0:
        low, high = 0.8 * low, low
    return brentq(excess, low, high, rtol=1e-5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--rule", choices=["sgd", "heavy-ball", "shifted"], default="sgd")
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--dampening", type=float, default=0.0)
    parser.add_argument("--delay", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1)
    given = parser.parse_args()
    h = np.load(given.file)["h"]
    h = h.reshape(-1, *h.shape[-2:]).astype(float)
    state = State(given.rule, given.momentum, given.dampening, given.delay, h.shape[-1])
    print(f"mean {threshold_in_mean(state, h):.9g}  mean-square {threshold(state, h, given.batch):.9g}")


if __name__ == "__main__":
    main()
