"""Does what its client's first line says: see `guest-sdk/conformance/README.md`."""

import random
import re

import sandsock

ADD = re.compile(r"add (-?\d+) (-?\d+)", re.ASCII)


class Conformance(sandsock.StreamRequestHandler):
    def setup(self):
        super().setup()
        first = self.rfile.readline()
        self.has_input = first != b""
        self.order = text(first)
        if self.order == "refuse":
            raise Exception("refused in setup")

    def handle(self):
        if not self.has_input:
            self.wfile.write(b"empty\n")
            return
        word, _, rest = self.order.partition(" ")
        match word:
            case "hello":
                self.wfile.write(b"hello, " + without_end(self.rfile.readline()) + b"\n")
            case "echo":
                while piece := self.rfile.read1(65536):
                    self.wfile.write(piece)
            case "lines":
                self.lines()
            case "mixed":
                three = self.rfile.read(3)
                line = without_end(self.rfile.readline())
                self.wfile.write(b"[%b][%b][%b]" % (three, line, self.rfile.read()))
            case "timeout":
                self.connection.settimeout(int(rest) / 1000)
                try:
                    line = self.rfile.readline()
                except TimeoutError:
                    self.wfile.write(b"timed out\n")
                else:
                    self.wfile.write(b"got " + without_end(line) + b"\n")
            case "datagrams":
                for reply in (b"one", b"two"):
                    self.wfile.write(reply)
                    self.wfile.flush()
            case "about":
                self.about()
            case "random":
                self.wfile.write(b"%a\n" % random.random())
            case "print":
                print(rest)
                self.wfile.write(b"printed\n")
            case "pour":
                while True:
                    self.wfile.write(b"x" * 65536)
            case "steps":
                self.wfile.write(b"handle\n")
            case "fail":
                self.wfile.write(b"before\n")
                raise Exception(rest)
            case "crash":
                self.wfile.write(b"before\n")
                assert False, rest
            case _:
                raise Exception(f"no such order: {self.order}")

    def finish(self):
        if self.order.partition(" ")[0] in ("steps", "fail", "crash"):
            self.wfile.write(b"finish\n")
        super().finish()

    def lines(self):
        for line in map(text, self.rfile):
            if line == "quit":
                self.wfile.write(b"bye\n")
                return
            if numbers := ADD.fullmatch(line):
                self.wfile.write(b"%d\n" % sum(map(int, numbers.groups())))
            else:
                self.wfile.write(f"error: what is `{line}`?\n".encode())

    def about(self):
        for value in (
            written(self.client_address),
            written(self.server.server_address),
            self.connection.transport,
            self.connection.id,
        ):
            self.wfile.write(f"{value}\n".encode())


def without_end(line):
    return line.removesuffix(b"\n").removesuffix(b"\r")


def text(line):
    return without_end(line).decode(errors="replace")


def written(address):
    if isinstance(address, str):
        return address
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


sandsock.serve(Conformance)
