"""What a handler has: Python's attributes, whatever the transport."""

import unittest

import sandsock
from sandsock import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler, testing


def run(base, handle, request, **attributes):
    testing.run(type("Handler", (base,), {"handle": handle, **attributes}), request)


class Attributes(unittest.TestCase):
    def seen(self, **options):
        """The client's address, the server's, the transport and the number, as a handler sees them."""
        seen = []

        def handle(self):
            connection = self.connection
            seen.extend((self.client_address, self.server.server_address))
            seen.extend((connection.transport, connection.id))
            assert self.client_address == connection.getpeername()

        run(StreamRequestHandler, handle, testing.Request(**options))
        return seen

    def test_a_request_is_over_tcp_unless_told_otherwise(self):
        self.assertEqual(self.seen(), [("127.0.0.1", 4711), ("127.0.0.1", 9999), "tcp", 1])

    def test_everything_known_of_a_request_can_be_given(self):
        seen = self.seen(transport="udp", client_address=("::1", 1), server_address=("::", 2), id=7)
        self.assertEqual(seen, [("::1", 1), ("::", 2), "udp", 7])

    def test_a_unix_client_has_a_path_or_nothing(self):
        self.assertEqual(self.seen(transport="unix")[:2], ["", "/run/test.sock"])
        self.assertEqual(self.seen(transport="unixgram", client_address="/c:1")[0], "/c:1")

    def test_a_request_without_an_address_has_one_of_the_same_form(self):
        self.assertEqual(self.seen(client_address="")[0], ("", 0))

    def test_the_settings_of_the_class_are_taken(self):
        request = testing.Request()
        run(StreamRequestHandler, BaseRequestHandler.handle, request, timeout=1.5, disable_nagle_algorithm=True)
        self.assertEqual((request.timeout, request.nodelay), (1.5, True))

    def test_a_timeout_is_rounded_up_and_never_the_operators(self):
        for seconds, expected in ((0, 0.001), (0.0015, 0.002), (None, None), (float("inf"), (2**63 - 1) / 1000)):
            request = testing.Request()
            run(StreamRequestHandler, lambda self: self.connection.settimeout(seconds), request)
            self.assertEqual(request.timeout, expected)

    def test_a_timeout_that_is_none_is_refused(self):
        for seconds in (-1, float("nan")):
            with self.assertRaises(ValueError):
                run(StreamRequestHandler, lambda self: self.connection.settimeout(seconds), testing.Request())


class Base(unittest.TestCase):
    def test_over_a_stream_the_request_is_the_connection(self):
        request = testing.Request(b"data")
        run(BaseRequestHandler, lambda self: self.request.sendall(self.request.recv(1024).upper()), request)
        self.assertEqual(request.written, b"DATA")

    def test_over_datagrams_the_request_is_the_packet_and_the_connection(self):
        def handle(self):
            data, socket = self.request
            socket.sendto(data.upper(), self.client_address)
            socket.sendto(b"again", self.client_address)

        request = testing.Request(b"data", transport="udp")
        run(BaseRequestHandler, handle, request)
        self.assertEqual(request.datagrams, [b"DATA", b"again"])

    def test_nobody_but_the_client_can_be_sent_to(self):
        def handle(self):
            self.request[1].sendto(b"data", ("192.0.2.1", 53))

        with self.assertRaises(PermissionError):
            run(BaseRequestHandler, handle, testing.Request(transport="udp"))


class Datagram(unittest.TestCase):
    def test_a_packet_is_answered_when_the_request_ends(self):
        def handle(self):
            self.wfile.write(self.rfile.readline().upper())
            self.wfile.write(self.packet)

        for transport, sent in (("udp", [b"A\na\nb"]), ("tcp", [])):
            request = testing.Request(b"a\nb", transport=transport, in_pieces_of=2)
            run(DatagramRequestHandler, handle, request)
            self.assertEqual(request.written, b"A\na\nb")
            self.assertEqual(request.datagrams, sent)

    def test_nothing_written_is_nothing_sent(self):
        request = testing.Request(b"a", transport="udp")
        run(DatagramRequestHandler, BaseRequestHandler.handle, request)
        self.assertEqual(request.datagrams, [])


class Serve(unittest.TestCase):
    def test_in_a_module_that_is_imported_it_does_nothing(self):
        self.assertIsNone(sandsock.serve(BaseRequestHandler))

    def test_a_module_that_is_run_says_what_it_is(self):
        with self.assertRaisesRegex(SystemExit, "componentize-py"):
            exec("import sandsock; sandsock.serve(object)", {"__name__": "__main__"})


if __name__ == "__main__":
    unittest.main()
