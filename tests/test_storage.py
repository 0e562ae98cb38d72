"""Saved fits: whole or not at all, and the same answers after."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import bayescale as bs
from tests.simulate import crossed_ladder

AT = {"N": 1e9, "D": 2e10, "family": "moe"}


def test_a_saved_fit_predicts_identically_in_a_new_process(small_fit, tmp_path):
    file = bs.save(small_fit, tmp_path / "fit.nc")
    here = bs.predict(small_fit, AT).table["lower_95"][0]
    code = (
        "import bayescale as bs, sys;"
        f"print(repr(float(bs.predict(bs.load(sys.argv[1]), {AT!r}).table['lower_95'][0])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == here
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


def test_crossed_and_replicated_fits_survive(crossed_fit, tmp_path):
    again = bs.load(bs.save(crossed_fit, tmp_path / "fit.nc"))
    at = {"N": 1e9, "D": 2e10, "arch": "recurrent", "corpus": "code"}
    np.testing.assert_allclose(  # to the bit with numpy 2.4; 2.0 was seen to differ in the last
        bs.predict(again, at).draws.to_numpy(),
        bs.predict(crossed_fit, at).draws.to_numpy(),
        rtol=5e-16,
    )
    assert again.notes == crossed_fit.notes
    assert bs.diagnose(again) == bs.diagnose(crossed_fit)


def test_a_fit_whose_groups_bend_alike_survives(tmp_path):
    """The bend has no column of its own, nor a label in the file."""
    runs = crossed_ladder().query("arch == 'attention' and D > 5e8")
    runs = runs.drop(columns=["family", "loss_se"])
    law = bs.load_law("power_law").with_columns(x="N").varying({"A": ["corpus", "seed"]})
    short = {"draws": 20, "warmup": 50, "chains": 2, "progress": False, "strict": False}
    fit = bs.fit(law, runs, discrepancy="bend", **short)
    assert any("bends alike" in note for note in fit.notes)
    again = bs.load(bs.save(fit, tmp_path / "fit.nc"))
    assert {"corpus", "seed", "group"} <= set(again.data["posterior"].coords)
    at = {"N": 1e9, "corpus": "code", "seed": "0"}
    np.testing.assert_allclose(
        bs.predict(again, at).draws.to_numpy(),
        bs.predict(fit, at).draws.to_numpy(),
        rtol=5e-16,
    )


def test_damage_and_strangers_are_refused(small_fit, tmp_path):
    file = bs.save(small_fit, tmp_path / "fit.nc")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(bs.BayescaleError, match=r"is damaged|not a fit"):
        bs.load(file)
    text = tmp_path / "text.nc"
    text.write_text("N,D\n1,2\n")
    with pytest.raises(bs.BayescaleError, match="not a fit"):
        bs.load(text)
    with pytest.raises(bs.BayescaleError, match="there is no file"):
        bs.load(tmp_path / "absent.nc")
    with pytest.raises(bs.BayescaleError, match="is a folder"):
        bs.load(tmp_path)


def test_a_failed_save_leaves_the_old_file(small_fit, tmp_path, monkeypatch):
    file = tmp_path / "fit.nc"
    file.write_bytes(b"old")

    def broken(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bayescale.files.os.replace", broken)
    with pytest.raises(bs.BayescaleError, match="No space left"):
        bs.save(small_fit, file)
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]
    with pytest.raises(bs.BayescaleError, match="does not exist"):
        bs.save(small_fit, tmp_path / "nowhere" / "fit.nc")
