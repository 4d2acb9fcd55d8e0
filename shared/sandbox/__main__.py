"""`python -m shared.sandbox --port 9000`: the sandbox alone, for a vendor's SDK or a gateway."""

from __future__ import annotations

import argparse
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from shared import catalogue
from shared.sandbox import Sandbox
from shared.sandbox.server import Server
from shared.sandbox.shelf import Folder
from shared.settings import Settings


def main() -> None:
    """Serve until interrupted. The address goes to stderr once connections are taken."""
    parser = argparse.ArgumentParser(prog="python -m shared.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one (default 9000)")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default 127.0.0.1)")
    parser.add_argument("--data", type=Path, help="folder to keep files and batches in")
    arguments = parser.parse_args()
    rows = catalogue.load(Settings.from_env().catalogue_overlay)
    shelf = Folder(arguments.data) if arguments.data else None
    sandbox = Sandbox(rows, lambda: datetime.now(UTC), shelf)
    config = uvicorn.Config(
        Server(sandbox),
        lifespan="off",
        # A torn answer is asked for, and no error to be told of.
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((arguments.host, arguments.port))
        listener.listen(128)
        host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
        sys.stderr.write(f"sandbox: http://{host}:{listener.getsockname()[1]}\n")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
