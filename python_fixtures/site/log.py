"""The site's event log: events in transactions, whose ids are given out before they can be seen; and writes
that cause events.
"""

import bisect
import copy
import time
import uuid

#: The fields of an entry, null where nothing was said.
FIELDS = (
    "event_type",
    "attribute_name",
    "meta",
    "entity",
    "user",
    "project",
    "session_uuid",
    "created_at",
    "description",
)

#: What a field is, by the type of its value.
TYPES = {
    "bool": "checkbox",
    "int": "number",
    "float": "float",
    "dict": "entity",
    "list": "multi_entity",
    "str": "text",
}


def now():
    """The time as the site writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Log(object):
    """Entries by id, those that can be seen and those whose transactions have not ended."""

    kind = "EventLogEntry"

    def __init__(self, records):
        self.records = records
        self.last = 0
        self.held = {}
        self.holding = False

    def visible(self):
        """The entries that can be seen."""
        return self.records.entities.setdefault(self.kind, {})

    def enter(self, fields):
        """Gives an entry an id, and shows it unless it is held back. Returns the id."""
        entry = {name: None for name in FIELDS}
        entry.update(created_at=now(), meta={})
        entry.update(copy.deepcopy(fields))
        hold = entry.pop("hold", self.holding)
        number = entry.pop("id", None) or self.last + 1
        self.last = max(self.last, number)
        entry.update(type=self.kind, id=number)
        if hold:
            self.held[number] = entry
        else:
            self.show(entry)
        return number

    def show(self, entry):
        """Makes an entry visible."""
        self.records.added(entry)

    def commit(self, numbers):
        """Ends transactions: all that are held, or those of some ids."""
        for number in sorted(self.held) if numbers is None else numbers:
            self.show(self.held.pop(number))

    def roll_back(self, numbers):
        """Ends transactions whose entries never come."""
        for number in numbers:
            del self.held[number]

    def wrote(self, auth, who, kind, entity, event, attribute=None, meta=None):
        """An entry for a write: who, in which session, of which project."""
        project = entity if entity["type"] == "Project" else entity.get("project")
        link = {"type": entity["type"], "id": entity["id"], "name": entity.get("name") or entity.get("code")}
        about = {"entity_type": entity["type"], "entity_id": entity["id"]}
        about.update(meta or {}, type=event)
        self.enter(
            {
                "event_type": "Shotgun_%s_%s" % (entity["type"], kind),
                "attribute_name": attribute,
                "meta": about,
                "entity": link,
                "user": {"type": "ApiUser", "id": self.records.script_id(who), "name": who},
                "project": project and {"type": "Project", "id": project["id"], "name": project.get("name")},
                "session_uuid": auth.get("session_uuid") or str(uuid.uuid4()),
            }
        )


class Writes(object):
    """`create`, `update`, `delete`, `revive`, `batch`, `schema_field_read`."""

    def __init__(self, records, log, refused):
        self.records, self.log, self.refused = records, log, refused
        self.numbers = {}

    def call(self, method, auth, who, params):
        """The results of a call."""
        if method == "batch":
            before = copy.deepcopy(
                {kind: all for kind, all in self.records.entities.items() if kind != Log.kind}
            )
            seen = self.log.last
            try:
                return [self.call(one["request_type"], auth, who, one) for one in params]
            except Exception:
                # All of it or nothing; the ids of its events are gone all the same, as on the real site.
                entries = self.log.visible()
                self.records.entities = dict(before, EventLogEntry=entries)
                for number in [number for number in entries if number > seen]:
                    self.records.remove(Log.kind, number)
                raise
        kind = params.get("type")
        if method == "schema_field_read":
            return self.schema(kind, params.get("field_name"))
        if method == "create":
            return self.create(auth, who, kind, params)
        entity = self.records.entities.get(kind, {}).get(params.get("id"))
        retired = self.records.retired.get((kind, params.get("id")))
        if method == "revive" and retired is not None:
            self.records.add(self.records.retired.pop((kind, params["id"])))
            self.log.wrote(auth, who, "Revival", retired, "entity_revival")
            return True
        if entity is None:
            raise self.refused(
                104,
                "API %s() CRUD ERROR: Entity of type %s with id=%s does not exist"
                % (
                    method,
                    kind,
                    params.get("id"),
                ),
            )
        if method == "delete":
            self.records.retired[kind, entity["id"]] = entity
            self.records.remove(kind, entity["id"])
            self.log.wrote(auth, who, "Retirement", entity, "entity_retirement")
            return True
        return self.update(auth, who, entity, params)

    def create(self, auth, who, kind, params):
        """A new entity."""
        number = max([self.numbers.get(kind, 0)] + list(self.records.entities.get(kind, {}))) + 1
        self.numbers[kind] = number
        entity = {"type": kind, "id": number}
        entity.update({field["field_name"]: field["value"] for field in params.get("fields") or ()})
        if kind == Log.kind:
            entity.pop("id")
            return {"type": kind, "id": self.log.enter(entity)}
        self.records.add(entity)
        self.log.wrote(auth, who, "New", entity, "new_entity")
        return self.records.shown(entity, params.get("return_fields") or [])

    def update(self, auth, who, entity, params):
        """New values of fields, an event for each that changes."""
        answer = {"type": entity["type"], "id": entity["id"]}
        for field in params.get("fields") or ():
            name, value = field["field_name"], field["value"]
            old = entity.get(name)
            mode = field.get("multi_entity_update_mode")
            if mode == "add":
                value = (old or []) + [one for one in value if one not in (old or [])]
            elif mode == "remove":
                value = [one for one in old or () if one not in value]
            entity[name] = value
            answer[name] = copy.deepcopy(value)
            if old != value:
                meta = {
                    "attribute_name": name,
                    "old_value": old,
                    "new_value": value,
                    "field_data_type": TYPES.get(type(value).__name__, "text"),
                }
                self.log.wrote(auth, who, "Change", entity, "attribute_change", name, meta)
        return answer

    def schema(self, kind, name):
        """What fields there are, by what entities have."""
        fields = {}
        for entity in self.records.entities.get(kind, {}).values():
            fields.update(
                {key: value for key, value in entity.items() if value is not None or key not in fields}
            )
        for key in self.records.fields_of(kind):
            fields.setdefault(key, None)
        if name is not None:
            if name not in fields:
                raise self.refused(104, "API schema_field_read() %s.%s doesn't exist" % (kind, name))
            fields = {name: fields[name]}
        told = {}
        for key, value in fields.items():
            data_type = "status_list" if key == "sg_status_list" else TYPES.get(type(value).__name__, "text")
            told[key] = {
                "name": {"value": key, "editable": True},
                "data_type": {"value": data_type, "editable": False},
                "entity_type": {"value": kind, "editable": False},
                "editable": {"value": True, "editable": False},
                "visible": {"value": True, "editable": True},
                "properties": {"default_value": {"value": None, "editable": False}},
            }
        return told


def candidates(entries, order, condition):
    """The ids that a condition on ids leaves, of entries whose ids are sorted in `order`; None where it says
    nothing.
    """
    if not condition:
        return None
    if "conditions" in condition:
        parts = [candidates(entries, order, one) for one in condition["conditions"]]
        if condition.get("logical_operator") == "or":
            if not parts or any(part is None for part in parts):
                return None
            return sorted(set().union(*parts))
        told = [part for part in parts if part is not None]
        return min(told, key=len) if told else None
    if condition.get("path") != "id":
        return None
    relation, wanted = condition["relation"], condition["values"]
    if relation == "greater_than":
        return order[bisect.bisect_right(order, wanted[0]) :]
    if relation == "between":
        low, high = wanted if len(wanted) == 2 else wanted[0]
        return order[bisect.bisect_left(order, low) : bisect.bisect_right(order, high)]
    if relation in ("in", "is"):
        return sorted(number for number in wanted if number in entries)
    return None
