"""{{name}}: answers a line with a greeting."""

import sandsock


class Hello(sandsock.StreamRequestHandler):
    def handle(self):
        print("connect from", self.client_address)
        line = self.rfile.readline(8192)
        print(str(line, encoding="utf-8", errors="replace").rstrip())
        self.wfile.write(bytes("你好", encoding="utf-8"))


sandsock.serve(Hello)
