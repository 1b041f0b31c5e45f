"""A client for the demo's site, where there is no `shotgun_api3`: what plugins use most, by the standard
library.

It is no replacement for the real one: no uploads, no proxies, no certificates of a studio's own.
"""

import datetime
import json
import re
import time
import urllib.error
import urllib.request

__version__ = "demo"

_TIME = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")


class ShotgunError(Exception):
    """Something went wrong."""


class Fault(ShotgunError):
    """The site has said no."""


class AuthenticationFault(Fault):
    """The site does not know the script or its key."""


class ProtocolError(ShotgunError):
    """The answer is not the site's."""


class Shotgun(object):
    """A connection to the site."""

    def __init__(
        self,
        base_url,
        script_name=None,
        api_key=None,
        convert_datetimes_to_utc=True,
        http_proxy=None,
        connect=True,
    ):
        self._zone = _LOCAL if convert_datetimes_to_utc else None
        self.base_url = base_url.rstrip("/")
        self._auth = {"script_name": script_name, "script_key": api_key}
        if connect:
            self.info()

    def info(self):
        """What the site says of itself."""
        return self._call("info", None)

    def set_session_uuid(self, session_uuid):
        """Has events of writes carry this id."""
        self._auth["session_uuid"] = session_uuid

    def get_session_token(self):
        """A session of this script."""
        return self._call("get_session_token", {})["session_id"]

    def find(self, entity_type, filters, fields=None, order=None, filter_operator="all", limit=0):
        """The entities that the filters mean."""
        params = {
            "type": entity_type,
            "return_fields": fields or ["id"],
            "filters": _filters(filters, filter_operator),
            "sorts": [
                {
                    "field_name": one.get("field_name") or one["column"],
                    "direction": one.get("direction", "asc"),
                }
                for one in order or ()
            ],
            "paging": {"entities_per_page": limit or 500, "current_page": 1},
            "return_paging_info": True,
        }
        found = []
        while True:
            page = self._call("read", params)
            found.extend(page["entities"])
            if limit or len(found) >= page["paging_info"]["entity_count"]:
                return found
            params["paging"]["current_page"] += 1

    def find_one(self, entity_type, filters, fields=None, order=None, filter_operator="all"):
        """The first of them, or None."""
        found = self.find(entity_type, filters, fields, order, filter_operator, limit=1)
        return found[0] if found else None

    def create(self, entity_type, data, return_fields=None):
        """Makes an entity."""
        return self._call(
            "create",
            {
                "type": entity_type,
                "fields": _fields(data),
                "return_fields": return_fields or ["id"],
            },
        )

    def update(self, entity_type, entity_id, data):
        """Changes fields of one."""
        return self._call("update", {"type": entity_type, "id": entity_id, "fields": _fields(data)})

    def delete(self, entity_type, entity_id):
        """Deletes one."""
        return self._call("delete", {"type": entity_type, "id": entity_id})

    def _call(self, method, params):
        body = {"method_name": method, "params": [self._auth] + ([] if params is None else [params])}
        request = urllib.request.Request(
            self.base_url + "/api3/json",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                told = json.loads(answer.read().decode("utf-8"))
        except urllib.error.HTTPError as error:
            raise ProtocolError("%s: %s" % (self.base_url, error))
        except ValueError as error:
            raise ProtocolError("%s gave no JSON: %s" % (self.base_url, error))
        if told.get("exception"):
            kind = AuthenticationFault if told.get("error_code") == 102 else Fault
            raise kind(told.get("message"))
        return _inbound(told.get("results", told), self._zone)


def _fields(data):
    return [{"field_name": name, "value": value} for name, value in data.items()]


def _filters(filters, operator):
    conditions = []
    for one in filters:
        if isinstance(one, dict):
            conditions.append(_filters(one["filters"], one["filter_operator"]))
            continue
        values = one[2:]
        if len(values) == 1 and isinstance(values[0], (list, tuple)):
            values = list(values[0])
        conditions.append({"path": one[0], "relation": one[1], "values": values})
    return {"logical_operator": "or" if operator in ("any", "or") else "and", "conditions": conditions}


class _Local(datetime.tzinfo):
    def _local(self, when):
        # Not its `timetuple`, which asks for `dst`.
        day = when.year, when.month, when.day
        return time.localtime(time.mktime(day + (when.hour, when.minute, when.second, 0, 0, -1)))

    def utcoffset(self, when):
        return datetime.timedelta(seconds=self._local(when).tm_gmtoff)

    def dst(self, when):
        return datetime.timedelta(hours=max(self._local(when).tm_isdst, 0))

    def tzname(self, when):
        return self._local(when).tm_zone

    def fromutc(self, when):
        stamp = (when.replace(tzinfo=None) - datetime.datetime(1970, 1, 1)).total_seconds()
        return datetime.datetime(*time.localtime(stamp)[:6], tzinfo=self)


_LOCAL = _Local()


def _inbound(value, zone):
    if isinstance(value, list):
        return [_inbound(one, zone) for one in value]
    if isinstance(value, dict):
        return {key: _inbound(one, zone) for key, one in value.items()}
    if isinstance(value, str) and len(value) == 20 and _TIME.match(value):
        when = datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")
        return when.replace(tzinfo=datetime.timezone.utc).astimezone(zone) if zone else when
    return value
