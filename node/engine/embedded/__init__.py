"""The embedded engine: containers without any daemon but a small shim process per node.

Start with `shim.py` (what it keeps and does), then `launch.py` (how a container comes to life), `images.py`.
The kubelet sees `EmbeddedEngine` only, which speaks to the shim over a Unix socket.
"""

from node.engine.embedded.client import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
