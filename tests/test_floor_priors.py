"""A decision that rests on the prior of a floor is refused, unless forced."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.cli import main
from bayescale.floor_priors import shifted_floors
from bayescale.symptoms import floors_of

INSIDE, BEYOND = {"C": 4e8}, {"C": 1e12}
TARGETS = pd.DataFrame({"C": [1e12, 1e12], "family": ["a", "b"], "recipe": ["a", "b"]})


@pytest.fixture(scope="module")
def runs():
    """Two recipes that are one, over less than a decade; nothing tells their floors."""
    rng = np.random.default_rng(2)
    C = np.geomspace(1e8, 5e8, 8)
    curves = [
        pd.DataFrame({"C": C, "recipe": name, "loss": 60 * C**-0.15}).assign(family=name)
        for name in "ab"
    ]
    table = pd.concat(curves, ignore_index=True)
    return table.assign(loss=table["loss"] * np.exp(0.01 * rng.standard_normal(len(table))))


def fitted(runs, **options):
    law = bs.load_law("power_law")
    return bs.fit(law, runs, pool="none", discrepancy="none", progress=False, **options)


@pytest.fixture(scope="module")
def fit(runs):
    return fitted(runs)


def test_floors_of_groups_that_share_none_are_named(fit):
    (said,) = [w for w in bs.diagnose(fit).warnings if "don't tell the floor E[" in w]
    assert ", nor 1 other: its posterior" in said
    assert bs.diagnose(fit).ok


def test_a_choice_that_another_prior_would_change_is_refused(fit):
    with pytest.raises(bs.UnsettledError, match="rests on a prior") as refused:
        bs.compare_recipes(fit, at=BEYOND)
    assert "prior of E[a] one sd lower it would be a" in str(refused.value)
    assert refused.value.fit is fit
    forced = bs.compare_recipes(fit, at=BEYOND, force=True)
    assert forced.table["recipe"].iloc[0] == "b"
    assert forced.unsettled == str(refused.value)
    assert forced.notes[0] == f"forced: {refused.value}"
    assert any("E[b] one sd higher" in change for change in forced.sensitivities["change"])


def test_one_that_it_would_not_change_is_made(fit):
    """Inside the runs, where a loss is tolerated, and where the runs themselves decide."""
    assert bs.compare_recipes(fit, at=INSIDE).unsettled is None
    tolerant = bs.compare_recipes(fit, at=BEYOND, tolerance=1.0)
    with pytest.raises(bs.DataError, match="tolerance is -1"):
        bs.compare_recipes(fit, at=BEYOND, tolerance=-1)
    assert tolerant.unsettled is None and not any("forced" in n for n in tolerant.notes)
    assert any("don't tell the floor E[" in said for said in bs.predict(fit, TARGETS).warnings)


def test_draws_are_those_of_a_fit_with_that_prior(runs, fit):
    """Both floors' priors one sd lower: reweighted, and fitted again."""
    moved = fitted(runs, prior={"E": "LogNormal(log(0.6) - 0.4, 0.4)"})
    for k, name in enumerate("ab"):
        (lower,) = [s for s in shifted_floors(fit, TARGETS) if f"E[{name}] one sd low" in s.change]
        before, again = (
            np.log(bs.predict(one, TARGETS, kind="mean").draws.to_numpy()[:, k])
            for one in (fit, moved)
        )
        there = before[lower.index]
        assert before.mean() - again.mean() > 0.1
        assert there.mean() == pytest.approx(again.mean(), abs=0.03)
        assert there.std() == pytest.approx(again.std(), rel=0.15)


def test_groups_own_priors_are_scaled_too(fit):
    table = bs.psense(fit, TARGETS)
    for name in ("E[a]", "E[b]", "target 1", "target 2"):
        assert table.loc[name, "prior"] > 0.05


def test_floors_of_one_of_two_crossing_columns_are_named(runs):
    table = pd.concat([runs.assign(corpus="x"), runs.assign(corpus="y")], ignore_index=True)
    law = bs.load_law("power_law").varying({"E": ["recipe"], "A": ["corpus"], "alpha": ["corpus"]})
    short = {"draws": 50, "warmup": 50, "strict": False, "progress": False}
    crossed = bs.fit(law, table, pool="none", discrepancy="none", **short)
    floors = floors_of(crossed)
    assert [floor.name for floor in floors] == ["E[a]", "E[b]"]
    own = crossed.data["posterior"]["E_by_group"]
    of_b = own.where(own["recipe"] == "b", drop=True).isel(group=0)
    low, high = np.log(np.quantile(of_b.to_numpy(), [0.16, 0.84]))
    assert floors[1].after == pytest.approx((high - low) / 2)
    targets = TARGETS.assign(corpus="x", family="a")
    assert all(s.index.shape == (200,) for s in shifted_floors(crossed, targets))


def test_an_average_is_refused_as_its_fits_are(fit):
    twice = bs.average({"one": fit, "two": fit}, [0.3, 0.7])
    with pytest.raises(bs.UnsettledError, match=r"E\[a\] one sd lower \(two\)"):
        bs.compare_recipes(twice, at=BEYOND)
    for one in shifted_floors(twice, TARGETS):
        of_two = twice.which == ("(two)" in one.change)
        changed = one.index != np.arange(len(one.index))
        assert changed[of_two].any() and not changed[~of_two].any()
        assert of_two[one.index[of_two]].all()


def test_the_command_line_refuses_and_can_be_forced(fit, tmp_path, capsys):
    path = str(bs.save(fit, tmp_path / "fit.nc"))
    words = ["compare", path, "--at", "C=1e12"]
    assert main([*words, "--json"]) == 1
    out, err = capsys.readouterr()
    assert not out and "rests on a prior" in err and "--force" in err
    assert main([*words, "--force", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["forced"] is True and "rests on a prior" in err
    assert main([*words, "--force"]) == 0
    assert "FORCED: the choice of b rests on a prior" in " ".join(capsys.readouterr().out.split())
    assert main([*words, "--tolerance", "1", "--json"]) == 0
    assert "forced" not in json.loads(capsys.readouterr().out)
    assert main(["compare", path, "--at", "C=4e8", "--force", "--json"]) == 0
    assert "forced" not in json.loads(capsys.readouterr().out)
