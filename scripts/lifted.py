"""Exact mean-square thresholds of minibatch training on a quadratic, from its second moments in the full state.

    python3 scripts/lifted.py FILE.npz --rule heavy-ball --momentum 0.9 --delay 4 --batch 2

FILE.npz has an array h of shape (n, P, P), the Hessians of n samples; every batch is a fresh subset of distinct samples. Prints
the threshold in the mean and that in mean square. Shares no code and no formula with the program: the state is what a run
remembers (all weights back to x[t-delay], and its velocities), and its covariance is carried on by one linear map,

    M -> A M A' + p sum_i (A_i - A) M (A_i - A)' / n,        p = (n - B) / (B (n - 1)),

A_i the step with the Hessian of sample i and A that with their mean. The threshold is where the spectral radius of this map is 1:
the map as a whole matrix where the state is small; else the same for the noise in gradients alone, summed over time in the full
state of each two eigenvectors of the mean. `--check` compares the two where both can be had. Needs NumPy and SciPy.
"""

import argparse

import numpy as np
from scipy.optimize import brentq

# Largest state whose map is written out: its symmetric matrices have SMALL (SMALL + 1) / 2 numbers.
SMALL = 24


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


def pair_sums(state, lr, curvatures):
    """What a unit of noise in gradients leaves of the covariance of the weights that are read, for each two eigenvectors of the
    mean: the sum over time of both responses, as the fixed point of M = A M A' + f f', which is doubled until it stands."""
    one = State(state.rule, state.m, state.d, state.delay, 1)
    steps = np.array([one.step(lr, np.array([[curvature]])) for curvature in curvatures])
    f = one.noise(lr)
    left, right = (part.ravel() for part in np.meshgrid(range(len(curvatures)), range(len(curvatures)), indexing="ij"))
    keep = left <= right
    left, right = left[keep], right[keep]
    total = np.repeat((f @ f.T)[None], len(left), 0)
    while True:
        more = steps[left] @ total @ steps[right].transpose(0, 2, 1)
        total = total + more
        if not np.isfinite(total).all() or abs(total).max() > 1e100:
            return None
        if abs(more).max() <= 1e-13 * abs(total).max():
            break
        steps = steps @ steps
    sums = np.empty((len(curvatures), len(curvatures)))
    sums[left, right] = sums[right, left] = total[:, state.delay, state.delay]
    return sums


# Parameters beyond which the map C is not written out.
MANY = 48


class Noise:
    """C(S) = mean_i H_i S H_i - H S H in the eigenvectors of H."""

    def __init__(self, h):
        self.curvatures, vectors = np.linalg.eigh(h.mean(0))
        self.turned, size = vectors.T @ h @ vectors, len(vectors)
        self.matrix = self.written_out(size) if size <= MANY else None

    def written_out(self, size):
        """As a matrix on the entries of S."""
        pairs = self.turned.transpose(1, 2, 0).reshape(size * size, -1)
        means = np.diag(self.curvatures)
        spread = (pairs @ pairs.T / len(self.turned)).reshape(size, size, size, size)  # i, j, k, l: mean of h_ij h_kl
        spread = spread.transpose(0, 2, 1, 3) - np.einsum("ij,kl->ikjl", means, means)
        return spread.reshape(size * size, size * size)

    def of(self, covariance):
        if self.matrix is not None:
            return (self.matrix @ covariance.ravel()).reshape(covariance.shape)
        total = np.zeros_like(covariance)
        for sample in self.turned:
            total += sample @ covariance @ sample
        return total / len(self.turned) - self.curvatures[:, None] * covariance * self.curvatures


def gain_of_noise(state, lr, noise, p):
    """Spectral radius of the map from the covariance of the weights that are read to what the noise that it makes leaves of
    itself: below 1 where the map of the full state has a radius below 1, given that the mean is stable. Infinite where it is not.
    The map keeps covariances, so that powers of it find the radius."""
    sums = pair_sums(state, lr, noise.curvatures)
    if sums is None:
        return np.inf
    covariance, found = np.eye(state.p), 0.0
    for _ in range(10_000):
        new = p * sums * noise.of(covariance)
        size = np.linalg.norm(new)
        if abs(size - found) <= 1e-8 * size:
            break
        covariance, found = new / size, size
    return size


def radius_in_mean_square(state, lr, h, batch):
    return max(abs(np.linalg.eigvals(written_out(state, lr, h, share(len(h), batch)))))


def threshold_in_mean(state, h):
    """By the smallest learning rate at which a root reaches the circle; stable below it."""
    top = np.linalg.eigvalsh(h.mean(0))[-1]
    one = State(state.rule, state.m, state.d, state.delay, 1)
    alone = np.full((1, 1, 1), top)
    low, high = 0.0, 1e-3 / top
    while radius_in_mean(one, high, alone) < 1:
        low, high = high, 1.2 * high
    return brentq(lambda lr: radius_in_mean(one, lr, alone) - 1, low if low > 0 else 1e-6 / top, high, xtol=1e-12 / top)


def threshold(state, h, batch, noise=None):
    """In mean square. `noise`: that of h, where it is known."""
    mean = threshold_in_mean(state, h)
    if share(len(h), batch) == 0:
        return mean
    if state.size <= SMALL:
        excess = lambda lr: radius_in_mean_square(state, lr, h, batch) - 1
    else:
        noise = Noise(h) if noise is None else noise
        excess = lambda lr: 1 - 1 / max(gain_of_noise(state, lr, noise, share(len(h), batch)), 1e-300)
    # At the threshold in the mean noise grows without bound. Towards 0 it dies out.
    low, high = 0.8 * mean, mean
    while excess(low) >= 0:
        low, high = 0.8 * low, low
    return brentq(excess, low, high, rtol=1e-7)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--rule", choices=["sgd", "heavy-ball", "shifted"], default="sgd")
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--dampening", type=float, default=0.0)
    parser.add_argument("--delay", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    h = np.load(given.file)["h"]
    h = h.reshape(-1, *h.shape[-2:]).astype(float)
    state = State(given.rule, given.momentum, given.dampening, given.delay, h.shape[-1])
    found = threshold(state, h, given.batch)
    print(f"mean {threshold_in_mean(state, h):.9g}  mean-square {found:.9g}")
    if given.check:
        print(f"there: radius {radius_in_mean_square(state, found, h, given.batch):.9g}, gain {gain_of_noise(state, found, Noise(h), share(len(h), given.batch)):.9g}")


if __name__ == "__main__":
    main()
