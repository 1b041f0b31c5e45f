"""Classes that the caches of `typing` pin."""

import typing

CORE_VERSION = "@VERSION@"

Row = typing.TypeVar("Row")


class Page(typing.Generic[Row]):
    """Some rows."""

    def __init__(self, rows: typing.Sequence[Row]):
        self.rows = list(rows)


class Client(object):
    """A client that never connects."""

    core_version = CORE_VERSION

    def find(self, kind: str) -> "typing.Optional[Page[Client]]":
        """Nothing, always."""
        return None


ClientPage = Page[Client]
MaybeClient = typing.Optional[ClientPage]
