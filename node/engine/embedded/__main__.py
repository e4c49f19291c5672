"""`python -m node.engine.embedded --socket S --root DIR --cgroup-parent P`: the shim of one node.

To be started inside the node's network namespace. Ending it (SIGTERM) leaves the containers running.
"""

import argparse
import asyncio
import fcntl
import logging
import shutil
import signal
import sys
from pathlib import Path

from node.engine.embedded.server import listen
from node.engine.embedded.shim import Shim


async def serve(socket: Path, shim: Shim) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    shim.adopt()
    server = await listen(shim, socket)
    await stop.wait()
    server.close()
    socket.unlink(missing_ok=True)


def find_runc(launcher: str) -> str:
    """runc where it is installed, unless the operator decided."""
    found = shutil.which("runc", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin") or ""
    if launcher == "runc" and not found:
        raise SystemExit("runc is not installed")
    return "" if launcher == "python" else found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m node.engine.embedded", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path)
    parser.add_argument("--root", required=True, type=Path, help="images, and what is known of containers")
    parser.add_argument("--cgroup-parent", required=True, help="where pods without a cgroup of their own go")
    parser.add_argument("--launcher", choices=("auto", "runc", "python"), default="auto")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    options.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    options.socket.parent.mkdir(parents=True, exist_ok=True)
    with (options.root / "shim.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another shim runs on {options.root}") from None
        shim = Shim(options.root.resolve(), options.cgroup_parent, runc=find_runc(options.launcher))
        asyncio.run(serve(options.socket, shim))


if __name__ == "__main__":
    main()
