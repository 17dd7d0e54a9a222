#!/usr/bin/python3
"""misbehave.py: a mail server on 127.0.0.1 that does what a script tells it, and writes down all it was told.

    misbehave.py --record FILE --certificates FOLDER [--security tls|starttls] [--certificate NAME]
                 [--auth "PLAIN LOGIN"] [RULE…]

Without a rule it takes every message, from whoever signs in with whatever. It prints its port and runs until it is
killed. Only the standard library: a mail library would not let itself be talked into most of this.

A RULE is DEED:STAGE[:MORE]. STAGE is where it happens:

    connect    the connection is there; nothing was said, and with implicit TLS there is no TLS yet
    greeting   instead of the greeting (with implicit TLS: after the handshake)
    ehlo starttls auth mail rcpt data quit   instead of the answer to that command
    secure     instead of the answer to an EHLO under TLS, also of the one after STARTTLS, which ehlo leaves alone
    handshake  after the answer to STARTTLS, before the handshake
    message    instead of the answer to the message's end

DEED:

    silent:STAGE        never another word; reads on
    drip:STAGE          one byte a second, for ever: of a reply; before TLS, of a TLS record, which takes hours
    endless:STAGE       lines without end, as fast as they are taken, 1 GiB
    long_line:STAGE     1 GiB without a line's end
    garbage:STAGE       what an HTTP server says
    reply:STAGE:CODE    CODE and a text which repeats what the client said last, as some servers do
    close:STAGE         ends the connection; reset:STAGE does so without manners

Rules without a stage:

    no_starttls         STARTTLS is neither offered nor known
    inject_starttls     answers stand behind the one to STARTTLS, in clear text, for a client that keeps them
    no_auth             AUTH is not offered, not under TLS either
    auth_in_clear       AUTH is offered, and taken, before TLS

The record has one JSON object per line: {"connection": 1, "seconds": 0.01, "tls": false, "event": EVENT, "text": …};
"tls" says whether it came through TLS, whose handshake the client has finished. EVENT: connected; line, a line of the
client; signed_in, AUTH decoded; message, the message's lines; bytes, what came when nobody listened; tls, the
handshake is done; tls_failed, it is not; stuck, a deed begins, with its stage; sent, how many bytes a flood took;
closed, by the client; left, by this server.
"""

import argparse
import base64
import json
import socket
import ssl
import struct
import threading
import time

GIB = 1 << 30
STAGES = "connect greeting ehlo secure starttls handshake auth mail rcpt data message quit".split()
WITHOUT_STAGE = ["no_starttls", "inject_starttls", "no_auth", "auth_in_clear"]


class Gone(Exception):
    """The connection is over: "closed" by the client or "left" by this server."""


class Connection(threading.Thread):
    def __init__(self, number, stream, options, context, record):
        super().__init__(daemon=True)
        self.number, self.stream, self.options, self.context, self.record = number, stream, options, context, record
        self.begun = time.monotonic()
        self.tls = False
        self.last = ""

    def note(self, event, text=""):
        seconds = round(time.monotonic() - self.begun, 3)
        self.record({"connection": self.number, "seconds": seconds, "tls": self.tls, "event": event, "text": text})

    def run(self):
        self.note("connected")
        try:
            self.talk()
            self.note("left")
        except Gone as why:
            self.note(str(why))
        except OSError as error:
            self.note("closed", type(error).__name__)
        finally:
            self.stream.close()

    # What goes over the line.

    def say(self, text):
        self.stream.sendall(text.encode())

    def hear(self):
        """The client's next line. Byte by byte: what follows STARTTLS belongs to the handshake."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self.stream.recv(1)
            if not byte:
                if line:
                    self.note("bytes", line.decode("latin-1"))
                raise Gone("closed")
            line += byte
        return line.decode("utf-8", "replace").rstrip("\r\n")

    def hear_line(self):
        self.last = self.hear()
        self.note("line", self.last)
        return self.last

    def secure(self):
        try:
            self.stream = self.context.wrap_socket(self.stream, server_side=True)
        except OSError as error:
            self.note("tls_failed", str(error))
            raise Gone("closed") from error
        self.tls = True
        self.note("tls", self.stream.version())

    # The script.

    def has(self, rule):
        return rule in self.options.rules

    def deed_at(self, stage):
        """Does what the rules have for this stage. Returns whether that stands in for the answer."""
        for rule in self.options.rules:
            deed, place, more = (rule + "::").split(":")[:3]
            if place == stage:
                self.note("stuck", stage)
                getattr(self, "do_" + deed)(stage, more)
                return True
        return False

    def answer(self, stage, text):
        if not self.deed_at(stage):
            self.say(text)

    def drain(self):
        while chunk := self.stream.recv(4096):
            self.note("bytes", chunk.decode("latin-1"))
        raise Gone("closed")

    def flood(self, chunk):
        sent = 0
        try:
            while sent < GIB:
                self.stream.sendall(chunk)
                sent += len(chunk)
        finally:
            self.note("sent", str(sent))
        self.drain()

    def do_silent(self, _stage, _more):
        self.drain()

    def do_drip(self, stage, _more):
        # A handshake record of 16 383 bytes with a ServerHello of 16 379; else a reply that goes on and on.
        before_tls = stage == "handshake" or stage == "connect" and self.options.security == "tls"
        first, then = (b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb\x03\x03", b"\0") if before_tls else (b"220-", b"a")
        for index in range(GIB):
            self.stream.sendall(first[index:index + 1] or then)
            time.sleep(1)

    def do_endless(self, _stage, _more):
        self.flood(b"220-mail.example.com has a lot to tell\r\n" * 1024)

    def do_long_line(self, _stage, _more):
        self.say("220-")
        self.flood(b"a" * 65536)

    def do_garbage(self, _stage, _more):
        self.say("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>400 Bad Request</html>\r\n")
        self.drain()

    def do_reply(self, _stage, code):
        self.say(f"{code} {code[0]}.3.0 mail.example.com does not like: {self.last[:400]}\r\n")

    def do_close(self, _stage, _more):
        raise Gone("left")

    def do_reset(self, _stage, _more):
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone("left")

    # A mail server.

    def talk(self):
        self.deed_at("connect")
        if self.options.security == "tls":
            self.secure()
        self.answer("greeting", "220 mail.example.com ESMTP\r\n")
        while True:
            line = self.hear_line()
            verb = line.split(" ")[0].lower()
            command = getattr(self, "command_" + verb, None)
            if command is None or verb == "starttls" and not self.offers_starttls():
                self.say("502 5.5.1 not known\r\n")
            else:
                command(line)
            if verb == "quit":
                return

    def offers_starttls(self):
        return self.options.security == "starttls" and not self.tls and not self.has("no_starttls")

    def features(self):
        yield "mail.example.com"
        yield "8BITMIME"
        yield "SMTPUTF8"
        yield "SIZE 1048576"
        if self.offers_starttls():
            yield "STARTTLS"
        if not self.has("no_auth") and (self.tls or self.has("auth_in_clear")):
            yield "AUTH " + self.options.auth

    def command_ehlo(self, _line):
        if self.tls and self.deed_at("secure"):
            return
        *first, last = self.features()
        text = "".join(f"250-{feature}\r\n" for feature in first) + f"250 {last}\r\n"
        if self.tls and self.options.security == "starttls":
            self.say(text)
        else:
            self.answer("ehlo", text)

    def command_helo(self, _line):
        self.answer("ehlo", "250 mail.example.com\r\n")

    def command_starttls(self, _line):
        if self.has("inject_starttls"):
            # In one packet, as an attacker between the two would send it.
            self.say("220 2.0.0 go ahead\r\n250-mail.example.com\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n"
                     "235 2.7.0 in\r\n250 2.1.0 sender\r\n250 2.1.5 recipient\r\n354 go on\r\n250 2.0.0 queued\r\n")
        elif self.deed_at("starttls"):
            return
        else:
            self.say("220 2.0.0 go ahead\r\n")
        self.deed_at("handshake")
        self.secure()

    def command_auth(self, line):
        mechanism, _, first = line[len("AUTH "):].partition(" ")
        mechanism = mechanism.upper()
        words = [first] if first else []
        if mechanism == "LOGIN":
            for prompt in ["Username:", "Password:"][len(words):]:
                self.say(f"334 {base64.b64encode(prompt.encode()).decode()}\r\n")
                words.append(self.hear_line())
        elif not words:
            self.say("334 \r\n")
            words.append(self.hear_line())
        decoded = [base64.b64decode(word + "==").decode("utf-8", "replace") for word in words]
        self.note("signed_in", mechanism + " " + "\n".join(decoded))
        self.last = line
        if mechanism == "XOAUTH2" and any(rule.startswith("reply:auth:") for rule in self.options.rules):
            # Google tells what is wrong first, and wants an empty line in answer.
            problem = '{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}'
            self.say(f"334 {base64.b64encode(problem.encode()).decode()}\r\n")
            self.hear_line()
            self.last = line
        self.answer("auth", "235 2.7.0 in\r\n")

    def command_mail(self, _line):
        self.answer("mail", "250 2.1.0 sender\r\n")

    def command_rcpt(self, _line):
        self.answer("rcpt", "250 2.1.5 recipient\r\n")

    def command_data(self, _line):
        if self.deed_at("data"):
            return
        self.say("354 go on\r\n")
        lines = []
        while (line := self.hear()) != ".":
            lines.append(line[1:] if line.startswith(".") else line)
        self.note("message", "\n".join(lines))
        self.last = " ".join(lines[-12:])
        self.answer("message", "250 2.0.0 queued\r\n")

    def command_rset(self, _line):
        self.say("250 2.0.0 as if nothing had been\r\n")

    def command_noop(self, _line):
        self.say("250 2.0.0 fine\r\n")

    def command_quit(self, _line):
        self.answer("quit", "221 2.0.0 bye\r\n")


def known(rule):
    deed, _, place = rule.partition(":")
    if deed in WITHOUT_STAGE:
        return not place
    stage, _, more = place.partition(":")
    return hasattr(Connection, "do_" + deed) and stage in STAGES and bool(more) == (deed == "reply")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", required=True)
    parser.add_argument("--certificates", required=True)
    parser.add_argument("--security", choices=["tls", "starttls"], default="tls")
    parser.add_argument("--certificate", default="right")
    parser.add_argument("--auth", default="PLAIN LOGIN")
    parser.add_argument("rules", nargs="*")
    options = parser.parse_args()
    for rule in options.rules:
        # A misspelt rule must not pass for good behaviour.
        if not known(rule):
            parser.error(f"no such rule: {rule}")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = f"{options.certificates}/{options.certificate}"
    context.load_cert_chain(path + ".pem", path + ".key")
    record_file = open(options.record, "a", buffering=1)
    lock = threading.Lock()

    def record(entry):
        with lock:
            record_file.write(json.dumps(entry) + "\n")

    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    number = 0
    while True:
        stream, _ = listener.accept()
        number += 1
        Connection(number, stream, options, context, record).start()


main()
