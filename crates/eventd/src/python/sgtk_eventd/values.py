"""Events between JSON and what `shotgun_api3` makes of them.

On its way an event has times as the site writes them, `2025-01-31T12:00:00Z`. The client turns every such
text into an aware `datetime` of the local time zone, inside of `meta` as well, and so it is given to plugins.
"""

import datetime
import functools
import re
import time

FIELDS = (
    "id",
    "event_type",
    "attribute_name",
    "meta",
    "entity",
    "user",
    "project",
    "session_uuid",
    "created_at",
)

_TIME = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")
_WIRE = "%Y-%m-%dT%H:%M:%SZ"
#: Where the parts of such a time are: year, month, day, hour, minute, second.
_PARTS = ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))


class Local(datetime.tzinfo):
    """The local time zone, where there is no client to take its own from."""

    def _offset(self, when):
        local = time.localtime(
            time.mktime((when.year, when.month, when.day, when.hour, when.minute, when.second, 0, 0, -1))
        )
        return datetime.timedelta(seconds=local.tm_gmtoff), local.tm_isdst > 0, local.tm_zone

    def utcoffset(self, when):
        """As the C library says."""
        return self._offset(when)[0]

    def dst(self, when):
        """An hour while there is daylight saving."""
        return datetime.timedelta(hours=int(self._offset(when)[1]))

    def tzname(self, when):
        """As the C library says."""
        return self._offset(when)[2]

    def fromutc(self, when):
        """By the C library as well: the base class cannot tell both hours at the end of daylight saving."""
        stamp = (when.replace(tzinfo=None) - datetime.datetime(1970, 1, 1)).total_seconds()
        return datetime.datetime(*time.localtime(stamp)[:6], tzinfo=self)


UTC = datetime.timezone.utc


def local_zone():
    """The client's own object for the local time zone: plugins may compare it."""
    try:
        from shotgun_api3.lib.sgtimezone import SgTimezone

        return SgTimezone().local
    except Exception:
        return Local()


def text(value):
    """Times as the site writes them, and as text what else JSON does not know."""
    if isinstance(value, datetime.datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).strftime(_WIRE)
    return str(value)


def from_wire(value, zone):
    """As the client gives it."""
    kind = type(value)
    if kind is str:
        return moment(value, zone) if len(value) == 20 and value[19] == "Z" else value
    if kind is dict:
        # A call for each plain value would take most of the time that an event takes.
        return {
            key: item if type(item) is int or item is None else from_wire(item, zone)
            for key, item in value.items()
        }
    if kind is list:
        return [from_wire(item, zone) for item in value]
    return value


@functools.lru_cache(maxsize=1024)
def moment(text, zone):
    """The time that a text of the site's is, or the text where it is none. Many events are of one second."""
    if not _TIME.match(text):
        return text
    try:
        when = datetime.datetime(*(int(text[first:last]) for first, last in _PARTS), tzinfo=UTC)
    except ValueError:
        return text
    return when.astimezone(zone)
