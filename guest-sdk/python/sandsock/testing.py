"""A client in memory, for unit tests: what it sends is given, what it receives is kept.

    from sandsock import testing

    request = testing.Request(b"hello,server\\n", client_address=("::1", 4711))
    testing.run(Hello, request)
    assert request.written == "你好".encode()
"""

import errno

from .steps import Steps

#: The longest UDP datagram over IPv4: 65,535 less the headers of IP and UDP.
_LONGEST_DATAGRAM = 65507


class Request:
    """One request, as the host of a handler sees it.

    - `input`: the bytes that the client sends before it ends its side; over a transport of datagrams
      one packet
    - `transport`: `tcp`, `udp`, `unix` or `unixgram`
    - `client_address`, `server_address`: `(host, port)`, over Unix sockets a path; without them
      `("127.0.0.1", 4711)` and `("127.0.0.1", 9999)`, or `""` and `"/run/test.sock"`
    - `id`: the request's number
    - `in_pieces_of`: the most bytes that come at once, as over a slow line
    - `then_read_fails`: the error of each read after the input, in place of the end of input:
      `TimeoutError` for a client that falls silent, `ConnectionResetError` for one that vanishes
    - `write_fails_after`: how many bytes the client takes, and the error of what is written beyond
      them: `(4, BrokenPipeError)` for a client that has gone, `TimeoutError` for one that does not
      read
    """

    def __init__(
        self,
        input=b"",
        *,
        transport="tcp",
        client_address=None,
        server_address=None,
        id=1,
        in_pieces_of=65536,
        then_read_fails=None,
        write_fails_after=None,
    ):
        if transport not in ("tcp", "udp", "unix", "unixgram"):
            raise ValueError(f"no such transport: {transport}")
        is_unix = transport.startswith("unix")
        if client_address is None:
            client_address = "" if is_unix else ("127.0.0.1", 4711)
        if server_address is None:
            server_address = "/run/test.sock" if is_unix else ("127.0.0.1", 9999)
        self._unread = bytes(input)
        self._transport = transport
        self._client_address = _text(client_address)
        self._server_address = _text(server_address)
        self._id = id
        self._piece = max(1, in_pieces_of)
        self._read_error = then_read_fails
        self._room, self._write_error = write_fails_after or (None, None)
        self._written = bytearray()
        self._sent = 0
        #: The datagrams that were sent: by a flush, or at the end of `run`. Over a stream none.
        self.datagrams = []
        #: The timeout that the handler set, in seconds; None is the operator's.
        self.timeout = None
        #: Whether the handler asked for small writes to go out at once.
        self.nodelay = False

    @property
    def written(self):
        """All that was written so far, over whatever transport."""
        return bytes(self._written)

    def client_address(self):
        return self._client_address

    def server_address(self):
        return self._server_address

    def transport(self):
        return self._transport

    def id(self):
        return self._id

    def set_timeout(self, millis):
        self.timeout = millis / 1000 if millis else None

    def set_nodelay(self, on):
        self.nodelay = on

    def read(self, size):
        if not self._unread and self._read_error:
            raise self._read_error
        size = min(size, self._piece)
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def write(self, data):
        collected = len(self._written) - self._sent
        if self._is_datagram and collected + len(data) > _LONGEST_DATAGRAM:
            raise OSError(errno.EMSGSIZE, "Message too long")
        if self._room is not None:
            room = max(0, self._room - len(self._written))
            if room < len(data):
                self._written += data[:room]
                raise self._write_error
        self._written += data

    def flush(self):
        if self._is_datagram and len(self._written) > self._sent:
            self.datagrams.append(bytes(self._written[self._sent :]))
            self._sent = len(self._written)

    @property
    def _is_datagram(self):
        return self._transport in ("udp", "unixgram")


def run(handler_class, request):
    """Serves `request` as the host does: `setup`, `handle`, `finish`; no more after an exception of
    `setup`, but `finish` after one of `handle`. At the end, what was written to a datagram client and
    not flushed is sent.

    Raises the first exception of a step.
    """
    steps = Steps(handler_class, request)
    try:
        steps.setup()
        try:
            steps.handle()
        except BaseException as error:
            try:
                steps.finish()
            except BaseException:
                # The log has both; of the two a test sees the first.
                pass
            raise error
        steps.finish()
    finally:
        request.flush()


def _text(address):
    if isinstance(address, str):
        return address
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
