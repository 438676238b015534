"""Firefox as Playwright wants it: with the command that its WebDriver BiDi does not have yet answered as done.

Playwright starts this in the place of Firefox (see `launcher`) and connects to it; all else goes through unchanged.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection
from websockets.sync.server import serve

MISSING = "emulation.setMediaFeaturesOverride"  # Playwright sets the colour scheme of every context


def launcher(folder: Path, firefox: str) -> Path:
    """A program in this folder that starts Firefox behind the relay."""
    script = folder / "firefox"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" "{firefox}" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script


def forward(source: Connection, target: Connection) -> None:
    try:
        for message in source:
            target.send(message)
    except ConnectionClosed:
        pass
    target.close()


def relay(client: Connection, url: str) -> None:
    with connect(url, max_size=None, compression=None, ping_interval=None) as firefox:
        threading.Thread(target=forward, args=(firefox, client), daemon=True).start()
        for message in client:
            command = json.loads(message)
            if command["method"] == MISSING:
                client.send(json.dumps({"type": "success", "id": command["id"], "result": {}}))
            else:
                firefox.send(message)


def main(argv: list[str]) -> int:
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, errors="replace")
    address = ""

    def handler(client: Connection) -> None:
        relay(client, address + client.request.path)

    with serve(handler, "127.0.0.1", 0, max_size=None, compression=None, ping_interval=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mine = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        for line in process.stderr:
            if found := re.search(r"BiDi listening on (ws://\S+)", line):
                address = found[1]
                line = line.replace(address, mine)
            sys.stderr.write(line)
            sys.stderr.flush()
        server.shutdown()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
