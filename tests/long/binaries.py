"""Reads `cargo test --no-run --message-format=json` and writes each test binary's name and path."""

import json
import sys

for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message.get("profile", {}).get("test"):
        print(message["target"]["name"], message["executable"])
