"""The site's event log, asked by the studio's own client."""

import fnmatch
import json

from . import values, worker
from .configuration import configuration

_clients = {}


def client(setup):
    """The daemon's own connection to the site of a section, made when it is first asked for."""
    key = setup["config"], setup["section"]
    if key not in _clients:
        worker.start(setup)
        shotgun_api3 = worker.client_module()
        parser = configuration(setup["config"])
        section = setup["section"]
        proxy = (parser.text(section, "proxy_server") or "").strip() or None
        server, name, script_key = (parser.get(section, key) for key in ("server", "name", "key"))
        # Times as they are: each would be turned to the local time zone, and back on its way to plugins.
        _clients[key] = worker.asked(
            shotgun_api3.Shotgun,
            server,
            name,
            script_key,
            http_proxy=proxy,
            convert_datetimes_to_utc=False,
        )
    return _clients[key]


def begin(setup):
    """Has the client be imported, which takes longer than all else before the first question."""
    worker.start(setup)
    worker.client_module()


def about(setup):
    """Which client it is, and which site."""
    site = client(setup)
    # Its folder may be one of `python_paths`, which are searched from then on.
    shotgun_api3 = worker.client_module()
    info = worker.asked(site.info)
    return {
        "client": shotgun_api3.__version__,
        "site": ".".join(str(part) for part in info.get("version") or ()),
    }


def latest(setup):
    """The id of the last event that can be seen; 0 on a site that has none."""
    order = [{"field_name": "id", "direction": "desc"}]
    newest = worker.asked(client(setup).find_one, "EventLogEntry", [], ["id"], order=order)
    return newest["id"] if newest else 0


def configurations(setup, plugin_id):
    """The projects for which the site has a configuration for a plug-in; None among them for one that is for
    all others.
    """
    fields = ["project", "plugin_ids"]
    filters = [["plugin_ids", "is_not", None]]
    found = worker.asked(client(setup).find, "PipelineConfiguration", filters, fields)
    projects = []
    for one in found:
        patterns = [pattern.strip() for pattern in (one.get("plugin_ids") or "").split(",")]
        if any(fnmatch.fnmatch(plugin_id, pattern) for pattern in patterns if pattern):
            projects.append(one["project"]["id"] if one.get("project") else None)
    return projects


def poll(setup, above, ids, ranges, limit):
    """The events above an id, and those of the ids and ranges that are missed below it: up to `limit`, ids
    ascending; as JSON.
    """
    wanted = [["id", "greater_than", above]] if above is not None else []
    if ids:
        wanted.append(["id", "in", ids])
    wanted.extend(["id", "between", [first, last]] for first, last in ranges)
    if not wanted:
        return "[]"
    filters = wanted if len(wanted) == 1 else [{"filter_operator": "any", "filters": wanted}]
    order = [{"field_name": "id", "direction": "asc"}]
    fields = list(values.FIELDS)
    found = worker.asked(client(setup).find, "EventLogEntry", filters, fields, order, limit=limit)
    return json.dumps(found, default=values.text)
