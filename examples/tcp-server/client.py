"""One connection: sends a line, prints the answer. client.py [HOST PORT]"""

import socket
import sys

host, port = sys.argv[1:] or ("127.0.0.1", "9999")

client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
client.connect((host, int(port)))

data = "hello,server\n"  # the newline ends the line that the handler reads
client.sendall(data.encode("utf-8"))

# One recv may return a part of the answer: read to the end of the stream.
received = b""
while part := client.recv(1024):
    received += part
print(received.decode("utf-8"))
client.close()
