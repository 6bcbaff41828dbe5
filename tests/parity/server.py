"""The other side of the parity run: CPython's own socketserver, with the handlers of the tests.

    server.py '{"address": "tcp://127.0.0.1:0", "concurrency": "threads", "handler": "script"}'

It says `listening ADDRESS` on standard output as sandsock does, logs one JSON event a line on standard
error, and ends in good order on SIGTERM. Nothing of what socketserver does is changed: whatever is
overridden here calls what it overrides, and logs.
"""

import json
import os
import signal
import socket
import socketserver
import struct
import sys
import threading
import time


def log(event, **fields):
    # One write, so that the lines of threads and forked children stay whole.
    os.write(2, json.dumps({"event": event, **fields}).encode() + b"\n")


def text(address):
    """An address as sandsock writes it."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return address or ""


class Echo:
    def handle(self):
        while chunk := self.rfile.read1(65536):
            self.wfile.write(chunk)


class Greets:
    """`initialize.wat`."""

    def handle(self):
        self.wfile.write(b"initialized")


class Marks:
    """`traces.wat`: leaves a mark, and says whether it has found one."""

    marked = False

    def handle(self):
        was_marked, Marks.marked = Marks.marked, True
        self.rfile.read()
        self.wfile.write(b"marked" if was_marked else b"fresh")


# Errors of WASI preview 1, as `script.wat` answers them.
ERRORS = [(TimeoutError, 73), (BrokenPipeError, 64), (ConnectionResetError, 15)]
NOT_SUPPORTED, OTHER = 58, 29


def result(call):
    """What `call` returns, or its error as a negative number."""
    try:
        return call()
    except OSError as error:
        if error.errno == 95:
            return -NOT_SUPPORTED
        return -next((code for kind, code in ERRORS if isinstance(error, kind)), OTHER)


class Script:
    """`script.wat`: does what its client says, in each of its three steps."""

    def setup(self):
        super().setup()
        self.run()

    def handle(self):
        self.run()

    def finish(self):
        self.run()
        super().finish()

    def run(self):
        while order := self.rfile.read(1):
            if order == b".":
                return
            self.carry_out(order)

    def number(self, form="<I"):
        return struct.unpack(form, self.rfile.read(struct.calcsize(form)))[0]

    def answer(self, number):
        self.wfile.write(struct.pack("<i", number))

    def answer_bytes(self, call):
        def counted():
            self.found = call()
            return len(self.found)

        self.found = b""
        self.answer(result(counted))
        self.wfile.write(self.found)

    def carry_out(self, order):
        if order == b"e":
            raise RuntimeError("asked to fail")
        elif order == b"t":
            # What a fault in an extension module does to the process.
            os.kill(os.getpid(), signal.SIGKILL)
        elif order == b"x":
            sys.exit(self.number())
        elif order == b"w":
            self.wfile.write(self.rfile.read(self.number("B")))
        elif order == b"b":
            count = self.number()
            self.answer(result(lambda: self.wfile.write(bytes(count))))
        elif order == b"W":
            while True:
                self.wfile.write(bytes(65536))
        elif order == b"F":
            self.answer(result(lambda: self.wfile.flush() or 0))
        elif order in (b"o", b"O"):
            log("guest", line=self.rfile.read(self.number("B")).decode())
        elif order == b"r":
            count = self.number()
            self.answer_bytes(lambda: self.rfile.read1(count))
        elif order == b"R":
            count = self.number()
            self.answer_bytes(lambda: self.rfile.readline(count))
        elif order == b"c":
            room = self.number()
            self.answer_bytes(lambda: text(self.client_address).encode()[:room])
        elif order == b"a":
            room = self.number()
            self.answer_bytes(lambda: text(self.server.server_address).encode()[:room])
        elif order == b"T":
            seconds = self.number("<q") / 1000
            self.answer(result(lambda: self.connection.settimeout(seconds) or 0))
        elif order == b"N":
            option = (socket.IPPROTO_TCP, socket.TCP_NODELAY, self.number())
            self.answer(result(lambda: self.connection.setsockopt(*option) or 0))
        elif order == b"z":
            time.sleep(self.number("<Q") / 1e9)
        else:
            raise ValueError(f"no such order: {order}")


class Logs:
    """Logs the end of each request, and whether its error reached `handle_error`."""

    def handle_error(self, request, client_address):
        vars(self).setdefault("errors", {})[id(request)] = repr(sys.exc_info()[1])
        super().handle_error(request, client_address)

    def shutdown_request(self, request):
        detail = vars(self).get("errors", {}).pop(id(request), None)
        log("request", detail=detail)
        super().shutdown_request(request)
        log("closed")


SERVERS = {
    "tcp": socketserver.TCPServer,
    "udp": socketserver.UDPServer,
    "unix": socketserver.UnixStreamServer,
    "unixgram": socketserver.UnixDatagramServer,
}
MIX_INS = {
    "serial": (),
    "threads": (socketserver.ThreadingMixIn,),
    "fork": (socketserver.ForkingMixIn,),
}
HANDLERS = {"echo": Echo, "greets": Greets, "marks": Marks, "script": Script}


def main(settings):
    scheme, place = settings["address"].split("://")
    if scheme in ("tcp", "udp"):
        host, port = place.rsplit(":", 1)
        place = (host.strip("[]"), int(port))
    is_stream = scheme in ("tcp", "unix")
    kind = socketserver.StreamRequestHandler if is_stream else socketserver.DatagramRequestHandler
    handler = type("Handler", (HANDLERS[settings["handler"]], kind), settings["handler_attributes"])
    bases = (Logs, *MIX_INS[settings["concurrency"]], SERVERS[scheme])
    server = type("Server", bases, settings["attributes"])(place, handler)

    def stop(_number, _frame):
        log("shutting-down")
        # `shutdown` waits for the loop, which runs on this thread.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    print(f"listening {scheme}://{text(server.server_address)}", flush=True)
    if settings["once"]:
        server.handle_request()
    else:
        server.serve_forever()
    server.server_close()


main(json.loads(sys.argv[1]))
