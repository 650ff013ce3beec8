"""Evenly spaced series by Python's module decimal, to 80 digits, rounded once: the exact numbers for src/config/spaced.rs.

python3 tests/data/series.py > tests/data/series.csv
"""
from decimal import Decimal as D, getcontext

getcontext().prec = 80
getcontext().Emin, getcontext().Emax = -10000, 10000

SERIES = [
    ("logspace", "1e-4", "1e-1", 4), ("logspace", "1e-6", "1", 13), ("logspace", "0.01", "1", 5), ("logspace", "1", "1000", 7),
    ("logspace", "0.001", "0.03", 9), ("logspace", "0.1", "0.9", 3), ("logspace", "0.3", "7", 11), ("logspace", "1e-300", "1e300", 17),
    ("logspace", "2.5e-310", "4e-308", 6), ("logspace", "3e-7", "3e-2", 1001), ("logspace", "16", "256", 5), ("logspace", "1e-3", "2e-3", 20001),
    ("logspace", "0.1234567890123456", "9.87654321", 8), ("logspace", "1e-5", "1.00001e-5", 12), ("logspace", "0.5", "0.999", 10),
    ("linspace", "0", "0.9", 4), ("linspace", "0", "1", 11), ("linspace", "0.1", "0.3", 3), ("linspace", "0.5", "0.9", 3),
    ("linspace", "0", "0.99", 100), ("linspace", "1e-4", "1e-1", 4), ("linspace", "0.01", "0.1", 10), ("linspace", "1e-320", "1e300", 7),
    ("linspace", "0.7", "0.8", 8), ("linspace", "0.123456789", "0.987654321", 15), ("linspace", "0", "0.3", 100001),
]

print("series,values")
for kind, first, last, count in SERIES:
    a, b, n = D(first), D(last), count - 1
    root = ((b / a).ln() / n).exp() if kind == "logspace" else None
    keep = range(0, count, max(count // 16, 1))
    values = [a * root ** i if root else a + (b - a) * i / n for i in keep]
    values = [D(last) if i == n else value for i, value in zip(keep, values)]
    print(f"{kind}:{first}:{last}:{count},{' '.join(repr(float(value)) for value in values)}")
