#!/usr/bin/env python3
"""From a record to the first byte of the request that tells of it: a live source, an alert, a webhook, `every: 10s`.

Writes records at a fixed rate into the standard input of `freshet run` (open loop: a late answer delays no record) and takes
the time when a request's first byte arrives. Prints count, p50, p99 and the largest. usage: alert_latency.py FRESHET [RECORDS_A_SECOND [SECONDS]]
"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

PIPELINE = """name: latency
settings:
  checkpoint: {every: 10s}
sources:
  in:
    type: stdin
    format: ndjson
    schema: {at: timestamp, k: int64, v: int64}
    time: {field: at, lateness: 0s}
operators:
  high: {type: alert, inputs: [in], when: v >= 90, key: [k]}
sinks:
  hook: {type: webhook, inputs: [high], url: "http://127.0.0.1:PORT/"}
"""

arrived = {}


def serve(connection):
    """Requests of one connection, which stays open."""
    data = b""
    first = None
    while True:
        try:
            part = connection.recv(65536)
        except OSError:
            return
        if not part:
            return
        if not data:
            first = time.monotonic()
        data += part
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                break
            head = data[:end].lower()
            at = head.find(b"content-length: ") + 16
            size = int(head[at:].split(b"\r\n")[0])
            if len(data) < end + 4 + size:
                break
            row = json.loads(data[end + 4:end + 4 + size])
            arrived.setdefault((row["k"], row["state"]), first)
            data = data[end + 4 + size:]
            first = time.monotonic()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def accept(listener):
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def main():
    freshet = sys.argv[1]
    rate = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    written = {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "latency.yaml")
        with open(path, "w") as f:
            f.write(PIPELINE.replace("PORT", str(listener.getsockname()[1])))
        environment = dict(os.environ, no_proxy="127.0.0.1")
        run = subprocess.Popen([freshet, "run", path, "--http", "off", "--state", os.path.join(folder, "state")],
                               stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        begin = time.monotonic()
        for n in range(rate * seconds):
            due = begin + n / rate
            while time.monotonic() < due:
                time.sleep(max(0.0, min(0.001, due - time.monotonic())))
            high = n % (rate // 10) == 7  # ten alerts a second
            now = time.monotonic()
            line = '{"at":%d,"k":%d,"v":%d}\n' % (int(time.time() * 1000000), n, 95 if high else 5)
            if high:
                written[n] = now
            run.stdin.write(line.encode())
            run.stdin.flush()
        run.stdin.close()
        err = run.stderr.read().decode()
        run.wait()
    waits = sorted(1000 * (arrived[(k, "firing")] - t) for k, t in written.items()
                   if (k, "firing") in arrived and t - begin > 2)
    lost = sum((k, "firing") not in arrived for k in written)
    if not waits:
        sys.exit(err)
    print("%d records/s, %d alerts, %d missing: p50 %.1f ms, p99 %.1f ms, max %.1f ms" %
          (rate, len(waits), lost, waits[len(waits) // 2], waits[int(len(waits) * 0.99)], waits[-1]))
    print(err, file=sys.stderr)


main()
