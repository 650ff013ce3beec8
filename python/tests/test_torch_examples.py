"""The GPT of python/examples: its training does what the verdict says."""

import importlib.util
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "gpt.py"


def test_the_gpt_leaves_its_weights_under_delay_and_keeps_them_at_the_advised_rate() -> None:
    spec = importlib.util.spec_from_file_location("gpt", EXAMPLE)
    assert spec is not None and spec.loader is not None
    gpt = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gpt)
    seen = gpt.main([])
    assert not seen["verdict"].stable and seen["verdict"].margin < 0.3
    # Without delay, and at the advised rate with it, the loss goes on falling; at the same rate it rises first.
    assert max(seen["synchronous"]) < seen["start"] + 0.02
    assert max(seen["advised"]) < seen["start"] + 0.02
    assert max(seen["fails"]) > seen["start"] + 0.05
    assert seen["synchronous"][-1] < seen["advised"][-1] < seen["fails"][-1]
