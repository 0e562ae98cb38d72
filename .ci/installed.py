"""Check a bare installation from outside the checkout: cards, data, commands, lazy imports.

Usage: python -I installed.py CHECKOUT
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path


def main(checkout: Path) -> None:
    """Raise AssertionError at the first thing that the installed package lacks."""
    import bayescale as bs

    home = Path(bs.__file__).resolve().parent
    assert not home.is_relative_to(checkout), f"{home} is the checkout, not an installation"
    heavy = {"jax", "numpyro", "matplotlib"} & set(sys.modules)
    assert not heavy, f"import bayescale brought in {heavy}"

    cards = {
        tomllib.loads(path.read_text(encoding="utf-8"))["name"]
        for path in (checkout / "models").glob("*.toml")
    }
    listed = set(bs.laws()["name"])
    assert cards and listed == cards, f"cards {sorted(cards)}, installed {sorted(listed)}"
    for name in sorted(cards):
        print(f"  law {name}: {bs.load_law(name).formula_text}")

    bundled = [name for name in bs.datasets.names() if bs.datasets.info(name).bundled]
    assert bundled, "no data are bundled"
    for name in bundled:
        print(f"  data {name}: {len(bs.datasets.load(name))} runs")

    program = Path(sys.executable).with_name("bayescale")
    shown = subprocess.run([program, "laws", "--json"], capture_output=True, text=True, check=True)
    assert {row["name"] for row in json.loads(shown.stdout)} == cards


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
