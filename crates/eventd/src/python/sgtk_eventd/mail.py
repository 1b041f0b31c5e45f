"""Mails about errors, by the settings of `[emails]`."""

import smtplib
from email.header import Header
from email.mime.text import MIMEText
from email.utils import formatdate

from .configuration import configuration


def connected(parser):
    """A connection to the server, logged in where the file says so."""
    port = parser.getint("emails", "port") if parser.has_option("emails", "port") else 25
    server = smtplib.SMTP(parser.text("emails", "server"), port, timeout=20)
    try:
        if parser.has_option("emails", "useTLS") and parser.getboolean("emails", "useTLS"):
            server.starttls()
        if parser.text("emails", "username"):
            server.login(parser.text("emails", "username"), parser.text("emails", "password") or "")
    except BaseException:
        server.close()
        raise
    return server


def attempt(path):
    """Connects, and sends nothing."""
    connected(configuration(path)).close()


def send(path, receivers, subject, text):
    """Sends one mail."""
    parser = configuration(path)

    def value(key):
        return parser.text("emails", key)

    message = MIMEText(text, "plain", "utf-8")
    message["From"], message["To"] = value("from"), ", ".join(receivers)
    message["Subject"] = Header("%s %s" % (value("subject"), subject), "utf-8")
    message["Date"] = formatdate(localtime=True)
    server = connected(parser)
    try:
        server.sendmail(value("from"), receivers, message.as_string())
    finally:
        server.close()
