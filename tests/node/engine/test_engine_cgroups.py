"""Cgroups of this machine with real processes, and those of version 2 on a tree of plain files."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node import cgroups

DEADLINE_S = 10.0


@pytest.fixture
def group() -> Iterator[str]:
    name = f"/timonier-test-groups-{os.getpid()}"
    yield f"{name}/pod/main"
    cgroups.detect().kill(name)
    cgroups.detect().remove(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_group_holds_measures_kills_and_goes(group: str) -> None:
    groups = cgroups.detect()
    groups.create(group, cgroups.Limits(memory_bytes=64 << 20, pids=20))
    files = [str(path) for path in groups.procs_files(group)]
    script = 'for f in "$@"; do echo $$ > $f; done; sleep 600 & sleep 600'
    process = subprocess.Popen(["sh", "-c", script, "sh", *files])
    try:
        deadline = time.monotonic() + DEADLINE_S
        while len(groups.pids(group)) < 3:
            assert time.monotonic() < deadline
        assert groups.pids(group) >= {process.pid}
        assert groups.pids(str(Path(group).parent)) >= {process.pid}, "a parent counts its children's"
        usage = groups.usage(group)
        assert usage is not None
        assert usage.memory_bytes > 0
        assert groups.oom_kills(group) == 0
        assert not groups.remove(group)
        groups.kill(str(Path(group).parent))
        assert groups.pids(group) <= {process.pid}  # ours to wait for
    finally:
        process.kill()
        process.wait()
    assert groups.remove(group)
    assert groups.remove(group)
    assert groups.usage(group) is None


def test_version_2_switches_controllers_on_along_the_way(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "node", tmp_path / "node" / "pod", tmp_path / "node" / "pod" / "main"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text("cpu io memory pids\n")
        for name in ("cgroup.subtree_control", "cpu.weight", "cpu.max", "memory.max", "pids.max"):
            (folder / name).write_text("")
    groups = cgroups.detect(tmp_path)
    assert groups.version == 2
    groups.create("/node/pod/main", cgroups.Limits(cpu_shares=1024, memory_bytes=4096, pids=7))
    main = tmp_path / "node" / "pod" / "main"
    assert (main / "memory.max").read_text() == "4096"
    assert (main / "pids.max").read_text() == "7"
    assert (main / "cpu.weight").read_text() == "39"
    assert (tmp_path / "node" / "cgroup.subtree_control").read_text() == "+io"
    assert (main / "cgroup.subtree_control").read_text() == "", "processes live in leaves only"
    (main / "memory.events").write_text("oom 2\noom_kill 1\n")
    assert groups.oom_kills("/node/pod/main") == 1
    assert groups.procs_files("/node/pod/main") == [main / "cgroup.procs"]
