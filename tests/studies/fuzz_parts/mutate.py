"""Small damage to texts and bytes, drawn by a generator."""

from __future__ import annotations

import random

HOSTILE = (
    "__import__('os').system('touch /tmp/fuzzed')",
    "E.__class__.__mro__[1].__subclasses__()",
    "(lambda: 1)()",
    "[x for x in (1,)][0]",
    "{0.__class__}",
    "9**9**9**9",
    "1e999",
    "-1e999",
    "nan",
    "inf",
    "exec('1')",
    "open('/tmp/fuzzed', 'w')",
    "@np.random.rand",
    "`id`",
    "$(id)",
    "'; DROP TABLE runs; --",
    "../../../etc/passwd",
    "\x00",
    "\x1b[2J",
    "\ufeff",
    "\u202e",
    "\u0661",
    "\uff11",
    "\U0001f600",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "=cmd|' /C calc'!A0",
    "%s%s%s%n",
    "<script>alert(1)</script>",
    "\\",
    '"""',
    "''",
    "#",
    "\r",
    "\n",
    "\t",
    "1_000",
    "0x10",
    "1e-400",
    "1" * 400,
    "(" * 300,
    "-" * 300,
    "+".join(["1"] * 400),
    "None",
    "True",
    "-0.0",
    "1,5",
    "1 000",
    "NaN",
    "<NA>",
)


def changed_text(rng: random.Random, text: str, times: int | None = None, words=HOSTILE) -> str:
    """Cut, double, swap, replace and insert pieces of a text."""
    for _ in range(times or rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice((1, 1, 1, 2, 5, 20)))
        kind = rng.randrange(8)
        if kind == 0:
            text = text[:at] + text[end:]
        elif kind == 1:
            text = text[:at] + text[at:end] * rng.choice((2, 2, 3, 50)) + text[end:]
        elif kind == 2:
            text = text[:at] + rng.choice(words) + text[end:]
        elif kind == 3:
            text = text[:at] + rng.choice(words) + text[at:]
        elif kind == 4:
            text = (
                text[:at]
                + chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x3000))))
                + text[end:]
            )
        elif kind == 5:
            other = rng.randrange(len(text) + 1)
            text = text[:at] + text[other : other + rng.randrange(30)] + text[at:]
        elif kind == 6:
            text = text[:at] + rng.choice("+-*/()[]{}=<>,.'\"|&^%@!:;_ ") + text[end:]
        else:
            text = text[:at]
            if rng.random() < 0.5:
                text += rng.choice(words)
    return text


def changed_bytes(rng: random.Random, content: bytes, times: int | None = None) -> bytes:
    """Flip bits, overwrite runs, cut and lengthen."""
    data = bytearray(content)
    for _ in range(times or rng.choice((1, 1, 1, 2, 5, 20))):
        kind = rng.randrange(6)
        if not data:
            break
        at = rng.randrange(len(data))
        if kind <= 2:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 3:
            data[at : at + rng.choice((1, 4, 64, 512))] = rng.randbytes(rng.choice((1, 4, 64)))
        elif kind == 4:
            del data[at:]
        else:
            data[at:at] = rng.randbytes(rng.choice((1, 16, 1000)))
    return bytes(data)
