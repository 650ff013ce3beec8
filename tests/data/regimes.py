"""Learning rates of PyTorch's schedulers (CosineAnnealingLR, MultiStepLR, LinearLR, SequentialLR, and products of two).

python3 tests/data/regimes.py > tests/data/regimes.csv
"""
import warnings

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, MultiStepLR, SequentialLR

warnings.simplefilter("ignore")


def rates(base, steps, schedulers):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    made, seen = schedulers(optimizer), []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        [scheduler.step() for scheduler in made]
    return seen


print("regime,lr,epochs,warm_up,steps_per_epoch,rates")
for regime, base, epochs, warm, per in [
    ("constant", 0.3, 6, 0, 2), ("constant", 0.3, 6, 3, 2), ("cosine", 0.3, 12, 0, 1), ("cosine", 0.3, 12, 4, 1),
    ("cosine:after-warm-up", 0.3, 12, 4, 1), ("cosine:after-warm-up", 0.8, 7, 1, 5), ("cosine:after-warm-up", 1.0, 5, 4, 3),
    ("steps:0.1@3/6", 0.3, 9, 0, 2), ("steps:0.1@3/6", 0.3, 9, 4, 2), ("steps:0.1@3/6:after-warm-up", 0.3, 12, 4, 2),
    ("steps:0.5@1:after-warm-up", 0.3, 3, 1, 4), ("steps:0.5@2/5", 0.7, 8, 2, 1),
]:
    kind, after = regime.removesuffix(":after-warm-up"), regime.endswith(":after-warm-up")
    total, rise = epochs * per, warm * per

    def main(optimizer):
        if kind == "constant":
            return LinearLR(optimizer, start_factor=1.0, total_iters=1)
        if kind == "cosine":
            return CosineAnnealingLR(optimizer, T_max=total - rise if after else total)
        factor, at = kind.removeprefix("steps:").split("@")
        return MultiStepLR(optimizer, milestones=[int(epoch) * per for epoch in at.split("/")], gamma=float(factor))

    def rising(optimizer):
        return LinearLR(optimizer, start_factor=1 / rise, total_iters=rise - 1)

    if after:
        seen = rates(base, total, lambda o: [SequentialLR(o, [rising(o), main(o)], milestones=[rise])])
    else:
        # The product of both factors.
        seen = rates(base, total, lambda o: [main(o)])
        if rise:
            seen = [a * b for a, b in zip(seen, rates(1.0, total, lambda o: [rising(o)]))]
    print(regime, base, epochs, warm, per, " ".join(map(repr, seen)), sep=",")
