"""A small GPT under late gradients: probe it, judge its AdamW, run what fails and what is advised.

    python python/examples/gpt.py [TEXT]

A character-level GPT of 30,000 weights in plain PyTorch learns TEXT, by default 10,000 sums such as 37+58=95. It is trained
without delay for a while. Then `sharpness` measures the curvature that AdamW sees, `judge` says whether the same
learning rate tolerates gradients that are one update late, and three trainings go on from there: without delay, with the delay at
the same learning rate, and with the delay at the learning rate that is advised. Takes about a minute on one core, with
PyTorch 1.13 or newer.

What to expect: the verdict is about the weights that were probed. The training that it calls unstable leaves them: its loss
rises at once. It does not blow up, as Adam's steps are of bounded length; it settles elsewhere and learns on from there, behind
the two others. What is advised keeps what was learned, with steps ten times shorter.
"""

import copy
import math
import random
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy, gelu

from tauscope.probe import judge, sharpness
from tauscope.torch import Delayed

WIDTH, HEADS, LAYERS, CONTEXT, BATCH = 32, 4, 2, 32, 16
LR, BETAS, DELAY = 0.01, (0.9, 0.999), 1
#: Steps without delay before the probe, steps of each training after it, and steps between two lines.
WARM_UP, STEPS, EVERY = 150, 120, 20


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attend, self.join = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        size, length, _ = x.shape
        parts = self.attend(self.before(x)).chunk(3, dim=-1)
        query, key, value = (part.view(size, length, HEADS, -1).transpose(1, 2) for part in parts)
        # Written out, as the fused attention of PyTorch has no second derivative, which the probe needs.
        scores = query @ key.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(later, -math.inf).softmax(dim=-1) @ value
        x = x + self.join(mixed.transpose(1, 2).reshape(size, length, WIDTH))
        return x + self.narrow(gelu(self.widen(self.between(x))))


class GPT(nn.Module):
    def __init__(self, letters):
        super().__init__()
        self.letters = nn.Embedding(letters, WIDTH)
        self.places = nn.Parameter(0.02 * torch.randn(CONTEXT, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.after = nn.LayerNorm(WIDTH)
        nn.init.normal_(self.letters.weight, std=0.02)

    def forward(self, letters):
        seen = self.after(self.blocks(self.letters(letters) + self.places))
        return seen @ self.letters.weight.T  # input and output share their weights


def sums(count):
    """Lines such as 37+58=95, the same on every machine."""
    draw = random.Random(0)
    pairs = ((draw.randrange(100), draw.randrange(100)) for _ in range(count))
    return "\n".join(f"{first}+{second}={first + second}" for first, second in pairs)


class Text:
    """Batches of consecutive letters, each with the letters that follow."""

    def __init__(self, text):
        self.letters = sorted(set(text))
        places = {letter: place for place, letter in enumerate(self.letters)}
        self.codes = torch.tensor([places[letter] for letter in text])

    def batches(self, count, seed):
        draw = torch.Generator().manual_seed(seed)
        for _ in range(count):
            starts = torch.randint(len(self.codes) - CONTEXT, (BATCH,), generator=draw)
            rows = torch.stack([self.codes[start : start + CONTEXT + 1] for start in starts])
            yield rows[:, :-1], rows[:, 1:]


def loss(model, batch):
    letters, following = batch
    return cross_entropy(model(letters).flatten(0, 1), following.flatten())


def train(model, optimizer, batches):
    for batch in batches:
        optimizer.zero_grad()
        loss(model, batch).backward()
        optimizer.step()


def main(words):
    torch.manual_seed(0)
    text = Text(Path(words[0]).read_text(encoding="utf-8") if words else sums(10_000))
    model = GPT(len(text.letters))
    adamw = torch.optim.AdamW(model.parameters(), LR, betas=BETAS)
    held = list(text.batches(8, seed=1))

    def evaluate(model):
        with torch.no_grad():
            return sum(loss(model, batch).item() for batch in held) / len(held)

    train(model, adamw, text.batches(WARM_UP, seed=2))
    start = evaluate(model)
    print(f"{WARM_UP} steps without delay at lr {LR:g}: loss {start:.3f}")

    probed = sharpness(lambda batch: loss(model, batch), model, batches=list(text.batches(8, seed=3)), preconditioner=adamw)
    print(probed)
    for delay in (0, DELAY):
        verdict = judge(probed, "adamw", LR, BETAS[0], delay)
        print(f"delay {delay}: {verdict.why}")
    # The same rule and momentum; verdict.instead has one without momentum too.
    advised = next(option for option in verdict.instead if option.momentum)
    print(f"delay {DELAY}: advised is lr {advised.lr:.3g}")

    def go_on(delay, lr):
        """Loss every few steps of a training that goes on from the probed weights and AdamW's moments, and its end."""
        own = copy.deepcopy(model)
        inner = torch.optim.AdamW(own.parameters(), LR, betas=BETAS)
        inner.load_state_dict(copy.deepcopy(adamw.state_dict()))
        inner.param_groups[0]["lr"] = lr
        optimizer = Delayed(inner, delay=delay)
        batches, losses = list(text.batches(STEPS, seed=4)), []
        for begin in range(0, STEPS, EVERY):
            train(own, optimizer, batches[begin : begin + EVERY])
            with optimizer.server():
                losses.append(evaluate(own))
        with optimizer.server():
            probed = sharpness(lambda batch: loss(own, batch), own, batches=held[:2], preconditioner=inner, tolerance=0.01)
        shown = " ".join(f"{value:.3f}" for value in losses)
        print(f"delay {delay}, lr {lr:.3g}: loss {shown}; lr x curvature at the end {lr * probed.value:.2f}")
        return losses

    return {
        "start": start,
        "verdict": verdict,
        "synchronous": go_on(0, LR),
        "fails": go_on(DELAY, LR),
        "advised": go_on(DELAY, advised.lr),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
