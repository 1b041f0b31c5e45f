"""What the site knows: entities, who may ask, and which entities a filter means."""

import bisect
import itertools
import secrets

from log import FIELDS as LOG_FIELDS, candidates

#: The fields of each kind of entity that are always there, null where nothing was said (or an empty list).
FIELDS = {
    "Project": ("name", "code", "tank_name", "archived", "is_template", "users"),
    "PipelineConfiguration": (
        "code",
        "project",
        "users",
        "plugin_ids",
        "linux_path",
        "mac_path",
        "windows_path",
        "descriptor",
        "uploaded_config",
    ),
    "LocalStorage": ("code", "linux_path", "mac_path", "windows_path"),
    "HumanUser": ("login", "name", "email"),
    "ApiUser": ("firstname", "salted_password"),
    "Shot": ("code", "project"),
    "Asset": ("code", "project", "sg_asset_type"),
    "Task": ("content", "project", "entity", "step"),
    "Version": ("code", "project", "entity"),
    "EventLogEntry": LOG_FIELDS,
}


#: The order that nobody has to ask for.
BY_ID = [{"field_name": "id", "direction": "asc"}]

#: The fields that have any number of links.
LISTS = ("users",)


class Refused(Exception):
    """What the site answers with as an exception of its own."""

    def __init__(self, code, message):
        super(Refused, self).__init__(message)
        self.code = code


class Records(object):
    """Entities by type and id, script users, people, sessions."""

    def __init__(self):
        self.entities = {}
        self.scripts = {}
        self.sessions = {}
        #: Deleted entities, which can be revived.
        self.retired = {}
        #: The ids of log entries, sorted: there are many.
        self.order = []

    def add(self, entity):
        """Adds an entity, or replaces the one with its type and id."""
        if entity["type"] == "EventLogEntry":
            return self.added(entity)
        self.entities.setdefault(entity["type"], {})[entity["id"]] = entity

    def added(self, entry):
        """Adds an entry of the event log."""
        entries = self.entities.setdefault(entry["type"], {})
        if entry["id"] not in entries:
            bisect.insort(self.order, entry["id"])
        entries[entry["id"]] = entry

    def script_id(self, name):
        """The id of a script's user."""
        return sorted(self.scripts).index(name) + 1 if name in self.scripts else 0

    def fields_of(self, kind):
        """The fields that each entity of a type has."""
        return FIELDS.get(kind, ())

    def remove(self, kind, number):
        """Takes an entity away."""
        if self.entities.get(kind, {}).pop(number, None) is not None and kind == "EventLogEntry":
            self.order.remove(number)

    def who(self, auth):
        """The name of the script that asks; refused as the real site does where it is not known."""
        if auth.get("script_name") is not None:
            name = auth["script_name"]
            if self.scripts.get(name) != auth.get("script_key"):
                raise wrong_key(name)
            return name
        if auth.get("session_token") is not None:
            if auth["session_token"] not in self.sessions:
                raise Refused(102, "Session expired or invalid")
            return self.sessions[auth["session_token"]]
        raise Refused(102, "Can't authenticate user '%s'" % auth.get("user_login"))

    def session(self, name):
        """A session of a script that was let in."""
        token = secrets.token_hex(16)
        self.sessions[token] = name
        return token

    def read(self, params):
        """The entities that `read` asks for, with the fields that it asks for: one page of them."""
        kind = params.get("type")
        if kind not in FIELDS and kind not in self.entities:
            raise Refused(104, "API read() invalid/missing string entity 'type': %s" % kind)
        filters = params.get("filters")
        sorts = params.get("sorts") or BY_ID
        paging = params.get("paging") or {"entities_per_page": 500, "current_page": 1}
        size = paging["entities_per_page"]
        start = size * (paging["current_page"] - 1)
        entities = self.entities.get(kind, {})
        if params.get("return_only") == "retired":
            found = []
        else:
            some = candidates(entities, self.order, filters) if kind == "EventLogEntry" else None
            looked = entities.values() if some is None else (entities[number] for number in some)
            found = (one for one in looked if self.matches(one, filters))
            if some is not None and sorts == BY_ID and not params.get("return_paging_info"):
                # A page of very many: in order already, and what comes after it need not be looked at.
                found = itertools.islice(found, start + size + 1)
            found = list(found)
        for sort in reversed(sorts):
            found.sort(
                key=lambda one: order_of(self.value(one, sort["field_name"])),
                reverse=sort["direction"] == "desc",
            )
        page = [self.shown(one, params.get("return_fields") or []) for one in found[start : start + size]]
        answer = {"entities": page}
        if params.get("return_paging_info_without_counts"):
            answer["paging_info"] = {"has_next_page": start + size < len(found)}
        elif params.get("return_paging_info"):
            answer["paging_info"] = {"entity_count": len(found)}
        return answer

    def shown(self, entity, fields):
        """An entity with its type, its id, and the fields that were asked for; fields that nobody has are
        left out.
        """
        answer = {"type": entity["type"], "id": entity["id"]}
        for field in fields:
            if "." in field or field in entity or field in FIELDS.get(entity["type"], ()):
                value = copied(self.value(entity, field))
                answer[field] = [] if value is None and field in LISTS else self.named(value)
        return answer

    def named(self, value):
        """A link, or a list of them, with the names that the real site gives them."""
        if isinstance(value, list):
            return [self.named(one) for one in value]
        if isinstance(value, dict) and "id" in value and "name" not in value:
            linked = self.entities.get(value.get("type"), {}).get(value["id"], {})
            value["name"] = linked.get("name") or linked.get("code")
        return value

    def value(self, entity, path):
        """The value at a path: a field, or `field.Type.field` through a link."""
        field, _, rest = path.partition(".")
        value = entity.get(field)
        if not rest:
            return value
        kind, _, rest = rest.partition(".")
        links = value if isinstance(value, list) else [value]
        linked = [
            self.entities.get(kind, {}).get(link["id"]) for link in links if link and link["type"] == kind
        ]
        values = [self.value(one, rest) for one in linked if one is not None]
        return values if isinstance(value, list) else (values or [None])[0]

    def matches(self, entity, condition):
        """Whether an entity is meant by a condition or a tree of conditions."""
        if not condition:
            return True
        if "conditions" in condition:
            each = [self.matches(entity, one) for one in condition["conditions"]]
            return any(each) if condition["logical_operator"] == "or" and each else all(each)
        value = self.value(entity, condition["path"])
        relation, wanted = condition["relation"], condition["values"]
        if relation in RELATIONS:
            return RELATIONS[relation](value, wanted)
        raise Refused(104, "API read() invalid relation: %s" % relation)


def copied(value):
    """A copy of a value as JSON has them."""
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    if isinstance(value, list):
        return [copied(one) for one in value]
    return value


def wrong_key(name):
    """The real site's words for a script that it does not let in."""
    return Refused(102, "Can't authenticate script '%s'" % name)


def same(value, wanted):
    """Whether a value is the wanted one, or a list has it; links are the same by type and id, nothing is an
    empty list.
    """
    if isinstance(value, list):
        return any(same(one, wanted) for one in value) if wanted is not None else not value
    if isinstance(value, dict) and isinstance(wanted, dict):
        return (value.get("type"), value.get("id")) == (wanted.get("type"), wanted.get("id"))
    return value == wanted


def order_of(value):
    """Something that any two values can be sorted by: nothing first, then numbers, then text."""
    if value is None:
        return (0, 0, "")
    return (1, value, "") if isinstance(value, (int, float)) else (2, 0, str(value))


RELATIONS = {
    "is": lambda value, wanted: same(value, wanted[0]),
    "is_not": lambda value, wanted: not same(value, wanted[0]),
    "in": lambda value, wanted: any(same(value, one) for one in wanted),
    "not_in": lambda value, wanted: not any(same(value, one) for one in wanted),
    "contains": lambda value, wanted: str(wanted[0]).lower() in str(value or "").lower(),
    "not_contains": lambda value, wanted: str(wanted[0]).lower() not in str(value or "").lower(),
    "starts_with": lambda value, wanted: str(value or "").lower().startswith(str(wanted[0]).lower()),
    "ends_with": lambda value, wanted: str(value or "").lower().endswith(str(wanted[0]).lower()),
    "greater_than": lambda value, wanted: value is not None and value > wanted[0],
    "between": lambda value, wanted: value is not None and wanted[0] <= value <= wanted[1],
    "less_than": lambda value, wanted: value is not None and value < wanted[0],
}
