"""The GPT of python/examples: its training does what the verdict says."""

import importlib.util
from pathlib import Path
from statistics import mean

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "gpt.py"


def test_the_gpt_leaves_its_weights_under_delay_and_keeps_them_at_the_advised_rate() -> None:
    spec = importlib.util.spec_from_file_location("gpt", EXAMPLE)
    assert spec is not None and spec.loader is not None
    gpt = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gpt)
    seen = gpt.main([])
    assert not seen["verdict"].stable and seen["verdict"].margin < 0.3
    # Rounding decides the later path of a training that leaves its weights: 2.0 to 2.4 were seen where it starts at 1.65.
    assert max(seen["advised"]) < seen["start"] + 0.05
    assert max(seen["fails"]) > seen["start"] + 0.15
    assert max(mean(seen["synchronous"]), mean(seen["advised"])) < mean(seen["fails"]) - 0.1
