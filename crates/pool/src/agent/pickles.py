"""Calls and results as pickles, which are written and read in C.

A call is loaded as it comes, since the daemon has made it. A result is written only if it consists of plain
values; the daemon reads nothing else.
"""

import _io
import _pickle
import sys

#: How a call or a result begins: its kind, and its number in eight bytes, little-endian. All else is JSON.
PICKLE = ord("P")

#: The same for a call of which arguments that are `bytes` are JSON to be read.
PICKLE_WITH_JSON = ord("J")

#: How a message in JSON begins.
OBJECT = ord("{")

_BEFORE_PICKLE = 9


def number(data):
    """The number of a call."""
    if data[0] not in (PICKLE, PICKLE_WITH_JSON):
        raise RuntimeError("a request is neither JSON nor a pickle")
    return int.from_bytes(data[1:_BEFORE_PICKLE], "little")


def head(number):
    """What precedes the pickle of a result."""
    return b"P" + number.to_bytes(8, "little")


def read_call(data):
    """A call: `module:function`, arguments by place, arguments by name."""
    target, arguments, named = _pickle.loads(memoryview(data)[_BEFORE_PICKLE:])
    if data[0] == PICKLE_WITH_JSON:
        scan = part("wire").scan
        for places, keys in ((arguments, range(len(arguments))), (named, list(named))):
            for key in keys:
                if type(places[key]) is bytes:
                    places[key] = scan(str(places[key], "utf-8"), 0)[0]
    return target, arguments, named


class _NotPlain(Exception):
    """A value is of a type that is not written as a pickle."""


class _PlainPickler(_pickle.Pickler):
    """Refuses all but the built-in types that are written by value."""

    def reducer_override(self, value):
        raise _NotPlain


def pickle_result(result):
    """The bytes of a result, or None if there is more in it than plain values: then JSON's rules decide."""
    if sys.version_info < (3, 8):
        return None  # Without `reducer_override`.
    file = _io.BytesIO()
    pickler = _PlainPickler(file, 5)
    # Values that are there twice are written twice, as in JSON.
    pickler.fast = True
    try:
        pickler.dump(result)
    except BaseException:
        return None
    return file.getbuffer()
