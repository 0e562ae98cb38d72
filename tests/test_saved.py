"""Saved fits of every version so far open, and say what they said; damaged ones are refused.

`tests/studies/saved_fits.py` made them; files are added there, and none is ever replaced.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import bayescale as bs
from bayescale.files import seal_holds, sealed

SAVED = Path(__file__).resolve().parent / "saved"
ANSWERS = json.loads((SAVED / "answers.json").read_text())


def test_the_corpus_is_whole():
    assert set(ANSWERS) == {p.name for p in SAVED.glob("*.nc")}
    assert len(ANSWERS) >= 6
    assert sum(p.stat().st_size for p in SAVED.iterdir()) < 1_000_000


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_old_file_opens_and_answers_as_it_did(name):
    told = ANSWERS[name]
    fit = bs.load(SAVED / name)
    row = bs.predict(fit, told["at"]).table.iloc[0]
    assert len(fit.runs) == told["rows"]
    assert {k: float(row[k]) for k in told["answers"]} == pytest.approx(told["answers"], rel=1e-9)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_old_file_saved_again_answers_as_it_did(name, tmp_path):
    told = ANSWERS[name]
    fit = bs.load(bs.save(bs.load(SAVED / name), tmp_path / "fit.nc"))
    row = bs.predict(fit, told["at"]).table.iloc[0]
    assert {k: float(row[k]) for k in told["answers"]} == pytest.approx(told["answers"], rel=1e-9)


def test_files_before_seals_still_open_and_saving_seals_them(tmp_path):
    old = SAVED / "families_0.1.0_unsealed.nc"
    assert seal_holds(old) is None
    new = bs.save(bs.load(old), tmp_path / "fit.nc")
    assert seal_holds(new) is True
    assert bs.load(new).data.identical(bs.load(old).data)
    assert new.stat().st_mode & 0o777 == 0o644


def test_any_changed_byte_and_any_missing_end_is_told(tmp_path):
    whole = (SAVED / "bent_0.1.0.nc").read_bytes()
    file = tmp_path / "fit.nc"
    rng = random.Random(0)
    for _ in range(60):
        at = rng.randrange(len(whole) - 83)  # the seal's own bytes come below
        changed = bytearray(whole)
        changed[at] ^= 1 << rng.randrange(8)
        file.write_bytes(changed)
        with pytest.raises(bs.BayescaleError, match="does not match its checksum"):
            bs.load(file)
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 83, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(bs.BayescaleError, match=r"damaged|not a fit"):
            bs.load(file)
    file.write_bytes(whole + b"more")
    with pytest.raises(bs.BayescaleError, match=r"damaged|not a fit"):
        bs.load(file)


def test_contents_that_do_not_belong_together_are_refused(tmp_path):
    """As somebody would make them who seals a file anew."""
    import h5py

    def forged(change) -> Path:
        file = tmp_path / "fit.nc"
        file.write_bytes((SAVED / "families_0.1.0.nc").read_bytes()[:-83])
        with h5py.File(file, "r+") as opened:
            change(opened)
        file.write_bytes(sealed(file.read_bytes()))
        return file

    def not_finite(file):
        file["coordinates/population"][0, 0, 0] = float("nan")

    def told(**changes):
        def change(file):
            meta = json.loads(file.attrs["bayescale"])
            file.attrs["bayescale"] = json.dumps({**meta, **changes})

        return change

    for change, match in (
        (not_finite, "not finite"),
        (lambda file: file.__delitem__("sample_stats/energy"), "draws are not of the law"),
        (lambda file: file.__delitem__("posterior"), "damaged"),
        (told(settings={"dr": 3}), r"not a fit .*TypeError"),
        (told(noise="normal"), "damaged"),
        (told(table="[]"), "checksum"),
        (told(format=99), "update bayescale"),
        (told(law='name = "x"'), "lacks"),
    ):
        with pytest.raises(bs.BayescaleError, match=match):
            bs.load(forged(change))
