"""Predictions on another held-out text than the runs' own."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.cli.program import main
from bayescale.errors import DataError

pytestmark = pytest.mark.usefixtures("compiled_quickly")

TARGETS = {"N": [1e9, 3e9], "D": [2e10, 6e10], "family": ["dense", "moe"]}
ERROR = 0.02


def scored(fit, **columns):
    """The same fit, of runs that say more of the text they were scored on."""
    table = fit.runs.table
    return replace(fit, runs=replace(fit.runs, table=table.assign(**columns)))


@pytest.fixture(scope="module")
def told_fit(small_fit):
    """Runs whose held-out error is 2% of their losses."""
    return scored(small_fit, loss_heldout_se=ERROR * small_fit.runs.table["loss"])


@pytest.mark.parametrize("kind", ["mean", "new-run"])
def test_the_spread_grows_in_quadrature(told_fit, kind):
    same = bs.predict(told_fit, TARGETS, kind=kind)
    new = bs.predict(told_fit, TARGETS, kind=kind, held_out="new")
    added = np.sqrt(new.table["sd_log"] ** 2 - same.table["sd_log"] ** 2)
    assert added.to_numpy() == pytest.approx(np.sqrt(2.0) * ERROR, rel=0.1)
    assert new.table["median"].to_numpy() == pytest.approx(same.table["median"], rel=3e-3)


def test_all_targets_on_a_text_deviate_together(told_fit):
    same, new = (bs.predict(told_fit, TARGETS, held_out=h).draws for h in ("same", "new"))
    before, after = (np.log(d[:, 0] / d[:, 1]).to_numpy() for d in (same, new))
    assert after == pytest.approx(before, abs=1e-12)  # the text cancels between models
    away = np.log(new / same).to_numpy()
    assert away.std() == pytest.approx(np.sqrt(2.0) * ERROR, rel=0.1)


def test_each_text_has_a_deviation_of_its_own(small_fit):
    loss, family = small_fit.runs.table["loss"], small_fit.runs.table["family"]
    on = family.map({"dense": "prose", "moe": "code"})
    error = loss * on.map({"prose": 0.01, "code": 0.03})
    fit = scored(small_fit, evaluation=on, loss_heldout_se=error)
    same, new = (bs.predict(fit, TARGETS, held_out=h).draws for h in ("same", "new"))
    away = np.log(new / same).to_numpy()
    assert away.std(axis=0) == pytest.approx(np.sqrt(2.0) * np.array([0.01, 0.03]), rel=0.1)
    assert abs(np.corrcoef(away.T)[0, 1]) < 0.1
    on_one = bs.predict(fit, {**TARGETS, "evaluation": "code"}, held_out="new")
    away = np.log(on_one.draws / same).to_numpy()
    assert away[:, 0] == pytest.approx(away[:, 1], abs=1e-12)


def test_a_share_of_the_spread_is_the_texts(told_fit):
    table = bs.predict(told_fit, TARGETS, held_out="new").table
    shares = table[[name for name in table if name.startswith("share_")]]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert table["share_text"].between(0.02, 0.98).all()
    assert "share_text" not in bs.predict(told_fit, TARGETS).table


def test_the_sentence_says_so(told_fit):
    said = bs.predict(told_fit, TARGETS, held_out="new").sentences
    assert all("on another text as long:" in sentence for sentence in said)
    assert not any(
        "another text" in sentence for sentence in bs.predict(told_fit, TARGETS).sentences
    )


def test_an_error_of_ones_own_and_the_runs_agree(told_fit, small_fit):
    own = bs.predict(small_fit, TARGETS, held_out="new", held_out_se=ERROR)
    assert own.draws.equals(bs.predict(told_fit, TARGETS, held_out="new").draws)


def test_an_average_is_moved_as_a_whole(told_fit, c_only_fit):
    mixed = bs.average({"chinchilla": told_fit, "power_law": c_only_fit})
    targets = {**TARGETS, "C": [1.2e20, 1.08e21]}
    same, new = (
        bs.predict(mixed, targets, held_out=h, held_out_se=e).draws
        for h, e in (("same", None), ("new", ERROR))
    )
    away = np.log(new / same).to_numpy()
    assert away[:, 0] == pytest.approx(away[:, 1], abs=1e-12)
    assert away.std() == pytest.approx(np.sqrt(2.0) * ERROR, rel=0.1)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"held_out": "other"}, "held_out is 'same' or 'new', not 'other'"),
        ({"held_out_se": 0.01}, "give held_out='new' too"),
        ({"held_out": "new"}, "no column loss_heldout_se; give it there, or held_out_se="),
        ({"held_out": "new", "held_out_se": 0.0}, "between 0 and 1, such as 0.01"),
        ({"held_out": "new", "held_out_se": -0.1}, "between 0 and 1, such as 0.01"),
        ({"held_out": "new", "held_out_se": 2.0}, "held_out_se is 2:"),
        ({"held_out": "new", "held_out_se": float("nan")}, "held_out_se is nan:"),
        ({"held_out": "new", "held_out_se": "1%"}, "held_out_se is '1%'"),
        ({"held_out": "new", "held_out_se": True}, "held_out_se is True"),
    ],
)
def test_what_is_not_known_is_named(small_fit, asked, message):
    with pytest.raises(DataError) as fault:
        bs.predict(small_fit, TARGETS, **asked)
    assert message in str(fault.value)


def test_columns_that_tell_nothing_are_named(small_fit):
    empty = scored(small_fit, loss_heldout_se=np.nan)
    with pytest.raises(DataError, match="loss_heldout_se has no number"):
        bs.predict(empty, TARGETS, held_out="new")
    percent = scored(small_fit, loss_heldout_se=50.0)
    with pytest.raises(DataError, match="must be in its unit"):
        bs.predict(percent, TARGETS, held_out="new")
    half = np.where(np.arange(len(small_fit.runs.table)) % 2, "prose", "code")
    both = scored(small_fit, loss_heldout_se=0.01, evaluation=half)
    with pytest.raises(DataError, match=r"target 1: its group has runs on .* and .*evaluation"):
        bs.predict(both, TARGETS, held_out="new")


def test_other_lines_than_the_log_are_refused():
    from tests.simulate import TWO_FAMILIES, ladder

    table = ladder(families=TWO_FAMILIES)
    rate = table.assign(error=0.1 + 0.8 * (table["loss"] / table["loss"].max())).drop(
        columns="loss"
    )
    law = bs.load_law("clip_mammut")
    short = {"draws": 50, "warmup": 50, "strict": False, "progress": False}
    fit = bs.fit(law, rate, on_failed="drop", **short)
    with pytest.raises(DataError, match="error stands on the logit line"):
        bs.predict(fit, {"C": 1e22, "family": "dense"}, held_out="new", held_out_se=0.01)


def test_from_the_shell_and_from_a_file(told_fit, tmp_path, capsys):
    path = tmp_path / "fit.nc"
    bs.save(told_fit, path)
    words = ["predict", str(path), "--at", "N=1e9,D=2e10,family=dense", "--json"]
    rows = []
    for more in ([], ["--held-out", "new"], ["--held-out", "new", "--held-out-se", "0.05"]):
        assert main([*words, *more]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        rows.append(row)
    assert [row.get("held_out") for row in rows] == [None, "new", "new"]
    sds = pd.Series([row["sd_log"] for row in rows])
    assert np.sqrt(sds**2 - sds[0] ** 2).to_numpy()[1:] == pytest.approx(
        np.sqrt(2.0) * np.array([0.02, 0.05]), rel=0.1
    )
    assert main([*words, "--held-out", "new", "--held-out-se", "7"]) == 2
