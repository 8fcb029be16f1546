"""Asks for a page again and again until its stdin ends: a process of its own, so that its clock is right."""

import json
import select
import socket
import sys
import time


def ask(port, host):
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 30) as s:
        s.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while piece := s.recv(65536):
            got += piece
    assert got.startswith(b"HTTP/1.1 200 "), got
    return time.monotonic() - start


def main():
    times = []
    while True:
        times.append(ask(int(sys.argv[1]), sys.argv[2]))
        if select.select([sys.stdin], [], [], 0.02)[0]:
            break
    json.dump(times, sys.stdout)


if __name__ == "__main__":
    main()
