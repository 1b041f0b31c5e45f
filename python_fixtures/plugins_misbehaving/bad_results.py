"""Returns what cannot be sent, or hardly."""

import collections
import datetime
import decimal
import enum
import os
import pathlib


def mebibytes(count):
    """Text of so many MiB."""
    return "z" * (count << 20)


def nested(depth):
    """Lists in lists."""
    result = None
    for _ in range(depth):
        result = [result]
    return result


def contains_itself():
    """A list that is its own item."""
    result = []
    result.append(result)
    return {"a": [1, result]}


class _Colour(enum.Enum):
    RED = 1


class _Number(enum.IntEnum):
    ONE = 1


class _LyingDict(dict):
    def items(self):
        raise RuntimeError("no items today")


_Point = collections.namedtuple("_Point", "x y")

VALUES = {
    "nan": lambda: float("nan"),
    "infinity": lambda: -float("inf"),
    "surrogate": lambda: "a\udc80b",
    "surrogate key": lambda: {"\ud800": 1},
    "nan key": lambda: {float("nan"): 1},
    "tuple key": lambda: {(1, 2): 1},
    "bytes": lambda: b"abc",
    "object": object,
    "class": lambda: dict,
    "decimal": lambda: decimal.Decimal("1.5"),
    "duration": lambda: datetime.timedelta(1),
    "enum": lambda: _Colour.RED,
    "generator": lambda: (number for number in range(3)),
    "long integer": lambda: 1 << 40000,
    "lying dict": lambda: _LyingDict(a=1),
    "in a set": lambda: {b"x"},
    "set": lambda: {3, 1, 2},
    "frozenset": lambda: frozenset(["b", "a"]),
    "mixed set": lambda: {1, "a"},
    "date": lambda: datetime.date(2024, 2, 29),
    "moment": lambda: datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc),
    "time": lambda: datetime.time(12, 30),
    "path": lambda: pathlib.PurePosixPath("/a/b"),
    "namedtuple": lambda: _Point(1, 2),
    "ordered": lambda: collections.OrderedDict([("b", 1), ("a", 2)]),
    "int enum": lambda: _Number.ONE,
    "keys": lambda: {1: "a", 1.5: "b", None: "c", True: "d"},
    "cwd": lambda: pathlib.Path(os.sep),
}


def value(name):
    """One of VALUES, some levels down."""
    return {"a": [0, {"b": VALUES[name]()}]}


def echo(given):
    """What was given."""
    return given
