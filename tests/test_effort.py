"""Memory and time of long runs: said before, refused where there is not enough, limited."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale import effort
from bayescale.framing import frame
from bayescale.progress import Pace, duration, reporter
from bayescale.sampling import Settings

pytestmark = pytest.mark.usefixtures("compiled_quickly")

LAW = bs.load_law("power_law")


def table(seed, rows=24):
    rng = np.random.default_rng([17, seed])
    column = next(iter(LAW.variables.values())).column
    size = np.geomspace(1e6, 1e9, rows)
    loss = (1.7 + 12.0 * size**-0.3) * np.exp(0.004 * rng.standard_normal(rows))
    return pd.DataFrame({column: size, "loss": loss})


def test_a_fit_that_memory_cannot_hold_is_refused_before_it_starts():
    with pytest.raises(bs.BayescaleError, match=r"24 rows needs about .* GB.*fewer draws or chai"):
        bs.fit(LAW, table(0), draws=10**10, progress=False)


def test_many_fits_that_memory_cannot_hold_are_refused():
    with pytest.raises(bs.BayescaleError, match=r"2 problems needs? about .* GB of memory"):
        bs.fit_many(LAW, [table(0), table(1)], warmup=10**10, progress=False)


def test_memory_grows_with_draws_and_rows():
    small, large = (frame(LAW, table(0, rows)).model for rows in (24, 240))
    one, two = Settings(draws=1000), Settings(draws=2000)
    assert effort.memory_to_fit(small, one) < effort.memory_to_fit(large, one)
    assert effort.memory_to_fit(small, one) < effort.memory_to_fit(small, two)
    kept = 8 * 4 * 1000 * 240  # log likelihoods of all draws and rows alone
    assert 2 * kept < effort.memory_to_fit(large, one) < 12 * kept


def test_free_memory_is_some():
    free = effort.free_memory()
    assert free is None or free > 1e7


def test_a_fit_stops_when_its_time_is_over():
    with pytest.raises(bs.BayescaleError, match=r"max_seconds=1e-06 went by with \d+ of 8000 tran"):
        bs.fit(LAW, table(0), progress=False, max_seconds=1e-6)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_limit_is_a_time(limit):
    for call in (lambda: bs.fit(LAW, table(0), max_seconds=limit), many_within(limit)):
        with pytest.raises(bs.BayescaleError, match="max_seconds must be positive"):
            call()


def many_within(limit):
    return lambda: bs.fit_many(LAW, [table(0)], max_seconds=limit)


def test_many_fits_keep_what_is_finished_and_name_what_is_missing(tmp_path):
    tables = [table(k) for k in range(4)]
    bs.fit_many(LAW, tables[:2], progress=False, store=tmp_path)
    with pytest.raises(bs.BayescaleError, match=r"2 of 4 problems fin.*missing: 2, 3; the others"):
        bs.fit_many(LAW, tables, progress=False, store=tmp_path, max_seconds=1e-6)
    assert len(list(tmp_path.glob("*.npz"))) == 2
    with pytest.raises(bs.BayescaleError, match=r"0 of 1 .* missing: 0; nothing is kept"):
        bs.fit_many(LAW, tables[:1], progress=False, max_seconds=1e-6)
    assert bs.fit_many(LAW, tables, progress=False, store=tmp_path).table["ok"].all()


def test_pace_says_once_how_long_it_will_take():
    pace = Pace()
    told = [pace.expected(t, 10 + 5 * t, 1010) for t in (0.0, 1.0, 2.5, 3.0)]
    assert told[:2] == [None, None]
    assert told[2] == pytest.approx(200.0)
    assert told[3] is None


def test_pace_is_silent_about_short_work():
    pace = Pace()
    assert [pace.expected(t, 100 * t, 1000) for t in (0.0, 3.0, 9.0)] == [None] * 3


@pytest.mark.parametrize(
    ("seconds", "text"), [(42, "42 seconds"), (200, "3.3 minutes"), (9000, "2.5 hours")]
)
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text


def test_much_memory_is_said_on_standard_error(capsys):
    with reporter(True, "fitting", memory=2.34e9) as report:
        assert report is not None
        report(1, 2)
    said = capsys.readouterr()
    assert "about 2.3 GB of memory" in said.err
    assert said.out == ""
