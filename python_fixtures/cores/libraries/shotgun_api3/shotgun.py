"""The client.

Hazards: it waits forever unless its configuration is given a time limit before the first call; it tries again
by itself when the site answers 502 or 504; its connection stays open until somebody closes it or it is
collected; the key is in what it logs, which nobody sees unless somebody lowers the level of its logger.
"""

import http.client
import json
import logging
import os
import time
from urllib.parse import urlparse

CORE_VERSION = "@VERSION@"

LOG = logging.getLogger("shotgun_api3")
LOG.setLevel(logging.WARNING)


class ShotgunError(Exception):
    """Base of all that the client raises."""

    core_version = CORE_VERSION


class Fault(ShotgunError):
    """The site has answered with an exception of its own."""


class AuthenticationFault(Fault):
    """The site does not let the caller in."""


class ProtocolError(ShotgunError):
    """The site has answered with an HTTP error."""

    def __init__(self, url, errcode, errmsg, headers):
        super(ProtocolError, self).__init__("<ProtocolError for %s: %s %s>" % (url, errcode, errmsg))
        self.url, self.errcode, self.errmsg, self.headers = url, errcode, errmsg, headers


class ServerCapabilities(object):
    """What the site is."""

    def __init__(self, host, meta):
        if not meta.get("version"):
            raise ShotgunError("%s did not tell its version" % host)
        self.host = host
        self.server_info = meta
        self.version = tuple(meta["version"][:3])


class _Config(object):
    """The settings of a connection; they may be changed until the first call."""

    def __init__(self, sg):
        self._sg = sg
        self.max_rpc_attempts = 3
        self.rpc_attempt_interval = 3000
        self.timeout_secs = None
        self.api_ver = "api3"
        self.records_per_page = 500
        self.scheme = self.server = self.api_path = None
        self.script_name = self.api_key = self.session_token = None
        self.raw_http_proxy = self.proxy_server = None
        self.proxy_port = 8080


class Shotgun(object):
    """A connection to a site, made at the first call."""

    core_version = CORE_VERSION
    MAX_ATTEMPTS = 3
    # Seconds, times the attempt's number. The real one's is 0.75; tests need not wait for it.
    BACKOFF = 0.02

    def __init__(
        self, base_url, script_name=None, api_key=None, http_proxy=None, connect=True, session_token=None
    ):
        self.base_url = str(base_url)
        self.config = _Config(self)
        address = urlparse(self.base_url)
        self.config.scheme, self.config.server = address.scheme, address.netloc
        self.config.api_path = "/%s/json" % self.config.api_ver
        self.config.script_name, self.config.api_key = script_name, api_key
        self.config.session_token = session_token
        if http_proxy:
            self.config.raw_http_proxy = http_proxy
            server, _, port = http_proxy.rpartition("@")[2].rpartition(":")
            self.config.proxy_server, self.config.proxy_port = server, int(port)
        self._connection = None
        self._server_caps = None
        if connect:
            self.server_caps

    @staticmethod
    def _get_certs_file(ca_certs=None):
        """Where the certificates are; in a zip where nobody can read them."""
        return ca_certs or os.path.join(os.path.dirname(__file__), "lib", "cacert.pem")

    @property
    def server_caps(self):
        """What the site is; asked for once."""
        if self._server_caps is None:
            self._server_caps = ServerCapabilities(self.config.server, self.info())
        return self._server_caps

    @property
    def server_info(self):
        """What the site says of itself."""
        return self.server_caps.server_info

    def connect(self):
        """Sees whether the site is there."""
        self.info()

    def close(self):
        """Ends the connection; the next call makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def info(self):
        """What the site says of itself to everybody."""
        return self._call_rpc("info", None, include_auth_params=False)

    def find(self, entity_type, filters, fields=None, order=None, filter_operator=None, limit=0):
        """The entities that the filters mean."""
        self.server_caps
        size = limit if 0 < limit < self.config.records_per_page else self.config.records_per_page
        params = {
            "type": entity_type,
            "return_fields": fields or ["id"],
            "filters": _translate({"filter_operator": filter_operator or "all", "filters": filters}),
            "return_only": "active",
            "paging": {"entities_per_page": size, "current_page": 1},
            "return_paging_info_without_counts": True,
        }
        if order:
            params["sorts"] = [
                {"field_name": one["field_name"], "direction": one["direction"]} for one in order
            ]
        records = []
        while True:
            result = self._call_rpc("read", params)
            records.extend(result["entities"])
            if limit and len(records) >= limit or not result["paging_info"]["has_next_page"]:
                return records[:limit] if limit else records
            params["paging"]["current_page"] += 1

    def find_one(self, entity_type, filters, fields=None, order=None, filter_operator=None):
        """The first entity that the filters mean, or None."""
        return (self.find(entity_type, filters, fields, order, filter_operator, 1) or [None])[0]

    def get_session_token(self):
        """A token that lets others in as this one."""
        if not self.config.session_token:
            self.config.session_token = self._call_rpc("get_session_token", None)["session_id"]
        return self.config.session_token

    def _auth_params(self):
        if self.config.script_name and self.config.api_key:
            return {"script_name": self.config.script_name, "script_key": self.config.api_key}
        if self.config.session_token:
            return {"session_token": self.config.session_token}
        raise ValueError("neither a script nor a session")

    def _call_rpc(self, method, params, include_auth_params=True):
        """One call of the site's API; 502 and 504 are tried again."""
        call = ([self._auth_params()] if include_auth_params else []) + ([params] if params else [])
        body = json.dumps({"method_name": method, "params": call}).encode("utf-8")
        LOG.debug("%s %s: %s", method, self.config.server, body)
        attempt = 1
        while True:
            status, reason, headers, answer = self._make_call("POST", self.config.api_path, body)
            if status < 300:
                break
            if status not in (502, 504) or attempt == self.MAX_ATTEMPTS:
                raise ProtocolError(self.config.server, status, reason, headers)
            time.sleep(attempt * self.BACKOFF)
            attempt += 1
        # What is no JSON is handed on as it is, as the real client does.
        is_json = (headers.get("content-type") or "application/json").startswith("application/json")
        response = json.loads(answer.decode("utf-8")) if is_json else answer
        if isinstance(response, dict) and response.get("exception"):
            kind = AuthenticationFault if response.get("error_code") == 102 else Fault
            raise kind(response.get("message", "no reason given"))
        return response["results"] if isinstance(response, dict) and "results" in response else response

    def _make_call(self, verb, path, body):
        """Sends a request; whatever goes wrong closes the connection."""
        try:
            connection = self._get_connection()
            connection.request(verb, path, body, {"content-type": "application/json; charset=utf-8"})
            response = connection.getresponse()
            return response.status, response.reason, response.headers, response.read()
        except Exception:
            self.close()
            raise

    def _get_connection(self):
        if self._connection is None:
            made = (
                http.client.HTTPSConnection if self.config.scheme == "https" else http.client.HTTPConnection
            )
            if self.config.proxy_server:
                self._connection = made(
                    self.config.proxy_server, self.config.proxy_port, timeout=self.config.timeout_secs
                )
                self._connection.set_tunnel(self.config.server)
            else:
                self._connection = made(self.config.server, timeout=self.config.timeout_secs)
        return self._connection


def _translate(one):
    """A filter as the site wants it."""
    if isinstance(one, dict):
        operator = {"all": "and", "and": "and", "any": "or", "or": "or"}[one["filter_operator"]]
        return {"logical_operator": operator, "conditions": [_translate(each) for each in one["filters"]]}
    path, relation, values = one[0], one[1], list(one[2:])
    if len(values) == 1 and isinstance(values[0], (list, tuple)):
        values = list(values[0])
    return {"path": path, "relation": relation, "values": values}
