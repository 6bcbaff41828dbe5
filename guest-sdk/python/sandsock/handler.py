"""The classes that a handler derives from, with the names of Python's `socketserver`."""


class BaseRequestHandler:
    """Serves one request, in three steps: `setup`, `handle`, `finish`.

    An exception in a step is logged, and closes the connection; nothing of it reaches the client.
    After one in `setup` no other step runs; after one in `handle`, `finish` does. `sys.exit()` ends
    a step without being an error; with a code other than 0, or a text, it is one.

    Variables:

    - `request`: over a stream the `Connection`; over datagrams, as in Python, the pair of the packet
      and the `Connection`
    - `client_address`: `(host, port)`, for IPv6, too; over Unix sockets the path, empty for a client
      that has none
    - `server`: the `Server`
    """

    def __init__(self, request, client_address, server):
        """Unlike Python's it does not run the steps: the host calls them, one by one."""
        self.request = request
        self.client_address = client_address
        self.server = server

    def setup(self):
        """Before `handle`."""

    def handle(self):
        """Serves the request."""

    def finish(self):
        """After `handle`, whether it returned or raised."""

    @classmethod
    def _request(cls, connection):
        return _datagram(connection) if connection.is_datagram else connection


class StreamRequestHandler(BaseRequestHandler):
    """Reads `rfile` and writes `wfile`, over whatever transport.

    A derived class that has a `setup` or `finish` of its own calls this one's, too.

    Variables, beside those of `BaseRequestHandler`:

    - `connection`, `request`: the `Connection`
    - `rfile`: an `io.BufferedReader` of what the client sends. Its reads end at the end of input,
      which for a datagram is the end of the packet. A line has no limit of its own but the
      handler's memory: `readline(8192)` sets one.
    - `wfile`: a binary file of what the client receives. A write is done when the last byte is the
      system's. For a datagram it is collected; `flush` sends what was written since the last flush
      as one datagram, and the end of the request does the same with the rest.

    Variables of the class:
    """

    #: Size of `rfile`'s buffer; 0 is none, below 0 is 8 KiB.
    rbufsize = -1
    #: Size of `wfile`'s buffer; 0 is none, below 0 is 8 KiB.
    wbufsize = 0
    #: In seconds, the longest that each read and write waits without a byte moving; None is the
    #: operator's, which no handler can exceed.
    timeout = None
    #: Whether small writes go out at once, where the transport lets them wait.
    disable_nagle_algorithm = False

    def setup(self):
        self.connection = self.request
        if self.timeout is not None:
            self.connection.settimeout(self.timeout)
        if self.disable_nagle_algorithm:
            self.connection.set_nodelay(True)
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.wfile = self.connection.makefile("wb", self.wbufsize)

    def finish(self):
        if not self.wfile.closed:
            try:
                self.wfile.flush()
            except OSError:
                # As in Python: that the client has gone is no error of a handler that has ended.
                pass

    @classmethod
    def _request(cls, connection):
        return connection


class DatagramRequestHandler(BaseRequestHandler):
    """Answers one packet; over a stream, all that the client sends until it ends its side.

    A derived class that has a `setup` or `finish` of its own calls this one's, too.

    Variables, beside those of `BaseRequestHandler`:

    - `request`: the pair `packet`, `socket`
    - `packet`: the bytes that came
    - `socket`: the `Connection`
    - `rfile`: an `io.BytesIO` of the packet
    - `wfile`: a binary file that collects the reply; `flush` sends what was written since the last
      flush as one datagram, and `finish` does the same with the rest. Unlike Python's, which always
      sends, it sends nothing if nothing was written.
    """

    def setup(self):
        from io import BytesIO

        self.packet, self.socket = self.request
        self.rfile = BytesIO(self.packet)
        self.wfile = self.socket.makefile("wb", 0)

    def finish(self):
        self.wfile.flush()

    @classmethod
    def _request(cls, connection):
        return _datagram(connection)


class Server:
    """What a handler knows of its server."""

    def __init__(self, connection):
        self._connection = connection

    @property
    def server_address(self):
        """The address that the request came to: `(host, port)`, or a path."""
        return self._connection.getsockname()


def _datagram(connection):
    return b"".join(iter(lambda: connection.recv(65536), b"")), connection
