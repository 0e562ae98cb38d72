"""`doctor`: what it finds is what is there."""

from __future__ import annotations

import json
import os
from importlib.metadata import version

import pytest

import bayescale as bs
from bayescale import machine
from bayescale.cli import main


def test_finds_what_is_there(monkeypatch):
    monkeypatch.delenv("BAYESCALE_DATA", raising=False)
    found = bs.doctor()
    assert found.facts["cores"] == len(os.sched_getaffinity(0))
    assert found.facts["versions"]["jax"] == version("jax")
    assert found.facts["float64"] is True
    assert found.facts["devices"]
    assert found.plan.startswith("4 chains")
    assert f"cores: {found.facts['cores']}" in str(found)


def test_what_is_amiss_comes_with_its_remedy(monkeypatch, tmp_path):
    missing = tmp_path / "nowhere"
    monkeypatch.setenv("BAYESCALE_DATA", str(missing))
    monkeypatch.setattr(machine, "GPU_FILES", (str(tmp_path),))
    facts = {"float64": False, "backend": "cpu", "one_kernel": False, "cache": str(missing)}
    told = " ".join(machine._problems(facts))
    for part in ("float32", "cuda12", "can't join kernels", "can't be written", "no folder"):
        assert part in told
    healthy = {"float64": True, "backend": "gpu", "one_kernel": False, "cache": "none: ..."}
    monkeypatch.delenv("BAYESCALE_DATA")
    assert machine._problems(healthy) == []


def test_on_the_command_line(capsys):
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["python"].startswith("3.")
    assert told["problems"] == [] or all(isinstance(p, str) for p in told["problems"])
    assert main(["doctor"]) == 0
    assert "a fit: 4 chains" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["cores", "backend", "devices", "versions"])
def test_keys_that_programs_read(word):
    assert word in bs.doctor().facts
