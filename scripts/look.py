"""The look of a rule in the pictures of scripts: the colour and the mark that it has in those of the program.

They are read from src/plot/look.rs and src/plot/marks.rs, so that they cannot come apart. Standard library only; marks are named as matplotlib
names them.
"""

import re
from pathlib import Path

PLOT = Path(__file__).resolve().parent.parent / "src/plot"
MARKS = {"Circle": "o", "Square": "s", "Triangle": "^", "Diamond": "D", "Wedge": "v", "Plus": "P", "Star": "*", "Cross": "X"}


def block(name, file):
    """What stands between the brackets of a constant in a file of the program."""
    return re.search(rf"const {name}: \[[^\]]*\] =\s*\[(.*?)\n?\s*\];", (PLOT / file).read_text(), re.DOTALL)[1]


HUES = ["#" + "".join(light) for light in re.findall(r"\(RGBColor\(0x(\w\w), 0x(\w\w), 0x(\w\w)\), RGB", block("HUES", "look.rs"))]
PLACES = re.findall(r'"([^"]+)"', block("PLACES", "look.rs"))
ALL = [MARKS[name] for name in re.findall(r"Self::(\w+)", block("ALL", "marks.rs"))]


def shade(colour, lightness):
    """A colour mixed with black (lightness down to -1) or with white (up to 1)."""
    parts = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    target = 255 if lightness > 0 else 0
    return "#" + "".join(f"{round(part + (target - part) * abs(lightness)):02x}" for part in parts)


def of(rule, lightness=0.0):
    """Colour and mark of a rule as tables name it (`mixing:0.5`); the lightness tells forms of one rule apart."""
    place = PLACES.index(re.split("[:+]", rule)[0])
    return shade(HUES[place % len(HUES)], lightness), ALL[place % len(ALL)]
