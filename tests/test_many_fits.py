"""Many tables through one program: the same posteriors as one by one, resumable."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale import lanes, many_fits
from bayescale.framing import frame

LAW = bs.load_law("power_law")


def table(seed, rows=24, sd=0.004):
    rng = np.random.default_rng([17, seed])
    column = next(iter(LAW.variables.values())).column
    size = np.geomspace(1e6, 1e9, rows)
    loss = (1.7 + 12.0 * size**-0.3) * np.exp(sd * rng.standard_normal(rows))
    return pd.DataFrame({column: size, "loss": loss})


TABLES = [table(0), table(1, rows=19), table(2), table(3, sd=0.02)]


@pytest.fixture(scope="module")
def many():
    return bs.fit_many(LAW, TABLES, seed=4, progress=False)


def test_each_converges_and_says_so(many):
    told = many.table
    assert len(many) == len(told) == 4
    assert told["ok"].all()
    assert told["n_rows"].tolist() == [24, 19, 24, 24]
    for index in (1, 3):
        seen = bs.diagnose(many[index])
        assert seen.ok
        assert seen.max_rhat == pytest.approx(told["max_rhat"][index], abs=2e-3)
        assert seen.min_ess_bulk == pytest.approx(told["min_ess_bulk"][index], rel=0.05)


@pytest.mark.parametrize("index", [1, 3])
def test_draws_are_those_of_a_fit_alone(many, index):
    told = many.table
    seed, draws = int(told["seed"][index]), int(told["draws"][index])
    alone = bs.fit(
        LAW, TABLES[index], seed=seed, draws=draws, warmup=200, progress=False, strict=False
    )
    ours, theirs = (f.data["posterior"]["alpha"].to_numpy() for f in (many[index], alone))
    # the same random numbers: only the order of a few sums differs
    np.testing.assert_allclose(ours.mean(), theirs.mean(), atol=0.1 * theirs.std())
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.1)


def test_problems_differ_by_data_and_seed(many):
    alpha = [fit.data["posterior"]["alpha"].to_numpy() for fit in many]
    assert len({round(float(a.mean()), 6) for a in alpha}) == 4
    assert alpha[3].std() > 1.5 * alpha[0].std()
    assert many.table["seed"].nunique() == 4


def test_a_fit_of_many_answers_like_any_other(many):
    column = next(iter(LAW.variables.values())).column
    prediction = bs.predict(many[2], {column: 1e11})
    truth = 1.7 + 12.0 * 1e11**-0.3
    row = prediction.table.iloc[0]
    assert row["lower_95"] < truth < row["upper_95"]


def test_groups_and_varied_shapes():
    frames = []
    for k, rows in enumerate((12, 16, 12)):
        parts = [table(10 * k + g, rows).assign(family=f"f{g}") for g in range(3)]
        frames.append(pd.concat(parts, ignore_index=True))
    many = bs.fit_many(LAW, frames, progress=False, max_draws=600)
    assert [fit.groups["family"] for fit in many] == [["f0", "f1", "f2"]] * 3
    means = [float(fit.data["posterior"]["E_by_family"].mean()) for fit in many]
    assert means == pytest.approx([1.7] * 3, abs=0.1)


def test_small_problems_do_not_pay_for_large_ones():
    sizes = [24, 2000, 300, 20, 1500, 400]
    framed = [frame(LAW, table(k, rows=rows)) for k, rows in enumerate(sizes)]
    batches = many_fits._batches(framed)
    assert sorted(i for members in batches for i in members) == list(range(len(sizes)))
    for members in batches:
        largest = max(sizes[i] for i in members)
        assert all(2 * sizes[i] >= largest or largest <= many_fits.SMALL for i in members)


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    first = bs.fit_many(LAW, TABLES[:2], progress=False, store=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    assert all(f.suffix == ".npz" for f in files)

    def refuse(*_):
        raise AssertionError("sampled again")

    with monkeypatch.context() as patch:
        patch.setattr(many_fits, "sample_many", refuse)
        again = bs.fit_many(LAW, TABLES[:2], progress=False, store=tmp_path)
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.data["posterior"]["E"], b.data["posterior"]["E"])
    pd.testing.assert_frame_equal(first.table, again.table)

    files[0].write_bytes(files[0].read_bytes()[:-500])  # damaged: made anew
    changed = [TABLES[0], TABLES[1] * 1.001]
    mended = bs.fit_many(LAW, changed, progress=False, store=tmp_path)
    assert mended.table["ok"].all()
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(("cores", "patience"), [(1, 99), (2, 99), (2, 5)])
def test_a_store_that_is_half_filled_leads_to_the_same_bits(cores, patience, tmp_path, monkeypatch):
    """Of sixteen lanes the last ones round otherwise: a vector of numbers ends there."""
    monkeypatch.setattr(lanes, "cores", lambda: cores)
    monkeypatch.setattr(lanes, "PATIENCE", patience)  # slow problems go elsewhere
    monkeypatch.setattr(lanes, "MOST_SEATS", 4)
    count = 4 * cores if patience > 5 else 11  # more than there are seats
    tables = [*TABLES, *(table(k) for k in range(4, count))]
    options = {"progress": False, "store": tmp_path, "max_draws": 200}
    whole = bs.fit_many(LAW, tables, **options)
    files = sorted(tmp_path.iterdir())
    for some in (files[::2], files[1::2], files[:1]):
        for file in some:
            file.unlink()
        again = bs.fit_many(LAW, tables, **options)
        for one, other in zip(whole, again, strict=True):
            assert np.array_equal(one.position.population, other.position.population)


def test_an_interruption_keeps_what_is_finished(tmp_path, monkeypatch):
    whole = many_fits.Shelf.put
    calls = []

    def put(self, name, drawn):
        whole(self, name, drawn)
        calls.append(name)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(many_fits.Shelf, "put", put)
        with pytest.raises(KeyboardInterrupt):
            bs.fit_many(LAW, TABLES, progress=False, store=tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) >= 2
    assert not list(tmp_path.glob("*.part"))
    assert bs.fit_many(LAW, TABLES, progress=False, store=tmp_path).table["ok"].all()


def test_faults_name_the_problem(tmp_path):
    bad = TABLES[1].assign(loss=-1.0)
    with pytest.raises(bs.DataError, match=r"problem 1: .*"):
        bs.fit_many(LAW, [TABLES[0], bad], progress=False)
    with pytest.raises(bs.BayescaleError, match="chains must be at least 2"):
        bs.fit_many(LAW, TABLES, chains=1)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(bs.BayescaleError, match="can't hold finished problems"):
        bs.fit_many(LAW, TABLES, store=blocked)


def test_no_problems():
    assert len(bs.fit_many(LAW, [], progress=False)) == 0
