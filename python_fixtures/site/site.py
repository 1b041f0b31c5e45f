"""A site on the loopback interface, for bootstraps: `POST /api3/json` and `POST /api3/track_metrics/`.

    python -I -S site.py

It listens on a free port of 127.0.0.1 and says which on standard output: `{"port": 12345}`. From then on it
takes orders on standard input, one JSON object a line, and answers each with one on standard output. It ends
when standard input does.

    {"add": [{"type": "Project", "id": 176, ...}, ...]}      {"remove": {"type": "Project", "id": 176}}
    {"script": {"name": "daemon", "key": "..."}}              {"forget_script": "daemon"}
    {"fault": {"kind": KIND, "does": DOES, "times": 2}}       {"clear_faults": true}
    {"release": true}     lets go of what hangs               {"stop_hanging": true}: the same, for later
    requests too {"entities": "Shot"}  those that there are {"record": true}      the requests so far
    {"forget_record": true} {"events": [{"event_type": ..., "hold": true}, ...]}      new entries of the event
    log: their ids {"hold": true}        entries get ids, and cannot be seen {"commit": [ids] or null},
    {"roll_back": [ids]} {"wait": {"kind": KIND, "count": 1, "seconds": 60}}       until so many requests of
    the kind have come {"tls": {"chain": "chain.pem", "key": "key.pem"}}         serves over TLS as well: its
    port; again: another certificate

A request's KIND is `info`, `read:TYPE`, another method's name, or `track_metrics`; `read` means every read,
`*` every request. DOES is one of `"wrong_key"` (the site's words for a script whose key is wrong),
`{"refuse": [code, message]}` (another exception of the site), `{"status": 502}`, `{"delay": seconds}` (and
then answers), `"hang"` (until released, and then answers), `"hang_up"` (in the middle of the answer),
`"garbage"` (an answer that is no JSON), `{"answer": text}` (this one), `"gzip"` (one that cannot be unpacked),
`"page"` (HTML with the status 200), `"no_http"` (one that is no HTTP). Faults are asked in the order in which
they were set; without `times` one stays. Keys are compared and kept, never told.
"""

import http.server
import json
import os
import socketserver
import ssl
import sys
import threading
import time

sys.path.append(os.path.dirname(os.path.abspath(__file__)))

from log import Log, Writes
from records import Records, Refused, wrong_key

VERSION = [8, 70, 0]
WRITES = ("create", "update", "delete", "revive", "batch", "schema_field_read")


class Site(object):
    """The state that requests and orders share."""

    def __init__(self):
        self.changed = threading.Condition()
        self.records = Records()
        self.log = Log(self.records)
        self.writes = Writes(self.records, self.log, Refused)
        self.faults = []
        self.requests = []
        self.released = 0
        self.hanging = 0
        self.stopped_hanging = False

    def note(self, kind, who, proxied):
        """Writes a request down and returns what is to go wrong with it."""
        with self.changed:
            request = {"kind": kind, "script": who, "proxied": proxied}
            self.requests.append(request)
            self.changed.notify_all()
            for fault in self.faults:
                if meant(fault["kind"], kind) and fault["times"] != 0:
                    if fault["times"] is not None:
                        fault["times"] -= 1
                    request["fault"] = (
                        fault["does"] if isinstance(fault["does"], str) else list(fault["does"])[0]
                    )
                    return fault["does"]
        return None

    def hang(self):
        """Waits until it is let go of."""
        with self.changed:
            mine = self.released
            self.hanging += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.stopped_hanging or self.released > mine)
            self.hanging -= 1
            self.changed.notify_all()

    def answer(self, method, params):
        """What the site has to say to a call of its API."""
        if method == "info":
            return {
                "full_version": VERSION + [0],
                "version": VERSION,
                "user_authentication_method": "default",
                "unified_login_flow_enabled": False,
                "authentication_app_session_launcher_enabled": False,
                "api_max_entities_per_page": 500,
                "s3_uploads_enabled": False,
                "s3_direct_uploads_enabled": False,
                "s3_enabled_upload_types": {},
            }
        if not params or not isinstance(params[0], dict):
            raise Refused(103, "API %s() needs authentication" % method)
        with self.changed:
            who = self.records.who(params[0])
            if method == "read":
                return {"results": self.records.read(params[1])}
            if method == "get_session_token":
                return {"results": {"session_id": self.records.session(who)}}
            if method in WRITES:
                return {"results": self.writes.call(method, params[0], who, params[1])}
        raise Refused(104, "API method %s() is not known" % method)

    def carry_out(self, order):
        """Does what the line on standard input asks for."""
        if "wait" in order:
            return self.wait(**order["wait"])
        if "tls" in order:
            return {"port": serve_tls(**order["tls"])}
        with self.changed:
            if "add" in order:
                for entity in order["add"]:
                    self.records.add(entity)
            elif "events" in order:
                return {"ids": [self.log.enter(fields) for fields in order["events"]]}
            elif "entities" in order:
                found = self.records.entities.get(order["entities"], {})
                return {"entities": [found[number] for number in sorted(found)]}
            elif "hold" in order:
                self.log.holding = order["hold"]
            elif "commit" in order:
                self.log.commit(order["commit"])
            elif "roll_back" in order:
                self.log.roll_back(order["roll_back"])
            elif "remove" in order:
                self.records.remove(order["remove"]["type"], order["remove"]["id"])
            elif "script" in order:
                self.records.scripts[order["script"]["name"]] = order["script"]["key"]
            elif "forget_script" in order:
                self.records.scripts.pop(order["forget_script"], None)
            elif "fault" in order:
                self.faults.append(dict({"times": None}, **order["fault"]))
            elif "clear_faults" in order:
                self.faults = []
            elif "release" in order or "stop_hanging" in order:
                self.released += 1
                self.stopped_hanging = "stop_hanging" in order
                self.changed.notify_all()
            elif "record" in order:
                return {"requests": list(self.requests), "hanging": self.hanging}
            elif "forget_record" in order:
                self.requests = []
            else:
                raise ValueError("no such order: %s" % ", ".join(order))
        return {}

    def wait(self, kind, count, seconds):
        """Whether so many requests of a kind have come (for the kind `hanging`: hang now) within a time."""
        with self.changed:
            if kind == "hanging":
                return {"came": self.changed.wait_for(lambda: self.hanging >= count, seconds)}

            def came():
                return sum(meant(kind, request["kind"]) for request in self.requests) >= count

            return {"came": self.changed.wait_for(came, seconds)}


def meant(wanted, kind):
    """Whether a kind of request is the wanted one, or one of those."""
    return wanted in ("*", kind) or kind.startswith(wanted + ":")


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Nagle's algorithm and delayed acknowledgements would make 40 ms of each answer.
    disable_nagle_algorithm = True
    proxied = False

    def do_CONNECT(self):
        """The site is its own HTTP proxy: what follows on this connection is meant for itself."""
        self.proxied = True
        self.send_response_only(200)
        self.end_headers()

    def do_GET(self):
        """Something to see that it is there."""
        self.send(200, b"a site for tests\n", "text/plain")

    def do_POST(self):
        """A call of the API, or metrics."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path
        if "://" in path:
            self.proxied = True
            path = "/" + path.split("://", 1)[1].partition("/")[2]
        if path not in ("/api3/json", "/api3/track_metrics/"):
            return self.send(404, b"nothing here\n", "text/plain")
        try:
            call = json.loads(body.decode("utf-8"))
        except ValueError:
            return self.send(400, b"no JSON\n", "text/plain")
        if path == "/api3/json":
            method, params = call.get("method_name"), call.get("params") or []
            kind, auth = method, params[0] if params else {}
            if method == "read":
                kind = "read:%s" % (params[1] if len(params) > 1 else {}).get("type")
        else:
            kind, auth = "track_metrics", call.get("auth_args") or {}
        name = auth.get("script_name") if isinstance(auth, dict) else None
        does = SITE.note(kind, name, self.proxied)
        if does == "hang":
            SITE.hang()
        elif isinstance(does, dict) and "delay" in does:
            time.sleep(does["delay"])

        if kind == "track_metrics":
            status, answer = self.metrics(auth)
        else:
            status, answer = 200, self.call(method, params, name, does)
        if isinstance(does, dict) and "status" in does:
            return self.send(does["status"], b"<html>it is not your fault</html>\n", "text/html")
        if does == "garbage":
            return self.send(200, b'{"results": [{"type": "Proj', "application/json")
        if isinstance(does, dict) and "answer" in does:
            return self.send(200, does["answer"].encode("utf-8"), "application/json")
        if does == "gzip":
            kind = "application/json\r\ncontent-encoding: gzip"
            return self.send(200, b"\x1f\x8b of no use", kind)
        if does == "page":
            return self.send(200, b"<html>please log in</html>\n", "text/html")
        if does == "no_http":
            self.close_connection = True
            return self.wfile.write(b"\x00\xff this is no answer \r\n\r\n")
        text = json.dumps(answer).encode("utf-8")
        self.send(status, text, "application/json; charset=utf-8", cut=does == "hang_up")

    def call(self, method, params, name, does):
        """The answer to a call, or the site's exception."""
        try:
            if does == "wrong_key":
                raise wrong_key(name)
            if isinstance(does, dict) and "refuse" in does:
                raise Refused(*does["refuse"])
            return SITE.answer(method, params)
        except Refused as refused:
            return {"exception": True, "error_code": refused.code, "message": str(refused)}

    def metrics(self, auth):
        """Metrics are taken from whoever has a session."""
        try:
            SITE.records.who(auth)
        except Refused as refused:
            return 401, {"message": str(refused)}
        return 200, {}

    def send(self, status, body, kind, cut=False):
        """Sends an answer in one go, or half of it and then the end of the connection."""
        head = "HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n" % (
            status,
            self.responses.get(status, ("Unknown",))[0],
            kind,
            len(body),
        )
        answer = head.encode("latin-1") + body
        if cut:
            self.close_connection = True
            answer = answer[: len(answer) - len(body) // 2 - 1]
        self.wfile.write(answer)

    def log_message(self, *arguments):
        """Nothing is logged: there are keys in what comes."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A thread for each connection; none of them keeps the site from ending."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        # Not `HTTPServer`'s own, which asks for the host's name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address):
        """A client that went away is none of the site's business; a mistake of the site is, without its
        locals.
        """
        if not isinstance(sys.exc_info()[1], OSError):
            super(Server, self).handle_error(request, client_address)


class Tls(Server):
    """The same over TLS, with a certificate that can be replaced. Each handshake is made on its connection's
    own thread.
    """

    def __init__(self):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        super(Tls, self).__init__(("127.0.0.1", 0), Handler)

    def finish_request(self, request, client_address):
        """Wraps the connection. A client that does not trust the certificate goes away here."""
        super(Tls, self).finish_request(self.context.wrap_socket(request, server_side=True), client_address)

    def shutdown_request(self, request):
        """Wrapping has detached the socket that came."""
        self.close_request(request)


def serve_tls(chain, key, served=[]):
    """Serves over TLS from now on, or with another certificate. Returns the port."""
    if not served:
        served.append(Tls())
        threading.Thread(target=served[0].serve_forever, daemon=True).start()
    served[0].context.load_cert_chain(chain, key)
    return served[0].server_port


SITE = Site()


def say(answer):
    """Answers an order."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main():
    """Serves until standard input ends."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say({"port": server.server_port})
    for line in sys.stdin:
        try:
            say(SITE.carry_out(json.loads(line)))
        except Exception as error:
            say({"error": "%s: %s" % (type(error).__name__, error)})
    # At once: threads that hang are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
