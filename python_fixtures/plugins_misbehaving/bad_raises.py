"""Raises exceptions that do harm when they are looked at."""

class _StrRaises(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


class _StrExits(Exception):
    def __str__(self):
        raise SystemExit(5)


class _StrIsNone(Exception):
    def __str__(self):
        return None


class _Liar(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name")

    def mro(cls):
        return [cls] + list(cls.__bases__[0].__mro__)


class _BaseError(Exception):
    pass


class _Derived(_BaseError):
    pass


class _OddlyMade(_BaseError, metaclass=_Liar):
    pass


def str_raises():
    """Its `__str__` raises."""
    raise _StrRaises()


def str_exits():
    """Its `__str__` calls for the end of the program."""
    raise _StrExits()


def str_is_none():
    """Its `__str__` returns no text."""
    raise _StrIsNone()


def odd_class():
    """The class does not tell its name."""
    raise _OddlyMade("odd")


def derived():
    """With a base class of its own, and a cause."""
    try:
        raise KeyError("the cause")
    except KeyError as error:
        raise _Derived("the consequence") from error


def long_text(count):
    """A message of so many characters."""
    raise RuntimeError("m" * count)


def surrogates():
    """A message that is not UTF-8."""
    raise RuntimeError("lone \udc80")


def own_cause():
    """Its own cause, by way of another."""
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    raise first
