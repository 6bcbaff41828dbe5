"""The host of a component: the interfaces of `socketserver:handler@1.0.0`, and what it calls.

Imported when the component is built: what the modules look like then is in the file, and each
request starts from there.
"""

import errno
import gc
import io
import linecache
import os
import sys
import traceback

from componentize_py_types import Err
from wit_world.imports import request, rfile, wfile

from .steps import Steps

#: What an error's text may have in the log.
_LONGEST_TEXT = 8192

_HERE = os.path.dirname(__file__) + os.sep

_TRANSPORTS = {
    request.TransportKind.TCP: "tcp",
    request.TransportKind.UDP: "udp",
    request.TransportKind.UNIX_STREAM: "unix",
    request.TransportKind.UNIX_DATAGRAM: "unixgram",
}

_ERRORS = {
    "IoError_TimedOut": lambda: TimeoutError("timed out"),
    "IoError_BrokenPipe": lambda: BrokenPipeError(errno.EPIPE, "Broken pipe"),
    "IoError_ConnectionReset": lambda: ConnectionResetError(
        errno.ECONNRESET, "Connection reset by peer"
    ),
    "IoError_MessageTooLong": lambda: OSError(errno.EMSGSIZE, "Message too long"),
}


class _Host:
    client_address = staticmethod(request.client_address)
    server_address = staticmethod(request.server_address)
    id = staticmethod(request.id)
    set_timeout = staticmethod(request.set_timeout)
    set_nodelay = staticmethod(request.set_nodelay)

    def transport(self):
        return _TRANSPORTS[request.transport()]

    def read(self, size):
        _make_room(2 * size)
        try:
            return rfile.read(size)
        except Err as error:
            raise _os_error(error.value) from None

    def write(self, data):
        _make_room(len(data))
        try:
            wfile.write(data)
        except Err as error:
            raise _os_error(error.value) from None

    def flush(self):
        try:
            wfile.flush()
        except Err as error:
            raise _os_error(error.value) from None


def _make_room(size):
    """Raises `MemoryError` if there is no room for what a call copies: the generated code does not
    look, and would trap or overwrite what it needs."""
    bytearray(size + 4096)


def _os_error(error):
    make = _ERRORS.get(type(error).__name__)
    return make() if make else OSError(error.value)


class _Exports:
    def __init__(self, steps):
        self._steps = steps

    def setup(self):
        _reported(self._steps.setup)

    def handle(self):
        _reported(self._steps.handle)

    def finish(self):
        _reported(self._steps.finish)


def exports(handler_class):
    """What componentize-py calls for each export of the world, when the module is imported."""
    exports = _Exports(Steps(handler_class, _Host()))

    def ready():
        # A print is one call of the host, in the log when it returns, and whole: a call takes 64 KiB
        # at most, and Python's own file would lose the rest.
        sys.stdout = sys.__stdout__ = _whole(sys.stdout)
        sys.stderr = sys.__stderr__ = _whole(sys.stderr)
        _keep_sources()
        # What is there now is there for ever: collecting leaves it, and the memory under it, alone.
        gc.collect()
        gc.freeze()
        return exports

    return ready


class _Log(io.RawIOBase):
    """Standard output or standard error."""

    def __init__(self, number):
        self._number = number

    def fileno(self):
        return self._number

    def writable(self):
        return True

    def write(self, data):
        with memoryview(data) as view, view.cast("B") as octets:
            written = 0
            while written < len(octets):
                written += os.write(self._number, octets[written:])
        return written


def _whole(file):
    return io.TextIOWrapper(_Log(file.fileno()), file.encoding, file.errors, line_buffering=True)


def _keep_sources():
    """Reads the lines that tracebacks show: a request has no files to read them from."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None) or ""
        if path.endswith(".py") and not path.startswith(("/python/", "/bundled/", "/world/")):
            lines = linecache.getlines(path)
            # Without a time, it is not compared with the file.
            linecache.cache[path] = (sum(map(len, lines)), None, lines, path)


def _reported(step):
    try:
        step()
    except BaseException as error:
        _flush()
        if not isinstance(error, SystemExit):
            _print_traceback(error)
        raise Err(_text(error)) from None
    finally:
        _flush()


def _flush():
    for file in (sys.stdout, sys.stderr):
        try:
            file.flush()
        except Exception:
            # The handler has closed or replaced it: no reason to fail the request.
            pass


def _print_traceback(error):
    trace = error.__traceback__
    while trace.tb_next and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    try:
        sys.stderr.write("".join(traceback.format_exception(type(error), error, trace)))
    except Exception:
        # For want of memory, for example: the text of the error is still reported.
        pass


def _text(error):
    name = type(error).__name__
    try:
        text = str(error)[:_LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()
    except Exception:
        text = "(its text cannot be made)"
    return f"{name}: {text}" if text else name
