"""Protocol buffers as bytes: fields by number, within bounds; and records that carry a checksum."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5
_CASTAGNOLI = 0x82F63B78
_MASK = 0xA282EAD8


class Damaged(ValueError):
    """What can't be so; its text says what."""


def fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    r"""Number, kind and value of every field: whole numbers, or bytes not yet interpreted.

    Raises
    ------
    Damaged
        A field reaches beyond the end of the message, or has no known kind.

    Examples
    --------
    >>> list(fields(b"\x08\x96\x01\x12\x02hi"))
    [(1, 0, 150), (2, 2, b'hi')]
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in (DOUBLE, FLOAT):
            size = 8 if kind == DOUBLE else 4
        else:
            raise Damaged(f"a field of kind {kind}")
        if size > len(message) - at:
            raise Damaged(f"a field of {size} bytes where {len(message) - at} are left")
        yield number, kind, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(10):
        if at + i >= len(message):
            raise Damaged("a number without an end")
        byte = message[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    raise Damaged("a number of more than ten bytes")


def signed(value: int) -> int:
    """A 64-bit number that may be negative, from its unsigned reading."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _table() -> np.ndarray:
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, (values >> 1) ^ np.uint32(_CASTAGNOLI), values >> 1)
    return values.astype(np.uint32)


_TABLE = _table()


def masked_crc32c(parts: list[bytes]) -> np.ndarray:
    """TFRecord's masked CRC-32C of each part; parts of one length are done side by side.

    Examples
    --------
    >>> crc = int(masked_crc32c([b"123456789"])[0])
    >>> rotated = (crc - 0xA282EAD8) % 2**32
    >>> hex((rotated >> 17 | rotated << 15) % 2**32)
    '0xe3069283'
    """
    sums = np.zeros(len(parts), np.uint32)
    by_length: dict[int, list[int]] = {}
    for i, part in enumerate(parts):
        by_length.setdefault(len(part), []).append(i)
    for length, places in by_length.items():
        joined = np.frombuffer(b"".join(parts[i] for i in places), np.uint8)
        rows = joined.reshape(len(places), length)
        crc = np.full(len(places), 0xFFFFFFFF, np.uint32)
        for column in range(length):
            crc = _TABLE[(crc ^ rows[:, column]) & 0xFF] ^ (crc >> 8)
        sums[places] = ~crc
    rotated = (sums >> np.uint32(15)) | (sums << np.uint32(17))
    return rotated + np.uint32(_MASK)


def floats(kind: int, value: bytes) -> float:
    """A float or double field's value.

    Raises
    ------
    Damaged
        The field is of neither kind.
    """
    if kind == FLOAT:
        return float(struct.unpack("<f", value)[0])
    if kind == DOUBLE:
        return float(struct.unpack("<d", value)[0])
    raise Damaged(f"a number in a field of kind {kind}")
