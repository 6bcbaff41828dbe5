"""The steps run as the contract says."""

import sys
import unittest

from sandsock import StreamRequestHandler, testing


class Steps(StreamRequestHandler):
    """Writes the name of each step, and fails in those that the client names."""

    def setup(self):
        super().setup()
        self.fails_in = self.rfile.read()
        self.step(b"setup ")

    def handle(self):
        self.step(b"handle ")

    def finish(self):
        self.step(b"finish ")

    def step(self, name):
        self.wfile.write(name)
        if b"exit:" + name in self.fails_in:
            sys.exit()
        if b"code:" + name in self.fails_in:
            sys.exit(3)
        if name in self.fails_in:
            raise ValueError(f"in {name.decode()}")


def served(fails_in, **options):
    """What was written, and the text of the error."""
    request = testing.Request(fails_in, **options)
    try:
        testing.run(Steps, request)
    except (Exception, SystemExit) as error:
        return request.written, str(error)
    return request.written, None


class TheSteps(unittest.TestCase):
    def test_they_run_in_order_on_one_handler(self):
        self.assertEqual(served(b""), (b"setup handle finish ", None))

    def test_after_an_error_of_setup_nothing_runs(self):
        self.assertEqual(served(b"setup "), (b"setup ", "in setup "))

    def test_after_an_error_of_handle_finish_runs(self):
        self.assertEqual(served(b"handle "), (b"setup handle finish ", "in handle "))

    def test_an_error_of_finish_is_an_error(self):
        self.assertEqual(served(b"finish "), (b"setup handle finish ", "in finish "))

    def test_the_first_error_wins(self):
        self.assertEqual(served(b"handle finish "), (b"setup handle finish ", "in handle "))

    def test_an_exit_is_no_error(self):
        self.assertEqual(served(b"exit:handle "), (b"setup handle finish ", None))
        self.assertEqual(served(b"exit:finish "), (b"setup handle finish ", None))

    def test_after_an_exit_of_setup_nothing_runs(self):
        self.assertEqual(served(b"exit:setup "), (b"setup ", None))

    def test_an_exit_with_a_code_is_an_error(self):
        self.assertEqual(served(b"code:handle "), (b"setup handle finish ", "3"))

    def test_what_a_datagram_client_was_written_is_sent_even_after_an_error(self):
        for fails_in in (b"", b"setup ", b"handle "):
            request = testing.Request(fails_in, transport="unixgram")
            try:
                testing.run(Steps, request)
            except ValueError:
                pass
            self.assertEqual(request.datagrams, [request.written])


if __name__ == "__main__":
    unittest.main()
