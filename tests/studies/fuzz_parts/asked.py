"""Questions to a saved fit, in Python and on the command line."""

from __future__ import annotations

import contextlib
import io
import json
import random
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from fuzz_parts.files import originals
from fuzz_parts.guard import Wrong
from fuzz_parts.mutate import HOSTILE, changed_text

_NUMBERS = (1e9, 1.0, 0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), 10**400, 1j, None)
_NUMBERS += ("1e9", "x", [1e9, 2e9], [], True, np.float32(1e9), [[1e9]], {"a": 1}, pd.NA)
_LABELS = ("dense", "moe", "", None, 1, np.nan, ["dense", "moe"], "Ünï", *HOSTILE[:8])


@cache
def _fit(name: str) -> Any:
    from bayescale.storage import load

    return load(next(p for p in originals() if p.name.startswith(name)))


def _value(rng: random.Random, good: Any, odd: tuple) -> Any:
    return good if rng.random() < 0.75 else rng.choice(odd)


def question(rng: random.Random, folder: Path) -> str:
    from bayescale.allocation import allocate
    from bayescale.prediction import predict
    from bayescale.recipes import compare_recipes

    name = rng.choice(("families", "crossed", "power_law", "bent"))
    fit = _fit(name)
    at: dict[Any, Any] = {
        k: _value(rng, 1e9, _NUMBERS) for k in ("N", "D", "C") if rng.random() < 0.8
    }
    for group, levels in fit.groups.items():
        if rng.random() < 0.9:
            at[group] = _value(rng, levels[0], _LABELS)
    if rng.random() < 0.1:
        at[rng.choice((None, 1, "loss", "", "run"))] = rng.choice(_NUMBERS)
    kind = rng.choice(("new-run", "mean", "mean", "", None, 3))
    prob = rng.choice(((0.5, 0.95), 0.9, (0.0,), (1.5,), "x", (), [None], np.array([0.5])))
    asked = rng.random()
    if asked < 0.6:
        wanted = at
        if rng.random() < 0.3:
            with contextlib.suppress(ValueError):
                wanted = pd.DataFrame([at] * rng.choice((0, 1, 3)))
        options = {"kind": kind} if rng.random() < 0.5 else {}
        options |= {"prob": prob} if rng.random() < 0.5 else {}
        options |= (
            {"new_groups": rng.choice(("sample", "error", "no"))} if rng.random() < 0.3 else {}
        )
        table = predict(fit, wanted, **options).table
        if not (table["median"] > 0).all() or not np.isfinite(table["median"]).all():
            raise Wrong(f"median {table['median'].tolist()} at {at!r}")
        lower = [c for c in table if str(c).startswith("lower_")]
        for column in lower:
            upper = f"upper_{column[6:]}"
            if (
                not (table[column] <= table["median"]).all()
                or not (table["median"] <= table[upper]).all()
            ):
                raise Wrong(f"{column} {table[column].tolist()} {table[upper].tolist()} at {at!r}")
    elif asked < 0.8:
        budget = _value(rng, 1e20, _NUMBERS)
        where = {k: v for k, v in at.items() if k in fit.groups} if rng.random() < 0.7 else at
        plan = allocate(fit, budget, at=where, tolerance=_value(rng, 0.005, (-1, 0, np.nan, "x")))
        if not (plan.N > 0 and plan.D > 0 and np.isfinite(plan.expected_regret)):
            raise Wrong(f"{plan!r}")
    else:
        by = _value(rng, next(iter(fit.groups), "family"), (*fit.groups, "recipe", "", None, 1))
        where = {k: v for k, v in at.items() if k != by}
        if rng.random() < 0.7:  # a budget and sizes together are refused
            unasked = rng.choice((("C",), ("N", "D")))
            where = {k: v for k, v in where.items() if k not in unasked}
        options = {"kind": _value(rng, rng.choice(("mean", "new-run")), ("x", "", None, 1))}
        options |= {"tolerance": _value(rng, 0.005, (-1, 0, np.nan, "x"))}
        options |= {"force": True} if rng.random() < 0.3 else {}
        table = compare_recipes(fit, by=by, at=where, **options).table
        if not np.isclose(table["p_best"].sum(), 1.0):
            raise Wrong(f"P(best) adds up to {table['p_best'].sum()}")
    return "answered"


_TABLE = "run,N,D,loss,family\n" + "".join(
    f"r{i},{10.0 ** (6 + i % 4):g},{10.0 ** (8 + i // 4):g},{2.5 - 0.05 * i:g},"
    f"{('dense', 'moe')[i % 2]}\n"
    for i in range(12)
)
_CARD = "odd.toml"


def _lay_out(rng: random.Random, folder: Path) -> None:
    (folder / "runs.csv").write_text(_TABLE)
    (folder / "targets.csv").write_text("N,D,family\n1e9,2e10,moe\n")
    (folder / "pool.csv").write_text("N,D,C,family\n1e8,1e9,6e17,moe\n2e8,1e9,12e17,dense\n")
    (folder / "odd.csv").write_text(changed_text(rng, _TABLE), encoding="utf-8", errors="replace")
    (folder / "odd.toml").write_text(
        changed_text(rng, "name = 'odd'\nformula = 'E'\n"), encoding="utf-8", errors="replace"
    )
    (folder / "empty.nc").write_bytes(b"")
    (folder / "folder").mkdir()
    for path in originals():
        (folder / f"{path.name.split('_0')[0]}.nc").symlink_to(path)


_FITS = (
    "families.nc",
    "power_law.nc",
    "crossed.nc",
    "bent.nc",
    "empty.nc",
    "none.nc",
    "runs.csv",
    "folder",
)
_FILES = (
    "runs.csv",
    "targets.csv",
    "pool.csv",
    "odd.csv",
    "none.csv",
    "folder",
    "http://localhost:1/x.csv",
    "",
)
_AT = (
    "N=1e9,D=2e10,family=moe",
    "C=1e20",
    "N=1e9,D=2e10",
    "C=1e20,family=dense",
    "N=-1,D=0,family=moe",
)
_AT += ("N=1e999,D=1,family=moe", "N", "=", ",,", "N=1,N=2", "N=nan,D=1e9,family=moe")
_COMMON = ("--json", "--force", "--help", "--version", "--no-such", "-", "--", *HOSTILE[:6])


def _words(rng: random.Random) -> list[str]:
    command = rng.choice(
        (
            "fit",
            "predict",
            "allocate",
            "compare",
            "next",
            "report",
            "backtest",
            "laws",
            "completion",
            "demoo",
            "",
        )
    )
    words = [command]
    if command in ("fit", "backtest"):
        words += [
            rng.choice(_FILES),
            "--law",
            rng.choice(("chinchilla", "chinchila", "odd.toml", "none.toml", "folder", "")),
        ]
        # never a fit that would run: something is always wrong with it
        wrong = rng.choice(("where", "pool", "columns", "noise", "out", "seed", "draws", "cut"))
        words += {
            "where": [
                "--where",
                rng.choice(("C <", "x < 1", "C < 1", "__import__('os')", "C.to_csv('y')")),
            ],
            "pool": ["--pool", rng.choice(("x=family", "alpha", "=", "alpha=nothing"))],
            "columns": ["--columns", rng.choice(("N=nothing", "N", "=N", "Q=loss2"))],
            "noise": ["--noise", rng.choice(("x", "", "T"))],
            "out": ["--out", rng.choice(("nowhere/fit.nc", "folder", "runs.csv/fit.nc"))],
            "seed": ["--seed", rng.choice(("x", "1.5", "-", ""))],
            "draws": ["--draws", rng.choice(("0", "-1", "x", "1e3"))],
            "cut": ["--cut", rng.choice(("C < 1", "C", "N > ", "os.system('id')"))],
        }[wrong]
    elif command in ("predict", "allocate", "compare", "next", "report"):
        words.append(rng.choice(_FITS))
        if command in ("predict", "report") or rng.random() < 0.6:
            at = rng.choice(_AT)
            words += ["--at", changed_text(rng, at) if rng.random() < 0.3 else at]
        if command == "predict" and rng.random() < 0.3:
            words += ["--targets", rng.choice(_FILES)]
        if command == "predict" and rng.random() < 0.3:
            words += [
                rng.choice(("--prob", "--kind", "--new-groups")),
                rng.choice(("0.9", "2", "mean", "sample", "x")),
            ]
        if command == "allocate":
            words += ["--compute", rng.choice(("1e20", "0", "-1", "nan", "inf", "x", "1e400"))]
            if rng.random() < 0.3:
                words += ["--inference-tokens", rng.choice(("1e12", "-1", "nan", "x"))]
        if command == "next":
            words += [
                "--candidates",
                rng.choice(_FILES),
                "--budget",
                rng.choice(("1e18", "-1", "nan", "x")),
            ]
            if rng.random() < 0.4:
                words += [
                    "--goal",
                    rng.choice(("precision", "compare", "allocate", "d-optimal", "x")),
                ]
        if command == "compare":
            words += ["--by", rng.choice(("family", "recipe", "arch", "", "x"))]
        if command == "report":
            words += [
                "--out",
                rng.choice(("page.html", "page.md", "folder", "nowhere/page.html", "page.exe")),
            ]
        if rng.random() < 0.7:
            words.append("--force")
    if rng.random() < 0.5:
        words.append("--json")
    if rng.random() < 0.25:
        words.insert(rng.randrange(len(words) + 1), rng.choice(_COMMON))
    if rng.random() < 0.1:
        del words[rng.randrange(len(words))]
    return words


def command(rng: random.Random, folder: Path) -> str:
    from bayescale.cli import main
    from bayescale.errors import BayescaleError

    _lay_out(rng, folder)
    words = _words(rng)
    said, printed = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        mock.patch("bayescale.cli.fits.start"),
        mock.patch("bayescale.cli.answers.start"),
        mock.patch("bayescale.cli.plans.start"),
        mock.patch("bayescale.cli.reports.start"),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(printed),
    ):
        status = main(words)
    text = said.getvalue()
    if status not in (0, 1, 2) or "Traceback" in text:
        raise Wrong(f"status {status} of {words}: {text[-600:]}")
    if status == 0 and "--json" in words and not {"--help", "--version", "-h"} & set(words):
        asked = words[: words.index("--")] if "--" in words else words
        if "--json" in asked and words[0] in (
            "predict",
            "allocate",
            "compare",
            "next",
            "fit",
            "backtest",
            "report",
            "laws",
        ):
            json.loads(printed.getvalue())
    if status:
        raise BayescaleError(text)
    return "answered"
