"""Which rows are fitted, what is refused, what is warned of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescale.catalog import load_law
from bayescale.errors import BayescaleError, DataError
from bayescale.law import Law
from bayescale.rows import Selection, select_rows
from bayescale.runs import Runs, read_runs


@pytest.fixture(scope="module")
def law() -> Law:
    return load_law("chinchilla")


def grid(**columns: object) -> pd.DataFrame:
    n, d = (a.ravel() for a in np.meshgrid([1e6, 1e7, 1e8], [1e8, 1e9, 1e10]))
    loss = 1.7 + 400 / n**0.34 + 410 / d**0.28
    frame = pd.DataFrame({"run": [f"r{i}" for i in range(9)], "N": n, "D": d, "loss": loss})
    return frame.assign(**columns)


def ladder() -> pd.DataFrame:
    """Three checkpoints of each run of the grid, the last one final."""
    parts = [
        grid().assign(step=step, D=grid()["D"] * step / 30, loss=grid()["loss"] + 1 / step)
        for step in (10.0, 20.0, 30.0)
    ]
    return pd.concat(parts, ignore_index=True).assign(is_final=lambda t: (t.step == 30).astype(int))


def said(selection: Selection, text: str) -> bool:
    return any(text in note for note in selection.notes)


def test_all_rows_of_plain_runs_are_kept(law: Law) -> None:
    chosen = select_rows(read_runs(grid()), law)
    assert chosen.table.index.tolist() == list(range(1, 10))
    assert chosen.notes == ()


@pytest.mark.parametrize("without", [[], ["is_final"], ["is_final", "step"]])
def test_final_checkpoints(law: Law, without: list[str]) -> None:
    chosen = select_rows(read_runs(ladder().drop(columns=without)), law)
    assert chosen.table.index.tolist() == list(range(19, 28))
    assert said(chosen, "18 earlier checkpoints of 9 runs")


def test_is_final_wins_over_step(law: Law) -> None:
    table = ladder().assign(is_final=lambda t: (t.step == 20).astype(int))
    chosen = select_rows(read_runs(table), law)
    assert set(chosen.table["step"]) == {20.0}


def test_evaluation_sets_of_a_run_are_kept(law: Law) -> None:
    double = pd.concat(
        [ladder().assign(set=name, loss=ladder()["loss"] * f) for name, f in (("a", 1), ("b", 1.1))]
    )
    grouped = select_rows(read_runs(double), law, ("set",))
    assert len(grouped.table) == 18
    assert set(grouped.table["step"]) == {30.0}
    named = select_rows(read_runs(double.rename(columns={"set": "evaluation"})), law)
    assert len(named.table) == 18
    with pytest.raises(DataError, match=r"2 rows at one step.*column 'evaluation'"):
        select_rows(read_runs(double), law)


def test_all_checkpoints_follow_one_another(law: Law) -> None:
    shuffled = ladder().sample(frac=1.0, random_state=2)
    chosen = select_rows(read_runs(shuffled), law, checkpoints="all")
    assert len(chosen.table) == 27
    assert said(chosen, "all 27 checkpoints of 9 runs")
    runs = chosen.table["run"].to_numpy().reshape(9, 3)
    assert np.all(runs == runs[:, :1]) and len(set(runs[:, 0])) == 9
    assert np.all(np.diff(chosen.table["D"].to_numpy().reshape(9, 3), axis=1) > 0)
    with pytest.raises(DataError, match=r"needs a column 'run'"):
        select_rows(read_runs(ladder().drop(columns="run")), law, checkpoints="all")
    twice = pd.concat([ladder(), ladder().iloc[[4]].assign(loss=3.0)])
    with pytest.raises(DataError, match=r"rows? 5, 28 are checkpoints of one run at one D"):
        select_rows(read_runs(twice), law, checkpoints="all")


def test_other_checkpoint_options_are_refused(law: Law) -> None:
    runs = read_runs(grid())
    with pytest.raises(BayescaleError, match="'final' or 'all', not 'last'"):
        select_rows(runs, law, checkpoints="last")
    with pytest.raises(BayescaleError, match="'error' or 'drop'"):
        select_rows(runs, law, on_failed="ignore")


def test_failed_runs_are_refused_or_dropped_whole(law: Law) -> None:
    table = ladder().assign(status="ok")
    table.loc[(table.run == "r4") & (table.step == 30), ["status", "loss"]] = ["diverged", np.nan]
    runs = read_runs(table)
    with pytest.raises(DataError, match=r"run r4 failed \(status diverged\).*on_failed='drop'"):
        select_rows(runs, law)
    chosen = select_rows(runs, law, on_failed="drop")
    assert "r4" not in set(chosen.table["run"])  # not even its earlier checkpoints
    assert len(chosen.table) == 8
    assert said(chosen, "run r4 failed")
    assert len(select_rows(runs.where("run != 'r4'"), law).table) == 8


def test_failed_rows_without_run_ids(law: Law) -> None:
    runs = read_runs(grid(status=["ok"] * 8 + ["failed"]).drop(columns="run"))
    with pytest.raises(DataError, match="row 9 failed"):
        select_rows(runs, law)
    assert len(select_rows(runs, law, on_failed="drop").table) == 8


def test_shared_run_ids_are_refused(law: Law) -> None:
    with pytest.raises(DataError, match="run '0' has more than one N"):
        select_rows(read_runs(grid(run=["0"] * 9)), law)
    reused = pd.concat([grid(seed=0), grid(seed=1, loss=grid()["loss"] + 0.01)])
    with pytest.raises(DataError, match="more than one seed"):
        select_rows(read_runs(reused), law)


def test_a_missing_run_id_is_a_run_of_its_own(law: Law) -> None:
    chosen = select_rows(read_runs(grid(run=["a", None, None, *"bcdefg"])), law)
    assert chosen.table["run"].tolist()[:3] == ["a", "row 2", "row 3"]


def test_groups_need_labels_and_become_text(law: Law) -> None:
    context = [2048.0] * 4 + [8192.0] * 5
    chosen = select_rows(read_runs(grid(context=context)), law, ("context",))
    assert set(chosen.table["context"]) == {"2048", "8192"}
    with pytest.raises(DataError, match="rows 1, 2: family has no label"):
        select_rows(read_runs(grid(family=[None, ""] + ["x"] * 7)), law, ("family",))
    with pytest.raises(DataError, match=r"no column famly to group by; did you mean 'family'"):
        select_rows(read_runs(grid(family="x")), law, ("famly",))


def test_notes_on_groups(law: Law) -> None:
    chosen = select_rows(read_runs(grid(family=["x"] * 8 + ["y"])), law, ("family",))
    assert said(chosen, "family y has one row")
    one = select_rows(read_runs(grid(family="x")), law, ("family",))
    assert said(one, "family has one level (x)")


def test_constant_and_two_valued_variables(law: Law) -> None:
    with pytest.raises(DataError, match="constant N: alpha can't be identified"):
        select_rows(read_runs(grid(N=1e7 * (1 + 1e-6 * np.arange(9)))), law)
    with pytest.raises(DataError, match="constant D: beta can't be identified"):
        select_rows(read_runs(grid(D=1e9)), law)
    chosen = select_rows(read_runs(grid()).where("N < 5e7"), law)
    assert said(chosen, "N takes 2 values: alpha")


def test_one_row_is_refused_and_few_are_warned(law: Law) -> None:
    with pytest.raises(DataError, match=r"1 row left to fit.*5 parameters"):
        select_rows(read_runs(grid().iloc[:1]), law)
    assert said(select_rows(read_runs(grid().iloc[[0, 4, 5, 8]]), law), "4 rows for 5 parameters")


@settings(max_examples=25, deadline=None)
@given(st.floats(0.0, 0.6), st.integers(0, 1000))
def test_collinearity_is_warned_with_the_number(scatter: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    log_n = np.linspace(14, 20, 12)
    log_d = 3 + log_n + scatter * rng.normal(size=12)
    table = pd.DataFrame({"N": np.exp(log_n), "D": np.exp(log_d), "loss": 3 + rng.random(12)})
    r = np.corrcoef(log_n, log_d)[0, 1]
    chosen = select_rows(read_runs(table), load_law("chinchilla"))
    assert said(chosen, f"(correlation {r:.3f})") == (abs(r) > 0.95)


def test_unlabelled_repeats_are_warned_of(law: Law) -> None:
    repeated = pd.concat([grid(), grid().iloc[:2].assign(loss=3.9)]).drop(columns="run")
    assert said(select_rows(read_runs(repeated), law), "rows 1, 2, 10, 11 agree in N, D")
    seeds = repeated.assign(seed=[0] * 9 + [1] * 2)
    assert not said(select_rows(read_runs(seeds), law), "agree in")


def test_ties_are_noticed_with_their_step(law: Law) -> None:
    table = pd.concat([grid(), grid(), grid()], ignore_index=True)
    table = table.assign(run=[f"q{i}" for i in range(27)], loss=table["loss"].round(0))
    assert said(select_rows(read_runs(table), law), "rounded or digitised")


def test_missing_and_bad_law_columns_at_the_last_moment(law: Law) -> None:
    with pytest.raises(DataError, match=r"no column D .*nearest is 'steps_d'|no column D"):
        select_rows(read_runs(grid().drop(columns="D")), law)
    raw = Runs(grid(D=["1e8", "x"] + [1e9] * 7).set_index(pd.RangeIndex(1, 10)))
    with pytest.raises(DataError, match="row 2: D is 'x'"):
        select_rows(raw, law)


def test_nothing_is_sorted(law: Law) -> None:
    shuffled = grid().sample(frac=1, random_state=3)
    chosen = select_rows(read_runs(shuffled), law)
    assert chosen.table["run"].tolist() == shuffled["run"].tolist()


def test_a_run_listed_twice_counts_once(law: Law) -> None:
    """Copies have no scatter between them, and would say that repeated runs don't either."""
    table = pd.concat([grid(), grid().iloc[[2, 5]].assign(run=["again", "and again"])])
    chosen = select_rows(read_runs(table), law)
    assert chosen.table.index.tolist() == list(range(1, 10))
    assert said(chosen, "rows 3, 6, 10, 11 agree in N, D, loss to the last digit: taken as copies")


@pytest.mark.parametrize(
    "change",
    [
        {"loss": lambda t: t["loss"].round(3)},  # two runs may agree in so few digits
        {"loss": lambda t: t["loss"] * (1 + 1e-7 * np.arange(len(t)))},
        {"evaluation": lambda t: [f"set {i}" for i in range(len(t))]},
    ],
)
def test_repeated_runs_are_no_copies(law: Law, change: dict) -> None:
    table = pd.concat([grid(), grid().iloc[[2]].assign(run="again")]).assign(**change)
    assert len(select_rows(read_runs(table), law).table) == 10
