"""Request handlers for sandsock, in Python.

A handler is what it is in the standard library's `socketserver`:

    import sandsock

    class Hello(sandsock.StreamRequestHandler):
        def handle(self):
            print("connect from", self.client_address)
            line = self.rfile.readline(8192)
            print(str(line, encoding="utf-8").rstrip())
            self.wfile.write(bytes("你好", encoding="utf-8"))

    sandsock.serve(Hello)

It does not know whether a TCP connection, a Unix stream or a datagram stands behind `rfile` and
`wfile`. Each request has an instance of the component for itself, with fresh memory: what a
handler leaves in a global variable or in its class is gone with the request.

What is printed is the server's log, a line an event. An exception that nobody catches is logged
with its traceback, and the client sees its connection close.

    module       concept
    handler      `BaseRequestHandler`, `StreamRequestHandler`, `DatagramRequestHandler`
    connection   `Connection`: the client's socket, and the files made of it
    steps        the life of a handler: its three steps
    component    what the host offers and calls, in a component
    testing      a client in memory, for unit tests
"""

import sys

from .connection import Connection
from .handler import BaseRequestHandler, DatagramRequestHandler, Server, StreamRequestHandler

__all__ = [
    "BaseRequestHandler",
    "Connection",
    "DatagramRequestHandler",
    "Server",
    "StreamRequestHandler",
    "serve",
]


def serve(handler_class):
    """Makes `handler_class` the handler that this component exports.

    Called once, at the end of the module that `componentize-py` is given. Where a module is only
    imported, as by a test, it does nothing.
    """
    module = sys._getframe(1).f_globals
    if sys.platform == "wasi":
        from . import component

        # The name by which componentize-py asks the module for the exports of a world.
        module["WitWorld"] = component.exports(handler_class)
    elif module.get("__name__") == "__main__":
        raise SystemExit("a handler for sandsock: build it with componentize-py, and serve the component")
