"""Needs a library that is nowhere."""

import library_that_is_nowhere


def call():
    """Never reached."""
    return library_that_is_nowhere.VALUE
