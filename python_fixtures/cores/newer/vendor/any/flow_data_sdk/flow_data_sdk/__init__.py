"""A library for all Pythons, in a zip of its own."""

from .base import Client, Page

CORE_VERSION = "@VERSION@"
