"""The files of NumPy that tests/suite/data_files reads: plain.npz and compressed.npz.

    python3 tests/data/npz.py

x of plain.npz counts up in quarters; its labels are those of rows 0 to 4. compressed.npz has images, whose pixels count up
from 0, and a part to test on.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

np.savez(HERE / "plain.npz", x=np.arange(15, dtype=np.float32).reshape(5, 3) / 4, y=np.array([0, 2, 1, 0, 2]))
np.savez_compressed(
    HERE / "compressed.npz",
    x=np.arange(48, dtype=np.uint8).reshape(4, 2, 3, 2),
    y=np.array([0, 1, 1, 0], dtype=np.uint8),
    x_test=np.arange(24, dtype=np.uint8).reshape(2, 2, 3, 2),
    y_test=np.array([3, 1], dtype=np.uint8),
)
