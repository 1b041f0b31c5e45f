"""Calls itself."""

import sys


def for_ever():
    """Until Python stops it."""
    return for_ever() + 1


def _through_c(_):
    return next(map(_through_c, [0]))


def until_the_stack_ends():
    """Past Python's own limit, through C code, where the stack ends."""
    sys.setrecursionlimit(10 ** 7)
    return _through_c(0)
