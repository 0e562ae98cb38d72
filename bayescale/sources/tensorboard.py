"""TensorBoard: scalars and hyper-parameters of event files, read without TensorFlow.

An event file is a row of records, ``length, its checksum, an Event message, its checksum``. Field
numbers are those of TensorFlow's event.proto, summary.proto, tensor.proto and TensorBoard's
hparams plugin_data.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bayescale.errors import DataError
from bayescale.sources import lightning
from bayescale.sources.found import Found, below, by_step, table_of
from bayescale.sources.wire import (
    BYTES,
    DOUBLE,
    FLOAT,
    VARINT,
    Damaged,
    fields,
    floats,
    masked_crc32c,
    signed,
)

MARK = ".tfevents."
_LARGE = 1 << 16  # bytes of a record from which on it is an image, a graph or a histogram
_BATCH = 20_000  # records whose checksums are computed together
_HPARAMS = "_hparams_/session_start_info"
_DTYPES = {1: "<f4", 2: "<f8"}


def is_file(path: Path) -> bool:
    """Whether a file is an event file, by its name."""
    return MARK in path.name


def holds(folder: Path) -> bool:
    """Whether an event file lies below a folder."""
    return next(below(folder, lambda n: MARK in n), None) is not None


def read(path: Path) -> Found:
    """Read an event file, or every one below a folder; a folder with event files is one run.

    Raises
    ------
    DataError
        A checksum is wrong, a record can't be what it says, or there is no scalar.
    """
    files = [path] if path.is_file() else list(below(path, lambda n: MARK in n))
    logged: dict[str, list[dict[str, Any]]] = {}
    fixed: dict[str, dict[str, Any]] = {}
    cut: list[str] = []
    for file in files:
        run = _run(file, path)
        settings = fixed.setdefault(run, dict(lightning.settings(file.parent)))
        for step, tag, value in events(file, cut):
            if step is None:
                settings[tag] = value
            else:
                logged.setdefault(run, []).append({"step": float(step), tag: value})
    _to_parents(logged, fixed, path.absolute().name)
    rows = [
        {"run": run, **fixed[run], **row}
        for run, entries in logged.items()
        for row in sorted(by_step(entries), key=lambda row: row["step"])
    ]
    notes = tuple(f"{name} ends within a record: it was read up to there" for name in cut)
    return Found(table_of(rows, path.name), path.name, True, notes)


def _to_parents(
    logged: dict[str, list[dict[str, Any]]], fixed: dict[str, dict[str, Any]], top: str
) -> None:
    """Give settings to the run above them: `add_hparams` writes them into a folder of their own."""
    for run in [r for r, told in fixed.items() if told]:
        above = run.rpartition("/")[0] or top
        if above != run and above in logged and not fixed.get(above):
            fixed[above] = fixed.pop(run)
            logged.pop(run, None)


def events(file: Path, cut: list[str]) -> Iterator[tuple[int | None, str, Any]]:
    """Step, tag and value of every scalar in order; a setting has no step.

    The name of a file that ends within a record, as one still written does, is put into `cut`.
    """
    place = 0
    try:
        for at, message in _records(file, cut):
            place = at
            yield from _scalars(message)
    except (Damaged, UnicodeDecodeError) as error:
        raise DataError(
            f"{file.name} is damaged at byte {place}: {error}; restore it, or leave it out"
        ) from None
    except OSError as error:
        raise DataError(f"{file} can't be read: {error.strerror or error}") from error


def _records(file: Path, cut: list[str]) -> Iterator[tuple[int, bytes]]:
    """Place and content of records small enough to be scalars, checksums compared."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        at, batch = 0, []
        while at < size:
            head = stream.read(12)
            if len(head) < 12:
                cut.append(file.name)
                break
            (length,) = struct.unpack("<Q", head[:8])
            if int(masked_crc32c([head[:8]])[0]) != struct.unpack("<I", head[8:])[0]:
                raise Damaged(f"the checksum of a record's length is wrong (byte {at})")
            if at + 16 + length > size:
                cut.append(file.name)
                break
            if length > _LARGE:
                stream.seek(length + 4, 1)
            else:
                batch.append((at, stream.read(length), stream.read(4)))
            at += 16 + length
            if len(batch) == _BATCH:
                yield from _checked(batch)
                batch = []
    yield from _checked(batch)


def _checked(batch: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes]]:
    if not batch:
        return []
    told = np.frombuffer(b"".join(end for _, _, end in batch), "<u4")
    wrong = np.flatnonzero(masked_crc32c([content for _, content, _ in batch]) != told)
    if len(wrong):
        raise Damaged(f"the checksum of a record is wrong (byte {batch[wrong[0]][0]})")
    return [(at, content) for at, content, _ in batch]


def _scalars(event: bytes) -> Iterator[tuple[int | None, str, Any]]:
    step, summaries = 0, []
    for number, kind, value in fields(event):
        if number == 2 and kind == VARINT:
            step = signed(_whole(value))
        elif number == 5 and kind == BYTES:
            summaries.append(_bytes(value))
    for summary in summaries:
        for number, kind, value in fields(summary):
            if number == 1 and kind == BYTES:
                yield from _value(step, _bytes(value))


def _value(step: int, message: bytes) -> Iterator[tuple[int | None, str, Any]]:
    tag, scalar, settings = "", None, b""
    for number, kind, value in fields(message):
        if number == 1 and kind == BYTES:
            tag = _bytes(value).decode("utf-8")
        elif number == 2 and kind == FLOAT:
            scalar = floats(kind, _bytes(value))
        elif number == 8 and kind == BYTES:
            scalar = _tensor(_bytes(value))
        elif number == 9 and kind == BYTES:
            settings = _bytes(value)
    if tag == _HPARAMS:
        for name, told in _hparams(settings):
            yield None, name, told
    elif scalar is not None and tag:
        yield step, tag, scalar


def _tensor(message: bytes) -> float | None:
    """The one number of a tensor, None where it holds something else."""
    dtype, content, found = 0, b"", []
    for number, kind, value in fields(message):
        if number == 1 and kind == VARINT:
            dtype = _whole(value)
        elif number == 4 and kind == BYTES:
            content = _bytes(value)
        elif number in (5, 6) and kind == BYTES:  # packed
            form = _DTYPES[number - 4]
            packed = _bytes(value)
            if len(packed) % int(form[-1]) == 0:
                found += np.frombuffer(packed, form).tolist()
        elif number in (5, 6) and kind in (FLOAT, DOUBLE):
            found.append(floats(kind, _bytes(value)))
    form = _DTYPES.get(dtype)
    if form and content and len(content) == int(form[-1]):
        found = np.frombuffer(content, form).tolist()
    return float(found[0]) if form and len(found) == 1 else None


def _hparams(metadata: bytes) -> Iterator[tuple[str, Any]]:
    """Settings of a session: metadata -> plugin_data -> content -> session_start_info -> map."""
    for plugin in _inside(metadata, 1):
        for content in _inside(plugin, 2):
            for session in _inside(content, 3):
                for entry in _inside(session, 1):
                    keys = list(_inside(entry, 1))
                    values = list(_inside(entry, 2))
                    if keys and values and (told := _setting(values[0])) is not None:
                        yield keys[0].decode("utf-8"), told


def _setting(message: bytes) -> float | str | bool | None:
    for number, kind, value in fields(message):
        if number == 2 and kind == DOUBLE:
            return floats(kind, _bytes(value))
        if number == 3 and kind == BYTES:
            return _bytes(value).decode("utf-8")
        if number == 4 and kind == VARINT:
            return bool(value)
    return None


def _inside(message: bytes, wanted: int) -> Iterator[bytes]:
    for number, kind, value in fields(message):
        if number == wanted and kind == BYTES:
            yield _bytes(value)


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _whole(value: int | bytes) -> int:
    assert isinstance(value, int)
    return value


def _run(file: Path, top: Path) -> str:
    folder = file.absolute().parent
    inside = folder.relative_to(top.absolute()) if top.is_dir() else Path(folder.name)
    return inside.as_posix() if inside.parts else folder.name
