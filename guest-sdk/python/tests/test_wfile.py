"""Writing: at once over a stream, datagram by datagram otherwise."""

import errno
import unittest

from sandsock import StreamRequestHandler, testing


def written_by(handle, handler_class=StreamRequestHandler, **options):
    """The request that `handle`, of such a handler, has served."""
    request = testing.Request(**options)
    testing.run(type("Handler", (handler_class,), {"handle": handle}), request)
    return request


class Wfile(unittest.TestCase):
    def test_a_stream_receives_each_write_without_a_flush(self):
        def handle(self):
            self.count = self.wfile.write(bytearray(b"1-"))
            self.wfile.writelines([b"2", memoryview(b"-3")])
            assert self.count == 2
            assert request.written == b"1-2-3"

        request = testing.Request()
        testing.run(type("Handler", (StreamRequestHandler,), {"handle": handle}), request)
        self.assertEqual(request.datagrams, [])

    def test_a_long_write_is_sent_whole(self):
        input = bytes(range(256)) * 1000
        request = written_by(lambda self: self.wfile.write(input))
        self.assertEqual(request.written, input)

    def test_text_is_refused(self):
        with self.assertRaises(TypeError):
            written_by(lambda self: self.wfile.write("text"))

    def test_a_flush_sends_what_was_written_since_the_last_one(self):
        def handle(self):
            self.wfile.write(b"one")
            self.wfile.write(b" and")
            self.wfile.flush()
            self.wfile.write(b"two")

        for transport in ("udp", "unixgram"):
            request = written_by(handle, transport=transport)
            self.assertEqual(request.datagrams, [b"one and", b"two"])
            self.assertEqual(request.written, b"one andtwo")

    def test_nothing_written_is_nothing_sent(self):
        def handle(self):
            self.wfile.write(b"")
            self.wfile.flush()

        self.assertEqual(written_by(handle, transport="udp").datagrams, [])

    def test_a_reply_longer_than_a_datagram_is_an_error_that_says_so(self):
        def handle(self):
            self.wfile.write(bytes(65_507))
            try:
                self.wfile.write(b"x")
            except OSError as error:
                self.wfile.flush()
                assert error.errno == errno.EMSGSIZE
            else:
                raise AssertionError("it was taken")

        self.assertEqual(len(written_by(handle, transport="udp").datagrams[0]), 65_507)

    def test_a_client_that_has_gone_took_what_it_took(self):
        request = testing.Request(write_fails_after=(4, BrokenPipeError))

        class Handler(StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"abc")
                self.wfile.write(b"def")

        with self.assertRaises(BrokenPipeError):
            testing.run(Handler, request)
        self.assertEqual(request.written, b"abcd")

    def test_with_a_buffer_it_is_sent_at_the_flush_and_at_the_end(self):
        class Buffered(StreamRequestHandler):
            wbufsize = -1

        def handle(self):
            self.wfile.write(b"one")
            self.wfile.flush()
            self.wfile.write(b"two")

        request = written_by(handle, Buffered, transport="udp")
        self.assertEqual(request.datagrams, [b"one", b"two"])


if __name__ == "__main__":
    unittest.main()
