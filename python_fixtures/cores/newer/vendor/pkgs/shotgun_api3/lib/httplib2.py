"""Addresses."""

from urllib.parse import urlparse

CORE_VERSION = "@VERSION@"


def host(url):
    """The host of an address."""
    return urlparse(url).netloc
