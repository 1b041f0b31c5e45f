"""Type hints.

Hazard: `typing` keeps what it was parametrised with in caches of its own, so these classes, their modules,
and all that those hold live as long as the process.
"""

import typing

CORE_VERSION = "@VERSION@"

Item = typing.TypeVar("Item")


class Pinned(object):
    """Held by the caches of `typing`."""


class Page(typing.Generic[Item]):
    """A generic of the core; parametrising it is cached too."""


Maybe = typing.Optional[Pinned]
Many = typing.Dict[str, typing.List[Pinned]]
PinnedPage = Page[Pinned]
Handler = typing.Callable[[Pinned], typing.Union[Pinned, int]]
