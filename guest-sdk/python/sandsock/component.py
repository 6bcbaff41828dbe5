"""The host of a component: the interfaces of `socketserver:handler@1.0.0`, and what it calls.

Imported when the component is built: what the modules look like then is in the file, and each
request starts from there.
"""

import errno
import gc
import io
import linecache
import os
import random  # noqa: F401
import sys
import traceback

from componentize_py_types import Err

# `random` and `types` are here for componentize-py, which imports them after all this: what it would
# leave behind then, `_settle` could not clear away.
from wit_world.imports import request, rfile, types, wfile  # noqa: F401

from . import testing
from .handler import StreamRequestHandler
from .steps import Steps

#: What an error's text may have in the log.
_LONGEST_TEXT = 8192

_HERE = os.path.dirname(__file__) + os.sep

#: In the order of the WIT's `transport-kind`. componentize-py makes the value by calling what has this
#: name: to make an `Enum` of it touches more memory than the rest of the call.
_TRANSPORTS = ("tcp", "udp", "unix", "unixgram")
request.TransportKind = _TRANSPORTS.__getitem__

#: The sizes of the gaps that `_settle` fills, the largest first.
_GAPS = (*range(65536, 4096, -1024), *range(4096, 1024, -64), *range(1024, 0, -8))

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
    transport = staticmethod(request.transport)

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
    is_ready = False

    def ready():
        nonlocal is_ready
        if not is_ready:
            is_ready = True
            # A print is one call of the host, in the log when it returns, and whole: a call takes 64 KiB
            # at most, and Python's own file would lose the rest.
            sys.stdout = sys.__stdout__ = _whole(sys.stdout)
            sys.stderr = sys.__stderr__ = _whole(sys.stderr)
            _keep_sources()
            _rehearse()
            _settle()
        return exports

    return ready


def _rehearse():
    """Serves clients that are not there, so that what Python learns of this package's code when it runs
    is not learnt in each request. Nothing of the handler runs."""
    for transport in ("tcp", "udp"):
        for _ in range(4):
            client = testing.Request(b"one\ntwo\n", transport=transport)
            exports = _Exports(Steps(_Rehearsal, client))
            exports.setup()
            exports.handle()
            exports.finish()


class _Rehearsal(StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline())
        self.wfile.write(self.rfile.read())


def _settle():
    """Leaves the memory such that a request writes to few of its pages: each costs a copy.

    Importing leaves gaps all over it, and what a request allocates would lie in them. They are filled
    for good, with zeros, which take no room in the file; behind all, there is room in one piece.
    """
    gc.collect()
    end = id(bytes(1 << 20))
    for size in _GAPS:
        while id(gap := bytes(size)) < end:
            _filled.append(gap)
    # What is there now is there for ever: collecting leaves it, and the memory under it, alone.
    gc.freeze()


_filled = []


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


class _Text(io.TextIOWrapper):
    """Says whether there is anything to flush: a flush touches more memory than all else that is done
    around a step."""

    is_written = False

    def write(self, text):
        self.is_written = True
        return super().write(text)

    def flush(self):
        super().flush()
        self.is_written = False


def _whole(file):
    return _Text(_Log(file.fileno()), file.encoding, file.errors, line_buffering=True)


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
            # A file that the handler put in its place does not say.
            if getattr(file, "is_written", True):
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
