"""Keys that the loaded core or its client takes while it runs."""

import functools
import importlib
import sys

#: The attributes of a connection's settings that nobody is to see.
_SECRET_SETTINGS = frozenset(
    (
        "api_key",
        "session_token",
        "user_password",
        "auth_token",
        "proxy_pass",
        "raw_http_proxy",
        "authorization",
    )
)


def learn_keys(learn):
    """
    Has `learn` called with each key, password and session token that the loaded core or its client takes from
    now on: as the settings of a connection, as a user's, or from a `shotgun.yml`. Nothing that it raises goes
    further.
    """
    if learn is None:
        return

    def told(value):
        try:
            if isinstance(value, str) and value:
                learn(value)
        except Exception:
            pass

    from tank_vendor.shotgun_api3 import shotgun

    _learn_settings(shotgun._Config, told)
    for module, names in (
        ("tank.authentication.user_impl", ("ScriptUser", "SessionUser")),
        ("tank.authentication.user", ("ScriptUser",)),
    ):
        for name in names:
            _learn_made(getattr(_module(module), name, None), told)
    _learn_returned(_module("tank.util.shotgun.connection"), "get_associated_sg_config_data", told)


def _module(name):
    return sys.modules.get(name) or _ask(lambda: importlib.import_module(name))


def _learn_settings(kind, told):
    original = kind.__setattr__
    original = getattr(original, "sgtk_host_original", original)

    def set_attribute(self, name, value):
        if name in _SECRET_SETTINGS:
            told(value)
        original(self, name, value)

    set_attribute.sgtk_host_original = original
    kind.__setattr__ = set_attribute


def _learn_made(kind, told):
    """Keys of users, also of those who never connect."""
    if not isinstance(kind, type):
        return
    original = kind.__init__
    original = getattr(original, "sgtk_host_original", original)

    @functools.wraps(original)
    def made(self, *args, **kwargs):
        original(self, *args, **kwargs)
        for name in ("_api_key", "_key", "_session_token", "_http_proxy", "http_proxy"):
            told(getattr(self, "__dict__", {}).get(name))

    made.sgtk_host_original = original
    kind.__init__ = made


def _learn_returned(module, name, told):
    """Keys in what a function of the module reads from a file."""
    original = getattr(module, name, None)
    if original is None:
        return
    original = getattr(original, "sgtk_host_original", original)

    @functools.wraps(original)
    def read(*args, **kwargs):
        data = original(*args, **kwargs)
        if isinstance(data, dict):
            for key in ("api_key", "http_proxy", "app_store_http_proxy"):
                told(data.get(key))
        return data

    read.sgtk_host_original = original
    setattr(module, name, read)
