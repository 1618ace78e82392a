#!/usr/bin/env python3
"""A backend in one page: checks the signature of each callback and answers from two files.

    python3 callback_backend.py --port 9000 --key KEY --secret SECRET --ice ice.json --ace ace.json

Each genuine event is printed as one line of JSON. Only Python's own libraries are used.
"""
import argparse
import base64
import hashlib
import hmac
import http.server
import json
import sys


def signature(secret, method, body, content_type, timestamp, path):
    """HMAC-SHA256 over method, body digest, content type, timestamp and path."""
    digest = base64.b64encode(hashlib.md5(body).digest()).decode() if body else ""
    text = "\n".join([method, digest, content_type, "x-timestamp:" + timestamp, path])
    key = base64.b64decode(secret)
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()


class Callbacks(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the edge keeps its connections open
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = (self.headers["Content-Type"], self.headers["x-timestamp"], self.path)
        right = "application %s:%s" % (
            options.key, signature(options.secret, "POST", body, *parts))
        if not hmac.compare_digest(right, self.headers.get("Authorization", "")):
            print("refused: wrong signature", file=sys.stderr)
            return self.answer(401, b"")
        event = json.loads(body)
        sys.stdout.write(json.dumps(event) + "\n")
        files = {"ice": options.ice, "ace": options.ace}
        file = files.get(event["event"])  # "dice" and "notify" want no answer
        self.answer(200, open(file, "rb").read() if file else b"")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


parser = argparse.ArgumentParser()
for name in ("port", "key", "secret", "ice", "ace"):
    parser.add_argument("--" + name, required=True)
options = parser.parse_args()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(options.port)), Callbacks)
server.serve_forever()
