"""The client's socket, as far as a sandbox has one, and the files made of it.

Errors are those of Python's sockets: `TimeoutError` when not one byte moved in time,
`BrokenPipeError` and `ConnectionResetError` when the client has gone, `OSError` with
`errno.EMSGSIZE` when a reply is longer than a datagram can be, `OSError` otherwise.
"""

import io
import math

#: What is read and written in one call of the host: each makes a copy of as much.
_PIECE = 65536

#: Python 3.14's is 128 KiB, and each request has fresh memory for it.
_DEFAULT_BUFFER_SIZE = 8192


class Connection:
    """One client, with the names of Python's `socket.socket`."""

    def __init__(self, host):
        self._host = host
        self._timeout = None

    @property
    def transport(self):
        """What carries the request: `tcp`, `udp`, `unix` or `unixgram`."""
        return self._host.transport()

    @property
    def is_datagram(self):
        """Whether the request is one packet, and replies are packets."""
        return self.transport in ("udp", "unixgram")

    @property
    def id(self):
        """The request's number, as in the log."""
        return self._host.id()

    def getpeername(self):
        """The client: `(host, port)`, or a path, empty for a client that has none."""
        return address(self._host.client_address(), self.transport)

    def getsockname(self):
        """The address that the request came to, written in the same way."""
        return address(self._host.server_address(), self.transport)

    def settimeout(self, seconds):
        """Python's timeout: the longest that each read and write waits without a byte moving.

        The host counts in milliseconds, rounded up; 0 is one of them, because no call returns
        without waiting. It is never beyond what the operator allows; None is the operator's.
        """
        if seconds is None:
            self._host.set_timeout(0)
        elif seconds >= 0:
            self._host.set_timeout(max(1, math.ceil(min(seconds * 1000, 2**63 - 1))))
        else:
            raise ValueError("a timeout is 0 or more seconds")
        self._timeout = seconds

    def gettimeout(self):
        """What was set, in seconds; None is the operator's."""
        return self._timeout

    def set_nodelay(self, on):
        """`TCP_NODELAY`; where the transport has none, nothing."""
        self._host.set_nodelay(bool(on))

    def recv(self, size):
        """Up to `size` bytes, and up to 64 KiB, as soon as one is there; none at the end of input."""
        if size < 0:
            raise ValueError("the size of a read is 0 or more")
        return self._host.read(min(size, _PIECE)) if size else b""

    def sendall(self, data):
        """Sends all of it. For a datagram it is collected until `flush`, or the end."""
        with memoryview(data) as view, view.cast("B") as octets:
            for start in range(0, len(octets), _PIECE):
                self._host.write(bytes(octets[start : start + _PIECE]))

    def send(self, data):
        """The same, and how many bytes that were."""
        self.sendall(data)
        return memoryview(data).nbytes

    def sendto(self, data, address):
        """Sends one datagram to the client, who must be the one at `address`: there is no other."""
        if address != self.getpeername():
            raise PermissionError("a handler sends to its own client only")
        self.flush()
        count = self.send(data)
        self.flush()
        return count

    def flush(self):
        """Sends what was collected as one datagram; nothing written, nothing sent. A stream holds
        nothing back."""
        self._host.flush()

    def makefile(self, mode, buffering=-1):
        """A binary file of the connection: `rb` or `wb`. Of `buffering`, 0 is unbuffered, and below 0
        is 8 KiB."""
        if mode not in ("rb", "wb"):
            raise ValueError("the mode of a connection's file is rb or wb")
        raw = _Reader(self) if mode == "rb" else _Writer(self)
        if buffering == 0:
            return raw
        buffered = io.BufferedReader if mode == "rb" else _BufferedWriter
        return buffered(raw, buffering if buffering > 0 else _DEFAULT_BUFFER_SIZE)


class _Reader(io.RawIOBase):
    def __init__(self, connection):
        self._connection = connection
        self._timed_out = False

    def readable(self):
        return True

    def readinto(self, buffer):
        if self._timed_out:
            # As in Python: what of a line had come before is lost, and must not look like one.
            raise OSError("cannot read from timed out object")
        with memoryview(buffer) as view, view.cast("B") as octets:
            try:
                data = self._connection.recv(len(octets))
            except TimeoutError:
                self._timed_out = True
                raise
            octets[: len(data)] = data
        return len(data)


class _Writer(io.RawIOBase):
    def __init__(self, connection):
        self._connection = connection

    def writable(self):
        return True

    def write(self, data):
        if self.closed:
            raise ValueError("write to closed file")
        return self._connection.send(data)

    def flush(self):
        super().flush()
        self._connection.flush()


class _BufferedWriter(io.BufferedWriter):
    def flush(self):
        super().flush()
        self.raw.flush()


def address(text, transport):
    """An address of the host, as Python has it: `(host, port)`, of Unix sockets the path."""
    if transport in ("unix", "unixgram"):
        return text
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port or 0)
