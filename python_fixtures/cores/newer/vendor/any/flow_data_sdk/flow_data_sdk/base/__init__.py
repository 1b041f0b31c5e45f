"""The library's classes."""

from .client import Client, Page

CORE_VERSION = "@VERSION@"
