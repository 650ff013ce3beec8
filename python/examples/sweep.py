"""A sweep from Python: which rule tolerates late gradients best? Runs it, prints the table, and draws it.

    python python/examples/sweep.py [FOLDER]

Cells marked `# %%` open as a notebook in VS Code, PyCharm, Spyder and Jupyter (with jupytext). FOLDER, by default
`swept`, gets the results; a run that was interrupted goes on where it stopped, and a finished one is opened.
"""

# %% Where the results go.
import sys
from pathlib import Path

import matplotlib

import tauscope

matplotlib.use("Agg")  # draws into files; in a notebook, leave it out
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "swept")

# %% The sweep: three rules, four delays, on a quadratic whose largest curvature is 1, so that a learning rate is a gain.
if folder.exists():
    results = tauscope.open(folder)
else:
    results = tauscope.sweep(
        model="quadratic:1,0.3,0.1",
        rules=["sgd", "heavy-ball", "shifted"],
        momentum=0.9,
        dampening="ema",
        delays=[0, 1, 4, 16],
        engine="cpu",
        out=folder,
        resume=folder.with_name(folder.name + ".partial").exists(),
    )

# %% The table: what was measured, beside theory.
table = results.thresholds
print(f"{'rule':<12} {'delay':>5} {'measured':>10} {'theory':>10} {'ratio':>7}")
for index in range(table.rows):
    cell = table.row(index)
    print(
        f"{cell['rule']:<12} {cell['delay']:>5} {cell['lr_threshold']:>10.5g} {cell['lr_theory']:>10.5g} {cell['ratio']:>7.4f}"
    )

# %% Which rule tolerates the largest learning rate at each delay?
for delay in sorted(set(table["delay"].tolist())):
    rows = table.where(delay=delay)
    best = rows.row(int(rows["lr_threshold"].argmax()))
    print(f"delay {delay}: {best['rule']}, up to lr {best['lr_threshold']:.4g}")

# %% The picture: measured marks on the lines of theory.
axes = results.plot()
axes.set_title("largest stable learning rate, curvature 1")
picture = folder / "from-python.png"
axes.figure.savefig(picture, dpi=150)
print(f"drawn into {picture}")
