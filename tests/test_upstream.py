"""Public tables from their sources: downloads that are checked, converters that agree, errors."""

from __future__ import annotations

import contextlib
import functools
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
import pytest

from bayescale import dataset_files, datasets, upstream
from bayescale.dataset_cards import KNOWN
from bayescale.errors import BayescaleError

TEXT = b"x,y,color,Model Size,Training FLOP,loss\n1,2,#fff,1e9,6e19,3.0\n4,5,#000,2e9,2e21,2.4\n"
HERE = upstream.Upstream("someone/small", 40 * "a")
REAL = [name for name, known in KNOWN.items() if known.upstream is not None]
SOURCES = (upstream.CHINCHILLA, upstream.GADRE, upstream.NSLPFN, upstream.MULTI_POWER)


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A host with one file, and an empty cache; the folder that is served."""
    site = tmp_path / "site"
    (site / HERE.repository / HERE.commit).mkdir(parents=True)
    file = site / HERE.repository / HERE.commit / "t.csv"
    file.write_bytes(TEXT)
    digest = pooch.file_hash(str(file))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Quiet.asked.clear()
    monkeypatch.setattr(upstream, "HOST", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr(upstream, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(upstream, "_digests", lambda folder: [("t.csv", digest)])
    monkeypatch.delenv("BAYESCALE_DATA", raising=False)
    yield file
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_is_kept_and_not_repeated(served: Path, tmp_path: Path) -> None:
    found = upstream.fetch(HERE, None, progress=False)
    assert found["t.csv"] == tmp_path / "cache/raw/small/t.csv"
    assert found["t.csv"].read_bytes() == TEXT
    assert len(Quiet.asked) == 1
    upstream.fetch(HERE, None, progress=False)
    assert len(Quiet.asked) == 1
    found["t.csv"].write_bytes(b"spoilt")
    assert upstream.fetch(HERE, None, progress=False)["t.csv"].read_bytes() == TEXT


def test_a_bar_is_shown_where_asked(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    @contextlib.contextmanager
    def reporter(show: bool, title: str) -> Iterator[object]:
        told.append((show, title))
        yield lambda finished, total: told.append((finished, total))

    monkeypatch.setattr(upstream, "reporter", reporter)
    upstream.fetch(HERE, None, progress=True)
    assert told == [(True, "downloading 1 files of github.com/someone/small"), (1, 1)]
    upstream.fetch(HERE, None, progress=True)
    assert told[2] == (
        False,
        "downloading 0 files of github.com/someone/small",
    )  # nothing left to wait for


def test_load_downloads(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = replace(
        KNOWN["chinchilla_besiroglu"],
        upstream=HERE,
        convert=lambda found: dataset_files.read_chinchilla(
            {"svg_extracted_data.csv": found["t.csv"]}
        ),
    )
    monkeypatch.setitem(KNOWN, "chinchilla_besiroglu", known)
    runs = datasets.load("chinchilla_besiroglu", progress=False)
    assert runs.table["D"].tolist() == [1e10, 2e21 / 12e9]
    assert runs.table["split"].tolist() == ["visible", "holdout"]
    assert len(Quiet.asked) == 1


def test_what_differs_from_the_pinned_file_is_refused(served: Path, tmp_path: Path) -> None:
    served.write_bytes(TEXT + b"1,2,#fff,1e9,6e19,9.0\n")
    with pytest.raises(BayescaleError, match="is not what was pinned"):
        upstream.fetch(HERE, None, progress=False)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_no_connection_is_said_with_the_remedy(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.unlink()
    with pytest.raises(BayescaleError, match=r"HTTP status 404.*BAYESCALE_DATA.*raw/small/t\.csv"):
        upstream.fetch(HERE, None, progress=False)
    monkeypatch.setattr(upstream, "HOST", "http://127.0.0.1:9")
    with pytest.raises(BayescaleError, match="no connection"):
        upstream.fetch(HERE, None, progress=False)


def test_with_a_folder_nothing_is_downloaded(served: Path, tmp_path: Path) -> None:
    with pytest.raises(BayescaleError, match=r"has no raw/small/t\.csv; nothing is downloaded"):
        upstream.fetch(HERE, tmp_path)
    (tmp_path / "raw/small").mkdir(parents=True)
    shutil.copy(served, tmp_path / "raw/small/t.csv")
    assert upstream.fetch(HERE, tmp_path)["t.csv"].read_bytes() == TEXT
    (tmp_path / "raw/small/t.csv").write_bytes(TEXT[:-1])
    with pytest.raises(BayescaleError, match=r"isn't the file of commit aaaaaaaaaaaa"):
        upstream.fetch(HERE, tmp_path)
    assert not Quiet.asked


def test_every_upstream_file_has_a_digest() -> None:
    counts = {one.folder: len(one.digests) for one in SOURCES}
    assert counts == {"analyzing-chinchilla": 1, "scaling": 104, "nslpfn": 2, "MultiPowerLaw": 27}
    for one in SOURCES:
        assert all(len(d) == 64 and int(d, 16) >= 0 for d in one.digests.values())
        assert len(one.commit) == 40


@pytest.mark.parametrize("name", REAL)
def test_a_converter_makes_the_tidy_table(name: str, data_folder: Path) -> None:
    """Of the very files upstream: the digests are checked on the way."""
    known = KNOWN[name]
    if not (data_folder / "raw" / known.upstream.folder).is_dir():
        pytest.skip(f"BAYESCALE_DATA has no raw/{known.upstream.folder}")
    made = known.convert(upstream.fetch(known.upstream, data_folder))
    tidy = pd.read_csv(data_folder / "tidy" / known.file)
    assert {c for c in tidy if not c.startswith("error_")} <= set(made)
    keys = [c for c in ("run", "task", "shots", "step", "examples_seen", "loss") if c in made]
    ways = {"ignore_index": True, "kind": "stable"}
    made, tidy = made.sort_values(keys, **ways), tidy.sort_values(keys, **ways)
    if len(tidy) < len(made):  # the larger runs are kept apart
        made = made[made["run"].isin(tidy["run"])].reset_index(drop=True)
    assert len(made) == len(tidy)
    for column in made.columns.intersection(tidy.columns):
        if pd.api.types.is_numeric_dtype(tidy[column]):
            assert np.allclose(made[column].astype(float), tidy[column], rtol=1e-6, equal_nan=True)
        else:
            assert made[column].tolist() == tidy[column].tolist(), column


@pytest.mark.parametrize("name", REAL)
def test_raw_files_alone_are_enough(
    name: str, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (data_folder / "raw").is_dir():
        pytest.skip("BAYESCALE_DATA has no raw/")
    (tmp_path / "raw").symlink_to(data_folder / "raw")
    from_tidy = datasets.load(name)
    monkeypatch.setenv("BAYESCALE_DATA", str(tmp_path))
    runs = datasets.load(name)
    assert len(runs) == len(from_tidy) == datasets.info(name).rows
    assert np.isclose(np.log(runs.table["loss"]).sum(), np.log(from_tidy.table["loss"]).sum())
    assert runs.units == from_tidy.units
