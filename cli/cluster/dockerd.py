"""Starts one node's own Docker engine: clears what a crash left, then becomes dockerd.

A dockerd that died without its containerd finds a stale pid file and waits half a minute for a ghost;
so the leftovers are ended and removed before each start.
"""

import argparse
import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

GHOST_WAIT_S = 5.0


def command(socket: str, data_root: str, exec_root: str, cgroup_parent: str) -> list[str]:
    """dockerd without any network of its own: the node's pod network does that."""
    return [
        *("dockerd", "--host", f"unix://{socket}", "--data-root", data_root, "--exec-root", exec_root),
        *("--pidfile", f"{exec_root}/docker.pid", "--cgroup-parent", cgroup_parent),
        *("--exec-opt", "native.cgroupdriver=cgroupfs", "--bridge=none", "--iptables=false", "--ip-forward=false"),
        *("--ip-masq=false", "--userland-proxy=false", "--storage-driver", "overlay2", "--log-level", "error"),
        *("--insecure-registry", "10.0.0.0/8"),
    ]


def clear_leftovers(exec_root: Path) -> None:
    """Ends a containerd that outlived its dockerd and removes the pid files of both."""
    pid_file = exec_root / "containerd" / "containerd.pid"
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        if "containerd" in Path(f"/proc/{pid}/comm").read_text():
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + GHOST_WAIT_S
            while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
    for path in (pid_file, exec_root / "docker.pid"):
        path.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag in ("--socket", "--data-root", "--exec-root", "--cgroup-parent"):
        parser.add_argument(flag, required=True)
    options = parser.parse_args()
    program = shutil.which("dockerd")
    if program is None:
        raise SystemExit("dockerd: not installed (apt-get install docker.io), or use --runtime embedded")
    exec_root = Path(options.exec_root)
    exec_root.mkdir(parents=True, exist_ok=True)
    clear_leftovers(exec_root)
    os.execv(program, command(options.socket, options.data_root, options.exec_root, options.cgroup_parent))


if __name__ == "__main__":
    main()
