import unittest

from handler import Hello
from sandsock import testing


class Greeting(unittest.TestCase):
    def test_a_line_is_greeted(self):
        request = testing.Request(b"hello,server\n")
        testing.run(Hello, request)
        self.assertEqual(request.written, "你好".encode())


if __name__ == "__main__":
    unittest.main()
