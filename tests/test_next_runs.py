"""Which run to buy next, on hand-made posteriors with known answers; and a first ladder."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale import goals
from bayescale.catalog import load_law
from bayescale.choosing_runs import next_runs_with
from bayescale.cli.program import main
from bayescale.costs import MixtureOfExperts
from bayescale.errors import DataError
from bayescale.knowing import value_of_knowing
from bayescale.ladder_plans import plan_ladder
from bayescale.law import Law
from bayescale.runs import Runs
from tests.test_information import posterior

pytestmark = pytest.mark.usefixtures("compiled_quickly")

LAW = load_law("chinchilla")
SD = 0.005


@dataclass(frozen=True)
class FakeFit:
    law: Law
    runs: Runs
    groups: dict
    draws: dict


def parameters(fit, targets):
    families = [fit.draws[name] for name in pd.DataFrame(targets)["family"]]
    return {k: np.stack([f[k] for f in families], axis=1) for k in fit.law.parameters}


def losses(fit, targets, kind="mean", seed=0, new_groups="error"):
    targets = pd.DataFrame(targets)
    columns = {c: targets[c].to_numpy(float) for c in ("N", "D")}
    mean = fit.law.mean(parameters(fit, targets), columns, np)
    if kind == "mean":
        return mean
    return mean * np.exp(SD * np.random.default_rng(seed).standard_normal(mean.shape))


DRAWS = goals.Draws(parameters, losses)


def fit(**changes):
    """Two families whose draws are apart; `changes` are factors on the second's parameters."""
    names = ("E", "A", "B", "alpha", "beta")
    draws = {
        family: dict(zip(names, posterior(seed, 3000)[:, :, 0], strict=True))
        for seed, family in enumerate(("dense", "moe"))
    }
    draws["moe"] |= {k: draws["moe"][k] * v for k, v in changes.items()}
    table = pd.DataFrame({"N": 1e8, "D": 1e10, "C": 6e18, "family": ["dense", "moe"]})
    return FakeFit(LAW, Runs(table), {"family": ["dense", "moe"]}, draws)


POOL = pd.DataFrame(
    {
        "N": [1e8, 1e10, 1e9, 1e9, 1e8],
        "D": [1e12, 2e9, 2e10, 2e10, 1e12],
        "family": ["dense", "dense", "dense", "moe", "moe"],
    }
)
SPLIT = goals.Allocate(5.76e22, at={"family": "dense"})


def choose(a_fit=None, pool=POOL, goal=SPLIT, **options):
    return next_runs_with(DRAWS, a_fit or fit(), pool, goal=goal, **options)


def test_the_table_has_what_it_promises():
    table = choose(budget=1e22)
    assert list(table)[:5] == ["candidate", "value", "cost", "net", "rank"]
    assert table["rank"].tolist() == [1, 2, 3, 4, 5]
    assert table["net"].is_monotonic_decreasing
    own = POOL.loc[table["candidate"]]
    assert table["cost"].to_numpy() == pytest.approx((6 * own["N"] * own["D"]).to_numpy())
    assert table["net"].to_numpy() == pytest.approx(
        (table["value"] * table.attrs["worth"] - table["cost"]).to_numpy()
    )
    assert (table["value"] <= table.attrs["perfect"]).all()
    assert not table.attrs["stop"]
    assert table.attrs["chosen"] == [table["candidate"][0]]


def test_runs_of_a_family_that_is_not_decided_about_are_worthless():
    table = choose().set_index("candidate")
    assert table.loc[[3, 4], "value"].max() < 0.03 * table["value"].max()
    assert table.loc[[0, 1], "value"].min() > 5 * table.loc[[3, 4], "value"].max()


def test_worth_is_the_compute_that_gains_as_much():
    """At a budget's optimum, d loss / d log C = -(ab/(a+b)) times what more compute removes."""
    table = choose(goal=goals.Allocate(1e24, at={"family": "dense"}))
    p = {k: v[:, None] for k, v in fit().draws["dense"].items()}

    def least(C):
        grid = np.geomspace(1e9, 1e13, 2001)[None]
        value = p["E"] + p["A"] * grid ** -p["alpha"] + p["B"] * (C / 6 / grid) ** -p["beta"]
        return value.mean(axis=0).min()

    slope = (least(1.01e24) - least(0.99e24)) / 0.02e24
    assert table.attrs["worth"] == pytest.approx(-1 / slope, rel=0.02)


def test_it_stops_where_nothing_is_worth_its_cost():
    table = choose(worth=1.0)
    assert table.attrs["stop"]
    assert table.attrs["reason"] == "no candidate is worth its cost"
    assert table.attrs["chosen"] == []
    poor = choose(budget=1e10)
    assert poor.attrs["stop"]
    assert "costs 1e+10 or less" in poor.attrs["reason"]
    sure = choose(fit(A=1.5, B=1.5), goal=goals.Choose("family", {"C": 1e22}))
    assert sure.attrs["stop"]
    assert "known with probability" in sure.attrs["reason"]


def test_a_budget_bounds_what_is_chosen_and_ranked_first():
    table = choose(budget=2e20, batch=5, worth=1e26)
    taken = table[table["chosen"]]
    assert 0 < taken["cost"].sum() <= 2e20
    assert taken["affordable"].all()
    assert taken["rank"].tolist() == list(range(1, len(taken) + 1))


def test_a_batch_is_worth_more_than_its_runs_and_less_than_their_sum():
    twice = pd.concat([POOL.iloc[[0]], POOL.iloc[[0]], POOL.iloc[[1]]], ignore_index=True)
    table = choose(pool=twice, batch=2, worth=1e27)
    single = table.set_index("candidate")["value"]
    together = table.attrs["chosen_value"]
    assert together > single.max()
    assert together < 1.05 * single[table.attrs["chosen"]].sum()
    assert 2 in table.attrs["chosen"]  # the same run again says less than the other one


def test_cost_may_be_a_column_or_an_object():
    priced = POOL.assign(hours=[1.0, 50.0, 2.0, 1.0, 1.0])
    by_column = choose(pool=priced, cost="hours", worth=1e6).set_index("candidate")
    assert by_column.loc[1, "cost"] == 50.0
    experts = choose(cost=MixtureOfExperts(0.5)).set_index("candidate")
    assert experts.loc[0, "cost"] == pytest.approx(3e20)
    rate = choose(rule="rate")
    per_cost = (rate["value"] / rate["cost"]).to_numpy()
    assert per_cost[0] == per_cost.max()


def test_choices_between_recipes_value_runs_of_both():
    table = choose(goal={"by": "family", "C": 5.76e22}).set_index("candidate")
    assert table["value"].min() > 0
    knowing = value_of_knowing(fit(), {"by": "family", "C": 5.76e22}, draws=DRAWS)
    assert knowing["what"].iloc[0] == "everything"
    assert {"alpha[dense]", "alpha[moe]"} <= set(knowing["what"])
    assert knowing["share"].max() == pytest.approx(1.0)
    assert knowing["value"].iloc[0] == pytest.approx(table.attrs["perfect"], rel=1e-9)


def test_precision_agrees_with_its_closed_form():
    target = pd.DataFrame({"N": [1e11], "D": [2e12], "family": ["dense"]})
    free = choose(goal=goals.Precision(target)).set_index("candidate")["value"]
    closed = choose(goal=goals.VOptimal(target)).set_index("candidate")["value"]
    assert free[:3].to_numpy() == pytest.approx(closed[:3].to_numpy(), rel=0.25)
    assert closed[3:].max() < 0.02 * closed.max()
    far = choose(goal=None)
    assert "10 times the compute" in far.attrs["goal"]


def test_information_and_volume_rank_alike_and_gain_less_from_repeats():
    pool = pd.concat([POOL.iloc[:3]] * 2, ignore_index=True)
    for criterion in ("d-optimal", "information"):
        table = choose(pool=pool, goal=criterion, batch=3, worth=1e25)
        assert table["value"].min() > 0
        assert table.attrs["chosen_value"] < 3 * table["value"].max()
        assert table.attrs["perfect"] >= 0.95 * table.attrs["chosen_value"]


def test_disagreement_between_laws_counts():
    """Two laws sure of themselves that differ: only together is there something to learn."""
    one = fit()
    still = {
        family: {k: np.full_like(v, np.median(v)) for k, v in d.items()}
        for family, d in one.draws.items()
    }
    a = FakeFit(one.law, one.runs, one.groups, still)
    moved = {f: {**d, "alpha": d["alpha"] * 1.3, "A": d["A"] * 9} for f, d in still.items()}
    b = FakeFit(one.law, one.runs, one.groups, moved)
    alone = choose(a)
    assert alone["value"].max() < 1e-9
    both = choose({"a": a, "b": b})
    assert both["value"].max() > 0.8 * both.attrs["perfect"] > 1e-5
    nearly = choose({"a": a, "b": b}, weights={"a": 0.99, "b": 0.01})
    assert nearly["value"].max() < both["value"].max()


def test_a_partial_run_is_worth_less_the_worse_it_foretells():
    pool = pd.concat([POOL.iloc[[0]]] * 3, ignore_index=True).assign(extra_sd=[0.0, 0.02, 1.0])
    value = choose(pool=pool).set_index("candidate")["value"]
    assert value[0] > value[1] > value[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"goal": "win"}, "goal 'win' is not known"),
        ({"goal": 7}, "goal 7 is no goal"),
        ({"batch": 0}, "batch is 0"),
        ({"budget": -1.0}, "budget is -1.0"),
        ({"worth": 0.0}, "worth is 0.0"),
        ({"rule": "luck"}, "rule is 'net' or 'rate'"),
        ({"cost": "dollars"}, "no column 'dollars'"),
        ({"pool": POOL.iloc[:0]}, "no candidate to choose from"),
        ({"pool": POOL.assign(C=-1.0)}, "candidate 1: its cost is -1"),
        ({"pool": POOL.drop(columns="D")}, "candidates have no D"),
        ({"goal": goals.Allocate(1e22)}, "several groups; say which"),
        ({"weights": {"other": 1.0}}, "no weight of chinchilla"),
    ],
)
def test_faults_are_named(options, message):
    with pytest.raises(DataError, match=message):
        choose(**options)


def test_a_real_fit_by_python_and_by_the_command_line(small_fit, tmp_path, capsys):
    pool = POOL.assign(N=POOL["N"] / 10, D=POOL["D"] / 100)
    pool.to_csv(tmp_path / "pool.csv", index=False)
    bs.save(small_fit, tmp_path / "fit.nc")
    said = main(
        [
            *("next", str(tmp_path / "fit.nc"), "--candidates", str(tmp_path / "pool.csv")),
            *("--budget", "1e21", "--at", "C=1e20,family=dense", "--json"),
        ]
    )
    document = json.loads(capsys.readouterr().out)
    table = bs.next_runs(small_fit, pool, budget=1e21, goal={"C": 1e20, "family": "dense"})
    assert said == 0
    assert {"rows", "stop"} <= set(document)
    assert document["stop"] is False
    assert [set(row) for row in document["rows"]] == [
        {"candidate", "value", "cost", "net", "rank"}
    ] * 5
    assert [row["value"] for row in document["rows"]] == pytest.approx(table["value"].tolist())
    for words in (["--goal", "compare", "--by", "family", "--at", "C=1e19"], []):
        base = ["next", str(tmp_path / "fit.nc"), "--candidates", str(tmp_path / "pool.csv")]
        assert main([*base, *words]) == 0
        assert "value in" in capsys.readouterr().out
    assert main([*base, "--goal", "allocate"]) == 2
    assert "--at C=1e24" in capsys.readouterr().err


def grid():
    N, D = (g.ravel() for g in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e8, 1e11, 5)))
    return pd.DataFrame({"N": N, "D": D})


def test_a_first_ladder_spans_what_it_will_be_asked():
    plan = plan_ladder(LAW, grid(), budget=1e20, goal={"C": 1e23}, most=12)
    assert plan["spent"].max() <= 1e20
    assert plan["expected_loss"].is_monotonic_decreasing
    assert plan["expected_loss"].iloc[-1] < 0.3 * plan.attrs["before"]
    assert plan["candidate"].value_counts().max() <= 2
    assert plan["N"].max() / plan["N"].min() >= 9  # one size tells nothing of alpha
    assert plan["D"].max() / plan["D"].min() >= 9
    ratio = np.corrcoef(np.log(plan["N"]), np.log(plan["D"]))[0, 1]
    assert abs(ratio) < 0.8  # nor does one line of tokens for each parameter


def test_a_ladder_beats_runs_of_one_ratio():
    """At the same number of runs, the plan leaves less at stake than twenty tokens a parameter."""
    sizes = np.geomspace(1e7, 1e9, 10)
    line = pd.DataFrame({"N": sizes, "D": 20 * sizes})
    fixed = plan_ladder(LAW, line, budget=1e24, goal={"C": 1e23}, most=10, repeats=1)
    ours = plan_ladder(LAW, grid(), budget=1e24, goal={"C": 1e23}, most=10, repeats=1)
    assert len(fixed) == 10
    assert ours["expected_loss"].iloc[-1] < 0.5 * fixed["expected_loss"].iloc[-1]


def test_a_ladder_for_a_prediction_and_its_faults():
    target = pd.DataFrame({"N": [1e10], "D": [2e11]})
    plan = plan_ladder(LAW, grid(), budget=1e20, goal=target, most=6)
    assert plan["value"].min() > 0
    small = plan_ladder(LAW, grid(), budget=1e20, most=6, noise=0.1)
    assert small["expected_loss"].iloc[-1] > 0
    with pytest.raises(DataError, match="pays for no candidate"):
        plan_ladder(LAW, grid(), budget=1.0)
    with pytest.raises(DataError, match="have no D"):
        plan_ladder(LAW, grid().drop(columns="D"), budget=1e20)
    with pytest.raises(DataError, match="candidate 1: N, D must be positive"):
        plan_ladder(LAW, grid().assign(N=-1.0), budget=1e20)
