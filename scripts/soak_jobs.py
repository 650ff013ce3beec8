"""Random jobs for scripts/soak: small sweeps and trainings with the files that they read, and command lines of every kind.

Not here: what is done to the jobs (soak_care.py), and how a run of the program is watched (soak_watch.py).
"""

import math
import struct
import zipfile

RULES = [
    "sgd", "heavy-ball", "nesterov", "shifted", "delayed-nesterov", "weight-prediction", "prediction-2", "mixing", "staleness-scaled",
    "delay-adaptive", "gap-aware", "dc-asgd", "dc-asgd-adaptive:1", "dc-asgd-exact", "clipped:0.5", "ringmaster:2",
    "rennala:2", "ormo", "adam", "adamw", "nadam", "nadam:torch", "nadamw",
    "lion", "signum",
]
RANDOM = [
    "random", "random:cap=5", "normal", "normal:cap=4", "workers:constant:spread=0.3", "workers:exponential",
    "workers:lognormal:shape=0.5", "workers:pareto:shape=2.5:cap=9", "workers:exponential:spread=0.5", "iid:geometric",
    "iid:uniform",
]
# Processes that bring their own delays.
FIXED = ["iid:geometric:0.5", "iid:uniform:0..=3", "trace:trace.csv", "iid:law.csv"]


def npy(dtype, shape, data):
    """An array in NumPy's format."""
    head = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(11 + len(head)) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head + data


def write_npz(rng, path):
    """Writes a problem of a few samples with a test part, and returns the number of samples."""
    features, classes, samples = rng.randint(1, 4), rng.randint(2, 4), rng.randint(8, 24)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.5 else zipfile.ZIP_STORED) as file:
        for part, count in (("", samples), ("_test", 8)):
            width, letter = (4, "f") if rng.random() < 0.5 else (8, "d")
            x = [rng.gauss(0, 1) for _ in range(count * features)]
            y = [i % classes for i in range(count)]
            data = struct.pack(f"<{len(x)}{letter}", *x)
            file.writestr(f"x{part}.npy", npy(f"<f{width}", (count, features), data))
            file.writestr(f"y{part}.npy", npy("<i8", (count,), struct.pack(f"<{count}q", *y)))
    return samples


def write_delays(rng, folder):
    """Writes a trace and a law of delays."""
    (folder / "trace.csv").write_text("delay\n" + "".join(f"{rng.randint(0, 4)}\n" for _ in range(rng.randint(1, 20))))
    law = "".join(f"{delay},{rng.randint(1, 9)}\n" for delay in range(rng.randint(1, 5)))
    (folder / "law.csv").write_text("delay,count\n" + law)


def some(rng, values, most):
    """A comma-separated list of one to `most` of the values, in their order."""
    return ",".join(str(v) for v in sorted(rng.sample(values, rng.randint(1, min(most, len(values)))), key=values.index))


def plan_text(flags):
    """The flags as a plan file: lists and switches in TOML."""
    lines = []
    for flag, value in flags:
        key = flag.removeprefix("--")
        if value is None:
            lines.append(f"{key} = true")
        elif "," in value and key not in ("model", "data"):
            lines.append(f"{key} = [" + ", ".join(f'"{part}"' for part in value.split(",")) + "]")
        else:
            lines.append(f'{key} = "{value}"')
    return "\n".join(lines) + "\n"


def axes(rng, most_delays):
    """Rules, momenta, delays and delay processes, alike for both kinds of job."""
    flags = [("--rules", some(rng, RULES, 3))]
    if rng.random() < 0.6:
        flags.append(("--momentum", some(rng, [0, 0.5, 0.9, 0.99], 2)))
        flags.append(("--dampening", rng.choice(["0", "ema", "0.3", "0,ema"])))
    chance = rng.random()
    if chance < 0.1:
        flags.append(("--schedule", rng.choice(FIXED)))
    else:
        flags.append(("--delays", some(rng, [0, 1, 2, 3, 4, 6, 8], most_delays)))
        if chance < 0.4:
            flags.append(("--schedule", rng.choice(RANDOM)))
        elif chance < 0.45:
            flags.append(("--schedule", "hybrid:4"))
        elif chance < 0.5:
            flags.append(("--schedule", "round-robin,random"))
    return flags


def ending(rng, folder, command, flags):
    """What all jobs may have: precision, seeds, a plan file that holds a part of the flags."""
    if rng.random() < 0.5:
        flags.append(("--precision", rng.choice(["f32", "f64"])))
    for seed in ("--seed-order", "--seed-init", "--seed-data"):
        if rng.random() < 0.3 and (seed, command) != ("--seed-init", "train") and (seed, command) != ("--seed-order", "train"):
            flags.append((seed, str(rng.randint(0, 99))))
    flags.append(("--engine", "cpu"))
    args = [command]
    if rng.random() < 0.25:
        planned = [pair for pair in flags if rng.random() < 0.7]
        (folder / "plan.toml").write_text(plan_text(planned))
        args.append("plan.toml")
        flags = [pair for pair in flags if pair not in planned]
    for flag, value in flags:
        args += [flag] if value is None else [flag, value]
    return args + [flag for flag in ("--quiet", "--json") if rng.random() < 0.4]


def sweep(rng, folder):
    """Arguments of a small sweep, whose files it writes into `folder`. Not all combinations are accepted by the program."""
    write_delays(rng, folder)
    samples = write_npz(rng, folder / "points.npz")
    kind = rng.random()
    if kind < 0.5:
        values = [f"{math.exp(rng.uniform(-5, 5)):.4g}" for _ in range(rng.randint(1, 3))]
        flags, samples = [("--model", "quadratic:" + ",".join(values))], 0
    elif kind < 0.75:
        samples = rng.choice([16, 24, 64])
        flags = [("--samples", str(samples)), ("--model", rng.choice(["mlp:2", "mlp:5", "mlp:8", "linear"]))]
    else:
        flags = [("--data", "npz:points.npz"), ("--samples", "all"), ("--model", rng.choice(["mlp:2", "mlp:3-2", "linear"]))]
    if samples:
        flags.append(("--weight-decay", rng.choice(["0.01", "0.1", "0.003"])))
        if rng.random() < 0.3:
            flags.append(("--loss", "mse"))
        if rng.random() < 0.3:
            flags.append(("--activation", rng.choice(["gelu", "tanh"])))
        if rng.random() < 0.3:
            flags.append(("--batch", rng.choice(["4", "full,4", "8"])))
            flags.append(("--sampling", rng.choice(["epochs", "independent"])))
    flags += axes(rng, 3)
    flags += [("--tolerance", rng.choice(["0.03", "0.1"])), ("--horizon", rng.choice(["64", "256"])), ("--ensemble", rng.choice(["4", "9"]))]
    if rng.random() < 0.15:
        flags.append(("--criterion", rng.choice(["mean", "mean-square", "almost-sure", "escape"])))
    return ending(rng, folder, "sweep", flags)


def train(rng, folder):
    """Arguments of a small training, like `sweep`."""
    write_delays(rng, folder)
    write_npz(rng, folder / "points.npz")
    kind = rng.random()
    if kind < 0.6:
        flags = [("--samples", rng.choice(["16", "32", "50"])), ("--test", rng.choice(["8", "16"]))]
    elif kind < 0.85:
        flags = [("--data", "npz:points.npz")]
    else:
        flags = [("--data", "synthetic:clusters:classes=3:features=4:samples=30:seed=1")]
    flags += [("--model", rng.choice(["mlp:2", "mlp:8", "linear", "mlp:3-3"])), ("--batch", rng.choice(["4", "8", "full"]))]
    flags += [("--epochs", str(rng.randint(1, 12))), ("--seeds", rng.choice(["1", "2", "1,5"]))]
    flags += [("--lr", rng.choice(["0.1", "0.01,1", "logspace:1e-2:1:3", "1e9"]))]
    flags += axes(rng, 2)
    maybe = [
        ("--regime", "cosine"), ("--regime", "steps:0.1@1/3"), ("--warm-up", "1"), ("--evaluate-every", "2"), ("--sharpness", "8"),
        ("--track", "sharpness"), ("--save-weights", None), ("--loss", "mse"), ("--lr-reference", "sgd"),
        ("--lr-scaling", "none,inverse-delay"), ("--lr-scaling", "none"), ("--sampling", "independent"), ("--activation", "relu"),
    ]
    for flag, value in maybe:
        if rng.random() < 0.25 and all(flag != other for other, _ in flags):
            flags.append((flag, value))
    flags.append(("--checkpoint-every", rng.choice(["1ms", "5ms", "20ms", "1h"])))
    return ending(rng, folder, "train", flags)


# Values that a flag may meet: sound ones, and those at which parsers and arithmetic break. Nothing is ever written to a device:
# a program that replaces what it should not could destroy the machine's.
SOUND = ["0", "1", "2", "4", "31", "0.1", "0.5", "0.9", "1e-3"]
NUMBERS = SOUND + [
    "-1", "-0", "nan", "inf", "-inf", "1e308", "1e-308", "5e-324", "1e400", "", " ", "1e5", "0.9999999999999999", "1000000", "4294967296",
    "18446744073709551616", "9" * 40, "0x10", "1,5", "1_000", "½", "ema",
]
LISTS = [
    "0..4", "0..=8", "8..0", "0..1000000000000", "logspace:1e-4:1e-1:4", "logspace:0:1:3", "logspace:1:1e300:5", "linspace:0:0.9:3",
    "linspace:0:1:99999999999", "linspace:nan:1:2", "0,1,1", ",", "0,,1", "1..=1", "..", "logspace:1:2", "linspace:0.5:0.5:1",
    "logspace:16:256:5", "logspace:1:1:1000000",
]
SCHEDULES = RANDOM + FIXED + [
    "round-robin", "hybrid:4", "hybrid:0", "hybrid:99999999999", "trace:nowhere.csv", "trace:.", "iid:", "iid:uniform:3..=1",
    "iid:geometric:1", "iid:geometric:0", "iid:geometric:0.999999", "iid:geometric:1e-300", "iid:uniform:0..=10000000", "workers",
    "workers:pareto:shape=1", "workers:lognormal:shape=5", "workers:constant:means=1/2/0", "workers:exponential:means=1e300/1e-300",
    "random:cap=0", "random:cap=-1", "workers:exponential:spread=1e9", "workers:constant:spread=nan", "trace:/dev/null", "trace:empty.csv",
]
FLAGS = {
    "theory": ["rules", "delays", "momentum", "dampening", "relative-variance", "schedule", "svg"],
    "advise": ["rule", "lr", "momentum", "dampening", "from-delay", "to-delay", "schedule", "relative-variance", "json"],
    "sweep": ["model", "data", "samples", "rules", "delays", "momentum", "dampening", "schedule", "batch", "tolerance", "horizon", "ensemble",
              "seed-order", "criterion", "gradient-tolerance", "weight-decay", "shard", "minimum", "precision", "loss", "adapter"],
    "train": ["model", "data", "samples", "test", "rules", "delays", "lr", "lr-scaling", "seeds", "epochs", "regime", "warm-up", "batch",
              "evaluate-every", "sharpness", "track", "track-every", "checkpoint-every", "shard", "init", "crop", "schedule", "momentum"],
    "bench step": ["model", "data", "samples", "batch", "slots", "lanes", "steps", "rounds"],
}
VALUES = {
    "schedule": SCHEDULES,
    "delays": LISTS + NUMBERS,
    "rules": RULES + ["adam:1", "adam:nan", "clipped:0", "clipped:inf", "rennala:0", "ringmaster:0.5", "dc-asgd:-1", "sgd:1", "sgd,sgd", "Sgd"],
    "model": ["mlp:2", "mlp:0", "mlp:", "linear", "quadratic:1,0.5", "quadratic:0", "quadratic:-1", "quadratic:nan", "quadratic:1e308,1e-308",
              "quadratic:", "layers:dense", "layers:conv(4,3,pad=1),relu,dense", "lenet", "resnet20", "mlp:99999999999", "mlp:100000-100000",
              "mlp:18446744073709551615", "layers:conv(0,0),dense", "layers:", "layers:conv(9,99),dense", "layers:pool(0),dense"],
    "data": ["digits", "mnist:.", "mnist:/nowhere", "npz:points.npz", "npz:/dev/null", "npz:.", "npz:law.csv", "cifar10:.", "synthetic:clusters",
             "synthetic:teacher:classes=0", "synthetic:clusters:samples=0", "synthetic:clusters:features=99999999999", "synthetic:", "x"],
    "samples": ["all"] + NUMBERS, "batch": ["full"] + NUMBERS, "svg": ["out.svg", "nowhere/out.svg", ".", "link.svg"],
    "json": [None], "minimum": ["points.npz", ".", "nowhere", "/dev/null"], "init": ["points.npz", ".", "nowhere", "/dev/null"],
    "shard": ["1/2", "0/1", "2/1", "env", "env/3", "1/99999999999", "/", "-1/2"], "precision": ["f32", "f64", "f16"], "loss": ["ce", "mse", "x"],
    "adapter": ["", "nowhere", "0", "99"], "criterion": ["mean", "mean-square", "almost-sure", "escape"], "track": ["sharpness", "x"],
    "regime": ["constant", "cosine", "steps:0.1@1/2", "steps:0@0", "steps:nan@1", "steps:0.1@", "steps:2@9999999999999", "x"],
    "checkpoint-every": ["0s", "1ms", "-1s", "9999999999999999h", "x", "1"], "lr-scaling": ["none", "preserve", "inverse-delay", "none,none"],
    "seeds": NUMBERS + LISTS, "lr": NUMBERS + LISTS, "momentum": NUMBERS + LISTS, "relative-variance": NUMBERS + LISTS,
}


def command(rng, folder):
    """Arguments of a short command, valid or not, where `folder` has the results folders `done`, `other`, `one` and `two` of a sweep, a
    training and two shards, and `spoilt`, a damaged copy of one of them."""
    name = rng.choice(["theory", "theory", "advise", "advise", "sweep", "sweep", "train", "train", "bench step", "init", "plot", "report", "compare", "merge", "devices", "submit"])
    if name in FLAGS:
        flags = rng.sample(FLAGS[name], rng.randint(0, min(4, len(FLAGS[name]))))
        if name == "advise":
            flags = sorted({*flags, "lr", "to-delay"} if rng.random() < 0.9 else flags)
        args = name.split()
        for flag in flags:
            values = VALUES.get("rules" if flag == "rule" else flag, NUMBERS)
            sound = SOUND if values[-1] == NUMBERS[-1] or values[-1] == LISTS[-1] else values[: max(1, len(values) // 2)]
            value = rng.choice(sound if rng.random() < 0.7 else values)
            args += [f"--{flag}"] if value is None else [f"--{flag}={value}"]
        if name in ("sweep", "train"):
            args += ["--dry-run"] + (["--engine", "cpu"] if rng.random() < 0.9 else []) + (["--json"] if rng.random() < 0.3 else [])
        if name == "bench step":
            small = {"lanes": 2, "steps": 2, "rounds": 1, "slots": 2, "samples": 16, "batch": 8, "model": "mlp:2"}
            args += ["--engine", "cpu"] + [f"--{flag}={value}" for flag, value in small.items() if flag not in flags]
        return args
    where = rng.choice(["done", "other", "one", "spoilt", "spoilt", "spoilt", "nowhere", "trace.csv", ".", "/dev/null", ""])
    if name == "init":
        file = rng.choice(["-", "new.toml", "trace.csv", "nowhere/p.toml", ".", "", "link.toml"])
        return ["init", *rng.choice([[], ["--for", "train"], ["--force"], ["--for", "x"]]), *([file] if rng.random() < 0.9 else [])]
    if name == "compare":
        to = rng.choice([[], ["--to", "sgd"], ["--to", "nothing"], ["--to", "synchronous"], ["--to", ""]])
        return ["compare", where, *to, *rng.choice([[], ["--out-dir", "tables"], ["--out-dir", "trace.csv"]])]
    if name == "report":
        return ["report", where, *rng.choice([[], ["--out", "page.html"], ["--out", "."], ["--out", "nowhere/page.html"], ["--out", "link.html"]])]
    if name == "merge":
        parts = rng.choice([["one", "two"], ["one", "spoilt"], ["spoilt", "two"], ["one", where], ["one"], ["one", "one"], [where, "other"]])
        return ["merge", *parts, "--out", rng.choice(["merged", "done", "trace.csv", "nowhere/merged", "."])]
    if name == "submit":
        given = rng.choice([["--print"], ["--print", "--shards=2"], ["--print", "--scheduler=slurm", "--shards=2", "--out=jobs"], ["--status=nowhere"],
                            ["--resubmit=done"], ["--status=trace.csv"]])
        return ["submit", *given, *rng.choice([[], ["--", "sweep"], ["--", "train", "--epochs=nan"], ["--", "x"], ["--", "sweep", "--data=npz:a b.npz"]])]
    return {"plot": ["plot", where], "devices": ["devices", *rng.choice([[], ["--json"]])]}[name]


def spoil(rng, folder):
    """Damages one file of a results folder: empties, halves, removes or scrambles it. Says what it did."""
    file = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    data = bytearray(file.read_bytes())
    way = rng.choice(["empty", "half", "gone", "byte", "line", "text"])
    if way == "gone":
        file.unlink()
        return f"{file.name} of spoilt is removed"
    if way == "half":
        data = data[: len(data) // 2]
    elif way == "byte" and data:
        data[rng.randrange(len(data))] = rng.randrange(256)
    elif way == "line":
        lines = data.split(b"\n")
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
        data = b"\n".join(lines)
    elif way == "text":
        data = data.replace(rng.choice([b"0", b"1", b".", b",", b"e", b"-"]), rng.choice([b"nan", b"", b"-", b"1e400", b"\xff"]))
    else:
        data = b""
    file.write_bytes(data)
    return f"{file.name} of spoilt: {way}"
