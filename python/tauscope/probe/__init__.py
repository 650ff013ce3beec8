"""Curvature of your own model, and what it means for a training with late gradients."""

from tauscope.probe._judge import Judgement, Option, judge
from tauscope.probe._result import Sharpness
from tauscope.probe._sharpness import sharpness
from tauscope.probe._staleness import staleness
from tauscope.probe._weights import save_weights

__all__ = ["Judgement", "Option", "Sharpness", "judge", "save_weights", "sharpness", "staleness"]
