"""Reading: the buffer loses nothing, doubles nothing, and hides no error."""

import io
import unittest

from sandsock import StreamRequestHandler, testing


class Ends(StreamRequestHandler):
    """Does nothing, and leaves its files open."""


def stream(input=b"", handler_class=Ends, **options):
    """The handler of a request that has been set up."""
    made = []

    class Handler(handler_class):
        def handle(self):
            made.append(self)

    testing.run(Handler, testing.Request(input, **options))
    return made[0]


class Rfile(unittest.TestCase):
    def test_it_is_pythons_buffered_reader(self):
        self.assertIsInstance(stream().rfile, io.BufferedReader)

    def test_lines_come_one_by_one_however_the_client_cuts_them(self):
        for piece in (1, 2, 3, 5, 100):
            handler = stream(b"one\r\ntwo\n\nfour", in_pieces_of=piece)
            self.assertEqual(list(handler.rfile), [b"one\r\n", b"two\n", b"\n", b"four"])

    def test_small_and_large_reads_may_be_mixed(self):
        input = bytes(range(256)) * 1000
        for piece in (1000, 8192, 70_000):
            rfile = stream(input, in_pieces_of=piece).rfile
            output = rfile.read(3) + rfile.readline() + rfile.read(50_000) + rfile.read1(1) + rfile.read()
            self.assertEqual(output, input)

    def test_a_read_of_a_number_waits_for_as_many(self):
        self.assertEqual(stream(b"abcdef", in_pieces_of=1).rfile.read(4), b"abcd")

    def test_read1_returns_as_soon_as_a_byte_is_there(self):
        self.assertEqual(stream(b"abc", in_pieces_of=1).rfile.read1(100), b"a")

    def test_a_line_can_be_limited(self):
        self.assertEqual(stream(b"x" * 100_000).rfile.readline(10), b"x" * 10)

    def test_the_end_of_input_stays_the_end(self):
        rfile = stream().rfile
        for _ in range(3):
            self.assertEqual(rfile.read(10), b"")
            self.assertEqual(rfile.readline(), b"")

    def test_a_silent_client_is_a_timeout_and_no_half_line(self):
        rfile = stream(b"half a li", then_read_fails=TimeoutError("timed out")).rfile
        with self.assertRaises(TimeoutError):
            rfile.readline()
        with self.assertRaisesRegex(OSError, "timed out object"):
            rfile.readline()

    def test_a_client_that_vanishes_is_a_connection_reset(self):
        with self.assertRaises(ConnectionResetError):
            stream(then_read_fails=ConnectionResetError).rfile.read(1)

    def test_without_a_buffer_a_read_is_a_read_of_the_host(self):
        class Raw(StreamRequestHandler):
            rbufsize = 0

        rfile = stream(b"abc", Raw, in_pieces_of=2).rfile
        self.assertEqual([rfile.read(5), rfile.read(5), rfile.read(5)], [b"ab", b"c", b""])


class Recv(unittest.TestCase):
    def test_it_returns_as_soon_as_a_byte_is_there(self):
        connection = stream(b"abc", in_pieces_of=2).connection
        self.assertEqual([connection.recv(10) for _ in range(3)], [b"ab", b"c", b""])

    def test_it_asks_for_no_more_than_64_kib(self):
        self.assertEqual(len(stream(bytes(100_000), in_pieces_of=10**6).connection.recv(10**9)), 65536)

    def test_a_negative_size_is_refused(self):
        with self.assertRaises(ValueError):
            stream().connection.recv(-1)


if __name__ == "__main__":
    unittest.main()
