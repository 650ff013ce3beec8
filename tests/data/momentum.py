"""Trajectories of torch.optim.SGD on f(x) = (x_0^2 + 0.3 x_1^2) / 2 in float64, from (1, -2).

python3 tests/data/momentum.py > tests/data/momentum.csv
"""
import torch

STEPS = 10
print("rule,momentum,dampening,lr," + ",".join(f"x{t + 1}_{i}" for t in range(STEPS) for i in range(2)))
for rule, momentum, dampening, lr in [
    ("heavy-ball", 0.9, 0.0, 0.25), ("heavy-ball", 0.9, 0.9, 0.25), ("heavy-ball", 0.6, 0.25, 0.5), ("nesterov", 0.9, 0.0, 0.25),
    ("nesterov", 0.5, 0.0, 0.4),
]:
    x = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([x], lr=lr, momentum=momentum, dampening=dampening, nesterov=rule == "nesterov")
    seen = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        (torch.tensor([1.0, 0.3], dtype=torch.float64) * x * x / 2).sum().backward()
        optimizer.step()
        seen += x.tolist()
    print(rule, momentum, dampening, lr, *map(repr, seen), sep=",")
