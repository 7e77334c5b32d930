"""Protobuf messages in their wire format: read and write single fields without generated code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _EIGHT_BYTES, LENGTH_DELIMITED, _FOUR_BYTES = 0, 1, 2, 5


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the content of each top-level field of a message.

    The content of a field with text or a message excludes its length; that of a number is its encoded bytes.

    Raises:
        ValueError: The bytes are no valid message.
    """
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        start, kind = at, key & 7
        if kind == LENGTH_DELIMITED:
            length, start = _read_varint(message, at)
            at = start + length
        elif kind == _VARINT:
            _, at = _read_varint(message, at)
        elif kind in {_EIGHT_BYTES, _FOUR_BYTES}:
            at += 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"Wire type {kind} is unknown.")
        if at > len(message):
            raise ValueError("The message ends within a field.")
        yield key >> 3, message[start:at]


def inside(message: bytes, *path: int) -> Iterator[bytes]:
    """Yield the content of every field at a path of field numbers."""
    if not path:
        yield message
        return
    for number, content in fields(message):
        if number == path[0]:
            yield from inside(content, *path[1:])


def field(number: int, content: bytes) -> bytes:
    """Return an encoded field with text or a message."""
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(content)) + content


def number_field(number: int, value: int) -> bytes:
    """Return an encoded field with a number."""
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message):
            raise ValueError("The message ends within a number.")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
