"""Prints what nobody wants to read."""

import os
import sys


def megabytes(count):
    """So many MiB in lines of 64 bytes, half on standard error."""
    line = "x" * 63
    for _ in range(count * 8192):
        print(line)
        print(line, file=sys.stderr)
    return count


def one_long_line(count):
    """So many MiB without an end of line."""
    for _ in range(count * 1024):
        sys.stdout.write("y" * 1024)
    return count


def binary(count):
    """Every byte there is, again and again."""
    for _ in range(count):
        sys.stdout.buffer.write(bytes(range(256)))
        os.write(2, bytes(range(255, -1, -1)))
    sys.stdout.flush()
    return count


def odd_text():
    """Lone surrogates, a zero, other languages."""
    print("lone \ud800, zero \0, \u00fc\u4e2d\U0001f600")
    return "printed"


def closes_the_streams():
    """Closes what it prints on."""
    sys.stdout.close()
    sys.stderr.close()
    return "closed"


def replaces_the_streams():
    """Takes the streams away."""
    sys.stdout = sys.stderr = None
    return "gone"
