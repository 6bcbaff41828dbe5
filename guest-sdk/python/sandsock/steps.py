"""The life of a handler: made before its first step, and the same through all three."""

from .connection import Connection
from .handler import Server


class Steps:
    """What the host calls, one after the other, for the one request of an instance."""

    def __init__(self, handler_class, host):
        self._handler_class = handler_class
        self._host = host
        self._handler = None

    def setup(self):
        """Makes the handler, and runs its `setup`."""
        with _Exit() as exit:
            connection = Connection(self._host)
            handler = self._handler_class(
                self._handler_class._request(connection),
                connection.getpeername(),
                Server(connection),
            )
            handler.setup()
        if not exit.happened:
            self._handler = handler

    def handle(self):
        """Runs `handle`, unless `setup` has ended the request."""
        with _Exit():
            if self._handler:
                self._handler.handle()

    def finish(self):
        """Runs `finish`, unless `setup` has ended the request."""
        with _Exit():
            if self._handler:
                self._handler.finish()


class _Exit:
    """Where `sys.exit()` ends: a step, and no error unless it has a code."""

    happened = False

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.happened = kind is not None
        return isinstance(error, SystemExit) and not error.code
