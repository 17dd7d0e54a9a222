#!/usr/bin/python3
"""bot_api.py: the two methods of Telegram's Bot API that matter here, on 127.0.0.1, and ways in which they fail.

    bot_api.py --record FILE --token TOKEN MODE

Prints its port and runs until it is killed. The answers have the Bot API's form and its words
(https://core.telegram.org/bots/api#making-requests). Modes:

    ok              a bot with this token; another token is 401, one that cannot be a token 404
    unauthorized    401 for every token
    busy            429, with retry_after in the parameters and the header
    chat_not_found  400; blocked  403, the person has blocked the bot
    html            502 and the page of a proxy, which shows the path with the token
    not_json        200 and a text; truncated  200 and half an answer; not_ok  200 and {"ok": false}
    redirect        302 to /elsewhere on this server
    huge            200 and 1 GiB of JSON; endless_headers  header lines without end
    hang            takes the request and never answers; drip  a byte of the answer a second
    close           takes the request and goes

The record has one JSON object per line: {"method", "path", "headers", "body", "status", "message"}; "message" is
[chat_id, text] where the answer says that it was sent, else null.
"""

import argparse
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

RETRY_AFTER = 17
GIB = 1 << 30


def failure(status, description, **more):
    return status, {"ok": False, "error_code": status, "description": description, **more}


class Bot(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "nginx/1.18.0"
    sys_version = ""

    def log_message(self, *_):
        """Nothing on standard error: the record has it all."""

    def do_GET(self):
        self.work()

    def do_POST(self):
        self.work()

    def work(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.body = body.decode("utf-8", "replace")
        self.sent = None
        getattr(self, "mode_" + self.server.mode)()

    def record(self, status):
        self.server.record({
            "method": self.command, "path": self.path, "headers": [list(pair) for pair in self.headers.items()],
            "body": self.body, "status": status, "message": self.sent,
        })

    def send(self, status, text, kind="application/json", **headers):
        self.record(status)
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def send_json(self, status, answer, **headers):
        # Telegram escapes everything beyond ASCII, and so does json.dumps.
        self.send(status, json.dumps(answer), **headers)

    def mode_ok(self):
        self.send_json(*self.answer())

    def answer(self):
        url = urlsplit(self.path)
        found = re.fullmatch(r"/bot([^/]+)/(\w+)", url.path)
        if not found or not re.fullmatch(r"\d+:[\w-]{35}", found[1]):
            return failure(404, "Not Found")
        if found[1] != self.server.token:
            return failure(401, "Unauthorized")
        me = {"id": int(found[1].split(":")[0]), "is_bot": True, "first_name": "Logins", "username": "logins_bot"}
        if found[2].lower() == "getme":
            return 200, {"ok": True, "result": {**me, "can_join_groups": False}}
        if found[2].lower() != "sendmessage":
            return failure(404, "Not Found")
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("application/json"):
            try:
                fields = json.loads(self.body)
            except ValueError:
                return failure(400, "Bad Request: can't parse JSON object")
        else:
            form = self.body if kind.startswith("application/x-www-form-urlencoded") else url.query
            fields = {name: values[0] for name, values in parse_qs(form).items()}
        chat = str(fields.get("chat_id", ""))
        text = fields.get("text", "")
        if not chat:
            return failure(400, "Bad Request: chat_id is empty")
        if not re.fullmatch(r"-?\d+", chat):
            return failure(400, "Bad Request: chat not found")
        if not isinstance(text, str) or not text.strip():
            return failure(400, "Bad Request: message text is empty")
        # Telegram counts as JavaScript does.
        if len(text.encode("utf-16-le")) // 2 > 4096:
            return failure(400, "Bad Request: message is too long")
        self.sent = [int(chat), text]
        message = {"message_id": self.server.count(), "from": me, "chat": {"id": int(chat), "type": "private"},
                   "date": int(time.time()), "text": text}
        return 200, {"ok": True, "result": message}

    def mode_unauthorized(self):
        self.send_json(*failure(401, "Unauthorized"))

    def mode_busy(self):
        text = f"Too Many Requests: retry after {RETRY_AFTER}"
        self.send_json(*failure(429, text, parameters={"retry_after": RETRY_AFTER}), Retry_After=str(RETRY_AFTER))

    def mode_chat_not_found(self):
        self.send_json(*failure(400, "Bad Request: chat not found"))

    def mode_blocked(self):
        self.send_json(*failure(403, "Forbidden: bot was blocked by the user"))

    def mode_html(self):
        page = f"<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1>{self.path}</body></html>\r\n"
        self.send(502, page, kind="text/html")

    def mode_not_json(self):
        self.send(200, "fine, thank you")

    def mode_truncated(self):
        self.send(200, '{"ok":true,"result":{"message_id":')

    def mode_not_ok(self):
        self.send_json(200, {"ok": False, "description": "not today"})

    def mode_redirect(self):
        if self.path.startswith("/elsewhere"):
            self.send_json(200, {"ok": True, "result": {"message_id": 1}})
        else:
            port = self.server.server_address[1]
            self.send(302, "", Location=f"http://127.0.0.1:{port}/elsewhere")

    def mode_huge(self):
        self.record(200)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(GIB))
        self.end_headers()
        self.wfile.write(b'{"ok":true,"result":{"text":"')
        for _ in range(GIB // 65536):
            self.wfile.write(b"a" * 65536)

    def mode_endless_headers(self):
        self.record(200)
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(GIB):
            self.wfile.write(b"X-Header-%d: %s\r\n" % (number, b"a" * 1000))

    def mode_hang(self):
        self.record(0)
        self.rfile.read(1)
        self.close_connection = True

    def mode_drip(self):
        self.record(200)
        for byte in b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"ok":true}':
            self.wfile.write(bytes([byte]))
            time.sleep(1)

    def mode_close(self):
        self.record(0)
        self.close_connection = True

    def handle(self):
        try:
            super().handle()
        except OSError:
            # The client has had enough; what it sent is in the record.
            self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, options):
        super().__init__(("127.0.0.1", 0), Bot)
        self.mode, self.token = options.mode, options.token
        self.file = open(options.record, "a", buffering=1)
        self.lock = threading.Lock()
        self.messages = 0

    def record(self, entry):
        with self.lock:
            self.file.write(json.dumps(entry) + "\n")

    def count(self):
        with self.lock:
            self.messages += 1
            return self.messages


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("mode")
    options = parser.parse_args()
    if not hasattr(Bot, "mode_" + options.mode):
        parser.error(f"no such mode: {options.mode}")
    server = Server(options)
    print(server.server_address[1], flush=True)
    server.serve_forever()


main()
