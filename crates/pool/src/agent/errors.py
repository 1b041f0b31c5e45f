"""Exceptions as text, even if they raise while they are formatted."""

import os
import sys

#: Characters of a message or a traceback that are sent.
LONGEST = 1 << 16

#: Characters of a class's name, and the number of its bases, that are sent, so that all fits into one
#: message.
LONGEST_NAME = 500
MOST_BASES = 100

#: Texts that must not leave the process, with all that a text may show of them; see `conceal`.
_secrets = {}

#: How many are known at a time. A session has a new one for each hour or so.
MOST_SECRETS = 256


def conceal(secret):
    """Registers a text that is replaced in exceptions and log records, and that the daemon is to replace in
    whatever this process, and what it has started, prints.
    """
    if secret and len(secret) >= 4 and secret not in _secrets:
        # Before anybody can print it.
        part("records").tell_secret(secret)
        _secrets[secret] = sorted(set(_forms(secret)), key=len, reverse=True)
        if len(_secrets) > MOST_SECRETS:
            del _secrets[next(iter(_secrets))]


def tell_secrets():
    """Tells the daemon again, for a process that has come to know them before it was forked."""
    for secret in list(_secrets):
        part("records").tell_secret(secret)


def _forms(secret):
    """A secret as a text may show it: as it is, in JSON, each of them by `repr` as well, and in an address.
    """
    import json
    import urllib.parse

    yield urllib.parse.quote(secret)
    yield urllib.parse.quote(secret, safe="")
    for text in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        doubled = text.replace("\\", "\\\\")
        for form in (doubled.replace("'", "\\'"), doubled, text):
            yield form


def clean(text, longest=LONGEST):
    """`text` without secrets and lone surrogates, and cut in the middle if it is very long."""
    for forms in list(_secrets.values()):
        for form in forms:
            text = text.replace(form, "[hidden]")
    if len(text) > longest:
        half = longest // 2
        left_out = len(text) - 2 * half
        text = "%s\n[... %d characters left out ...]\n%s" % (text[:half], left_out, text[-half:])
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def describe(error, note=None):
    """The exception as a message; `note` names the step that failed."""
    kind = type(error)
    bases = type.__dict__["__mro__"].__get__(kind)[:MOST_BASES]
    described = {
        "type": clean(type_name(kind), LONGEST_NAME),
        "message": clean(message(error)),
        "traceback": clean(traceback_of(error)),
        "mro": [clean(plain_name(base), LONGEST_NAME) for base in bases],
    }
    if note:
        described["note"] = clean(note)
    return described


def type_name(kind):
    """`module.Class`, or `Class` alone for a built-in."""
    try:
        module = type.__dict__["__module__"].__get__(kind)
        name = type.__dict__["__qualname__"].__get__(kind)
        return name if module in ("builtins", None) else "%s.%s" % (module, name)
    except BaseException:
        return plain_name(kind)


def plain_name(kind):
    """The class's name, without its metaclass."""
    try:
        return str(type.__dict__["__name__"].__get__(kind))
    except BaseException:
        return "<unnamed>"


def message(error):
    """`str(error)`, or a note if that raises."""
    try:
        # Not an instance of a subclass of `str`.
        return "".join(str(error))
    except BaseException as second:
        return "<the exception's __str__ raised %s>" % plain_name(type(second))


def traceback_of(error):
    """The traceback with its causes, as Python prints it, without the agent's own frames at its beginning."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith("<sgtk-host>"):
        trace = trace.tb_next
    try:
        import traceback

        return "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n")
    except BaseException:
        # The module `traceback` fails for some exceptions.
        lines = ["Traceback (most recent call last):"]
        while trace is not None:
            code = trace.tb_frame.f_code
            lines.append('  File "%s", line %d, in %s' % (code.co_filename, trace.tb_lineno, code.co_name))
            trace = trace.tb_next
        lines.append("%s: %s" % (type_name(type(error)), message(error)))
        return "\n".join(lines)


def print_to_stderr(what, error):
    """Prints an exception that cannot be sent."""
    try:
        text = "%s: %s\n" % (what, clean(traceback_of(error)))
        os.write(2, text.encode("utf-8", "backslashreplace"))
    except BaseException:
        pass


def do_not_compile(paths):
    """The files among these that are there and do not compile, each with the reason."""
    found = []
    for path in paths:
        try:
            with open(path, "rb") as stream:
                compile(stream.read(), path, "exec", dont_inherit=True)
        except FileNotFoundError:
            pass
        except Exception as error:
            found.append([path, clean("%s: %s" % (plain_name(type(error)), message(error)))])
    return found
