"""The oldest and the newest packages that pyproject.toml allows, each with a slice of the suite.

    python tests/studies/dependencies.py oldest [--python PYTHON] [--venv FOLDER] [--installed]
    python tests/studies/dependencies.py newest [--python PYTHON] [--venv FOLDER] [--installed]

`oldest` installs every dependency at the lower bound that pyproject.toml states, `newest` what pip
finds. The slice reads texts, tables and saved fits of every version, compares densities, and makes
a real fit. Results stand in `results/dependencies.csv`. `--installed` takes the folder as it is.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from record import RESULTS, commit, read, without, write  # noqa: E402

FOUND = RESULTS / "dependencies.csv"
CHECKOUT = HERE.parents[1]
SLICE = (
    *("test_imports", "test_formula", "test_priors", "test_law", "test_runs", "test_bad_input"),
    *("test_kernels", "test_saved", "test_storage", "test_density", "test_diagnostics"),
    "test_prediction",
)
VERSIONS = """
import json, platform
from importlib.metadata import version
names = %r
print(json.dumps({"python": platform.python_version(), **{n: version(n) for n in names}}))
"""


def dependencies() -> dict[str, str]:
    """Name and lower bound of everything that bayescale and its tests need."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    found = {}
    for text in texts:
        match = re.fullmatch(
            r"([A-Za-z0-9_.-]+)(?:\[.*\])?>=([\d.]+)", text.partition(";")[0].strip()
        )
        assert match, f"{text} states no lower bound alone"
        found[match[1]] = match[2]
    return found


def install(which: str, python: str, venv: Path) -> None:
    subprocess.run([python, "-m", "venv", venv], check=True)
    pip = [str(venv / "bin" / "pip"), "install", "-q"]
    if which == "oldest":
        pinned = [f"{name}=={bound}" for name, bound in dependencies().items()]
        subprocess.run([*pip, *pinned, f"jaxlib=={dependencies()['jax']}"], check=True)
        subprocess.run([*pip, "--no-deps", "-e", str(CHECKOUT)], check=True)
    else:
        subprocess.run([*pip, "-e", f"{CHECKOUT}[test]"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("which", choices=["oldest", "newest"])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--venv", type=Path)
    parser.add_argument("--installed", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        venv = given.venv or Path(name) / "venv"
        if not given.installed:
            install(given.which, given.python, venv)
        python = str(venv / "bin" / "python")
        names = [*dependencies(), "jaxlib"]
        told = subprocess.run(
            [python, "-c", VERSIONS % names], capture_output=True, text=True, check=True
        )
        versions = json.loads(told.stdout)
        files = [f"tests/{name}.py" for name in SLICE]
        done = subprocess.run(
            [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
    last = (done.stdout.strip().splitlines() or [done.stderr[-300:]])[-1]
    failed = re.findall(r"^FAILED (\S+)", done.stdout, re.M)
    row = {
        "set": given.which,
        "python": versions["python"],
        "ok": done.returncode == 0,
        "outcome": re.sub(r" in .*", "", last.strip("= ")),
        "failed": " ".join(failed)[:500],
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
        "commit": commit(),
        "command": f"python tests/studies/dependencies.py {given.which}",
    }
    key = {"set": row["set"], "python": row["python"]}
    write(FOUND, pd.concat([without(read(FOUND), key), pd.DataFrame([row])]))
    print(done.stdout[-3000:] if failed or done.returncode else last)
    print(row["versions"])


if __name__ == "__main__":
    main()
