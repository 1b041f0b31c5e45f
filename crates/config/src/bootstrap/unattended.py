"""A daemon has nobody to ask, and no time without end: limits on calls to the site, no prompts."""

import importlib
import os
import sys
import threading
import time
import weakref

#: The shortest limit of a call, in seconds.
_SHORTEST = 0.05

#: The longest limit that a socket takes, in seconds: it counts milliseconds in 31 bits.
_LONGEST = 2000000.0

#: Of each thread: when the bootstrap that is on its way has to end, and the connections that have its limit.
_own = threading.local()
#: Clients whose connections have the shorter limit of a bootstrap, and the one that they are to have.
_hurried_factories = []


def prepare_core(site_timeout, learn):
    """Prepares a core that was just imported. Nothing of it fails where the core lacks something."""
    for prepare in (lambda: limit_site_calls(site_timeout), lambda: learn_keys(learn), ask_nobody):
        _ask(prepare)


def limit_site_calls(seconds):
    """
    Gives connections that are made from now on with the loaded core's client a limit, in seconds, for each
    try of a call. The client's own default is none: a site that hangs is waited for without end. While a
    bootstrap with a limit of its own is on its way, none waits for longer than that.
    """
    from tank_vendor.shotgun_api3 import shotgun

    seconds = None if seconds is None else min(seconds, _LONGEST)
    original = shotgun._Config.__init__
    if hasattr(original, "sgtk_host_limit"):
        original = original.sgtk_host_limit

    def limited(self, *args, **kwargs):
        original(self, *args, **kwargs)
        limit = _limit(seconds)
        if not hasattr(self, "timeout_secs"):
            _limit_factory(shotgun, limit)
            if limit != seconds:
                _hurried_factories.append((shotgun, seconds))
        elif limit is not None and self.timeout_secs is None:
            self.timeout_secs = limit
            if limit != seconds:
                _own.hurried.append((weakref.ref(self), seconds))

    limited.sgtk_host_limit = original
    shotgun._Config.__init__ = limited


def _limit(seconds):
    deadline = getattr(_own, "deadline", None)
    if deadline is None:
        return seconds
    left = min(_LONGEST, max(_SHORTEST, deadline - time.monotonic()))
    return left if seconds is None else min(seconds, left)


def _limit_factory(shotgun, seconds):
    """Old clients' settings have no limit: what makes their connections gets one, or none again."""
    kind = getattr(shotgun, "Http", None)
    original = getattr(kind, "sgtk_host_original", kind)
    if original is None:
        return

    def http(*args, **kwargs):
        if len(args) < 2 and kwargs.get("timeout") is None:
            kwargs["timeout"] = seconds
        return original(*args, **kwargs)

    http.sgtk_host_original = original
    shotgun.Http = original if seconds is None else http


def hurry(seconds):
    """Has no call to the site wait for longer than the bootstrap that begins now may take."""
    _own.deadline = None if seconds is None else time.monotonic() + seconds
    _own.hurried = []


def relax():
    """Gives connections that were made in a hurry the limit of others, from their next call on."""
    _own.deadline = None
    for shotgun, seconds in _hurried_factories:
        _limit_factory(shotgun, seconds)
    del _hurried_factories[:]
    hurried, _own.hurried = _own.hurried, []
    for config, seconds in hurried:
        config = config()
        if config is None:
            continue
        config.timeout_secs = seconds
        # An open connection has the limit that it was made with.
        close = getattr(getattr(config, "_sg", None), "close", None)
        if close is not None:
            _ask(close)


def ask_nobody():
    """Has the loaded core ask nobody for a name or a password, but fail at once."""
    name = "tank.authentication.console_authentication"
    module = sys.modules.get(name) or _ask(lambda: importlib.import_module(name))
    kind = getattr(module, "ConsoleAuthenticationHandlerBase", None)
    if kind is None:
        return
    from tank.authentication.errors import AuthenticationCancelled

    def authenticate(self, hostname, login, http_proxy):
        error = AuthenticationCancelled()
        # It takes none.
        error.args = (
            "%s needs a password or a new session on %s, and a daemon has nobody to ask" % (login, hostname),
        )
        raise error

    kind.authenticate = authenticate


def unattended_variables(environment):
    """
    What keeps programs that Toolkit starts from asking questions: git, and ssh for it. What `environment`
    says on these stays, but for the batch mode of ssh.
    """
    variables = {"GIT_TERMINAL_PROMPT": "0"}
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        if not environment.get(name):
            # Answers nothing, so that what asks fails.
            variables[name] = "true"
    ssh = environment.get("GIT_SSH_COMMAND")
    if ssh or not environment.get("GIT_SSH"):
        ssh = ssh or "ssh"
        variables["GIT_SSH_COMMAND"] = ssh if "BatchMode" in ssh else ssh + " -o BatchMode=yes"
    return variables


def be_unattended():
    """Gives this project's environment those variables."""
    os.environ.update(unattended_variables(os.environ))
