"""Damage done to bytes: what bad disks, cut transfers, wrong writers and attackers do."""

from __future__ import annotations

import re
import struct

NUMBERS = [0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF]
NUMBERS += [0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF]
TEXTS = [b"0", b"-1", b"1e400", b"nan", b"inf", b"", b"1.5", b"65535", b"4294967296", b"1\\2"]
TEXTS += [b"99999999999999999999", b" 7 ", b"1e-320", b"0x10", b"\xff\xfe", b"\0", b"''", b"{}"]
DIGITS = re.compile(rb"-?\d+(?:\.\d+)?")
# Headers are where the decisions are.
HEAD = 2048


def mutated(rng, data, others=()):
    """Return the bytes with one to five kinds of damage."""
    found = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 5])):
        rng.choice(DAMAGES)(rng, found, others)
    return bytes(found)


def _at(rng, data):
    reach = len(data) if rng.random() < 0.3 else min(len(data), HEAD)
    return rng.randrange(max(reach, 1))


def _byte(rng, data, _):
    if data:
        data[_at(rng, data)] = rng.randrange(256)


def _bit(rng, data, _):
    if data:
        data[_at(rng, data)] ^= 1 << rng.randrange(8)


def _number(rng, data, _):
    form = rng.choice(["<H", "<I", ">H", ">I", "<Q", "<f", "<d"])
    value = rng.choice(NUMBERS)
    if form[1] in "fd":
        value = rng.choice([0.0, -1.0, 1e38, float("nan"), float("inf"), 1e-30])
    else:
        value &= (1 << 8 * struct.calcsize(form)) - 1
    packed = struct.pack(form, value)
    at = _at(rng, data) & ~1
    data[at : at + len(packed)] = packed


def _text(rng, data, _):
    places = list(DIGITS.finditer(data))
    if places:
        place = rng.choice(places)
        new = rng.choice(TEXTS)
        # The lengths around it stay true, or they do not.
        if rng.random() < 0.7:
            new = new[: len(place[0])].ljust(len(place[0]))
        data[place.start() : place.end()] = new


def _cut(rng, data, _):
    del data[rng.randrange(len(data) + 1) :]


def _grow(rng, data, _):
    data += rng.choice([b"\0", b"\xff", b"garbage", rng.randbytes(16)]) * rng.choice([1, 2, 64])


def _span(rng, data):
    start = _at(rng, data)
    return start, start + rng.choice([1, 2, 4, 8, 16, 64, 256])


def _remove(rng, data, _):
    start, end = _span(rng, data)
    del data[start:end]


def _repeat(rng, data, _):
    start, end = _span(rng, data)
    data[start:start] = bytes(data[start:end]) * rng.choice([1, 1, 2, 16])


def _blank(rng, data, _):
    start, end = _span(rng, data)
    part = data[start:end]
    data[start:end] = rng.choice([b"\0", b"\xff", b" "]) * len(part)


def _splice(rng, data, others):
    if others:
        other = rng.choice(others)
        start, end = _span(rng, other)
        at = _at(rng, data)
        data[at : at + rng.choice([0, end - start])] = other[start:end]


def _swap(rng, data, _):
    start, end = _span(rng, data)
    part = bytes(data[start:end])
    del data[start:end]
    at = _at(rng, data)
    data[at:at] = part


DAMAGES = [_byte, _bit, _number, _number, _text, _text, _cut, _grow, _remove, _repeat, _blank]
DAMAGES += [_splice, _swap]
