"""Python's own servers, with the work that every server of the benchmark does: each byte goes back.

    python3 servers.py ThreadingTCPServer
"""

import socketserver
import sys


class Stream(socketserver.BaseRequestHandler):
    # The plainest way, and the fastest: no file objects round the socket.
    def handle(self):
        while piece := self.request.recv(65536):
            self.request.sendall(piece)


class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        packet, socket = self.request
        socket.sendto(packet, self.client_address)


def main():
    base = getattr(socketserver, sys.argv[1])
    is_datagram = issubclass(base, socketserver.UDPServer)

    class Server(base):
        # As much as the others have; Python's own 5 would turn clients away.
        request_queue_size = 1024
        max_packet_size = 65507
        # No list of threads to look through for each request.
        daemon_threads = True

    scheme, handler = ("udp", Datagram) if is_datagram else ("tcp", Stream)
    with Server(("127.0.0.1", 0), handler) as server:
        host, port = server.server_address
        print(f"listening {scheme}://{host}:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
