"""Faults against processes, cgroups and namespaces that the tests made."""

import signal
import sys
from pathlib import Path

import pytest
from chaos_lab import LabFabric, wait_until

from chaos import cgroups
from chaos.fabric import UnknownHost
from chaos.faults.fault import Fault, armed
from chaos.faults.host import HostKill, HostPause, host_state
from chaos.faults.network import CablePulled, Isolation, Loss, Partition, heal
from chaos.faults.process import NoSuchProcess, ProcessKill, ProcessPause

ROLE_COMMAND = [sys.executable, "-c", "import signal; signal.pause()", "-m", "proxy"]


def state_letter(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_killed_host_has_no_process_and_no_network_until_it_is_started(fabric: LabFabric) -> None:
    fabric.start("n1")
    fabric.spawn("n1", ["sh", "-c", "trap '' TERM; sleep 600 & sleep 600"])
    wait_until(lambda: len(cgroups.pids("/" + fabric.prefix + "/n1")) >= 4)
    fault = HostKill(fabric, "n1")
    fault.arm()
    state = host_state(fabric, fabric.host("n1"))
    assert state.processes == 0 and state.is_cut_off
    assert not fabric.reaches("m1", "n1")
    fault.arm()  # twice does no harm
    fault.disarm()
    assert fabric.starts == ["n1", "n1"]
    state = host_state(fabric, fabric.host("n1"))
    assert state.processes == 1 and not state.is_cut_off
    wait_until(lambda: fabric.reaches("m1", "n1"))  # the kernel asks again for the address after a moment


def test_a_frozen_host_can_be_killed(fabric: LabFabric) -> None:
    fabric.start("n1")
    HostPause(fabric, "n1").arm()
    HostKill(fabric, "n1").arm()
    assert not cgroups.pids(fabric.host("n1").cgroup)


def test_killing_works_without_cgroup_kill(fabric: LabFabric, monkeypatch: pytest.MonkeyPatch) -> None:
    fabric.start("n1")
    write_text = Path.write_text

    def refuse(path: Path, text: str) -> int:
        if path.name == "cgroup.kill":
            raise FileNotFoundError(path)
        return write_text(path, text)

    monkeypatch.setattr(Path, "write_text", refuse)
    cgroups.kill(fabric.host("n1").cgroup)
    assert not cgroups.pids(fabric.host("n1").cgroup)


def test_a_paused_host_stands_still_and_goes_on(fabric: LabFabric) -> None:
    fabric.start("n1")
    fault = HostPause(fabric, "n1")
    with armed(fault):
        assert host_state(fabric, fabric.host("n1")).is_frozen
        fault.arm()
    assert not host_state(fabric, fabric.host("n1")).is_frozen
    fault.disarm()
    assert len(cgroups.pids(fabric.host("n1").cgroup)) == 1


def test_killing_one_host_spares_the_others(fabric: LabFabric) -> None:
    fabric.start("n1")
    fabric.start("n2")
    HostKill(fabric, "n1").arm()
    assert len(cgroups.pids(fabric.host("n2").cgroup)) == 1


def test_a_role_is_killed_and_paused_by_its_command_line(fabric: LabFabric) -> None:
    bystander = fabric.spawn("n1", ["sleep", "600"])
    victim = fabric.spawn("n1", ROLE_COMMAND)
    wait_until(lambda: len(cgroups.pids(fabric.host("n1").cgroup)) == 2)
    wait_until(lambda: state_letter(victim.pid) == "S")
    with armed(ProcessPause(fabric, "n1", "proxy")):
        wait_until(lambda: state_letter(victim.pid) == "T")
    wait_until(lambda: state_letter(victim.pid) == "S")
    ProcessKill(fabric, "n1", "proxy").arm()
    wait_until(lambda: victim.poll() == -signal.SIGKILL)
    assert bystander.poll() is None
    with pytest.raises(NoSuchProcess):
        ProcessKill(fabric, "n1", "proxy").arm()
    with pytest.raises(ValueError, match="roles are"):
        ProcessKill(fabric, "n1", "poet")


def test_a_pulled_cable_cuts_both_ways_and_is_put_back(fabric: LabFabric) -> None:
    assert fabric.reaches("n1", "n2")
    with armed(CablePulled(fabric, "n1")):
        assert not fabric.reaches("n1", "n2") and not fabric.reaches("n2", "n1")
        assert fabric.reaches("m1", "n2")
    wait_until(lambda: fabric.reaches("n1", "n2") and fabric.reaches("n2", "n1"))


@pytest.mark.parametrize(("direction", "out", "into"), [("both", 0, 0), ("to", 1, 0), ("from", 0, 1)])
def test_isolation_blocks_the_directions_asked_for(fabric: LabFabric, direction: str, out: int, into: int) -> None:
    with armed(Isolation(fabric, "n1", direction)):  # type: ignore[arg-type]
        assert fabric.reaches("n1", "n2") == bool(out)
        assert fabric.reaches("n2", "n1") == bool(into)
        assert fabric.reaches("m1", "n2")
    assert fabric.reaches("n1", "n2") and fabric.reaches("n2", "n1")


def test_a_partition_separates_groups_only(fabric: LabFabric) -> None:
    with armed(Partition(fabric, ["m1", "n1"], ["n2"])):
        assert fabric.reaches("m1", "n1") and fabric.reaches("n1", "m1")
        assert not fabric.reaches("m1", "n2") and not fabric.reaches("n2", "n1")
    with armed(Partition(fabric, ["m1"], ["n2"], one_way=True)):
        assert not fabric.reaches("m1", "n2") and fabric.reaches("n2", "m1")
    assert fabric.reaches("m1", "n2")
    with pytest.raises(ValueError, match="both sides"):
        Partition(fabric, ["m1"], ["m1", "n1"])


def test_total_loss_is_like_isolation(fabric: LabFabric) -> None:
    with armed(Loss(fabric, "n1", 1.0)):
        assert not fabric.reaches("n1", "n2") and fabric.reaches("m1", "n2")
    assert fabric.reaches("n1", "n2")


def test_faults_can_be_armed_twice_and_healed_by_somebody_else(fabric: LabFabric) -> None:
    for fault in (Isolation(fabric, "n1"), Isolation(fabric, "n1"), Partition(fabric, ["m1"], ["n2"])):
        fault.arm()
    CablePulled(fabric, "n2").arm()
    assert heal(fabric, "n1") == ["isolate n1 both"]
    assert not fabric.reaches("m1", "n2") and fabric.reaches("n1", "m1")
    assert len(heal(fabric)) == 2
    assert heal(fabric) == []
    for source in ("m1", "n1", "n2"):
        for target in ("m1", "n1", "n2"):
            if source != target:
                wait_until(lambda pair=(source, target): fabric.reaches(*pair))  # type: ignore[misc]


def test_every_fault_has_a_name_and_a_sentence(fabric: LabFabric) -> None:
    faults: list[Fault] = [
        HostKill(fabric, "n1"),
        HostPause(fabric, "n1"),
        ProcessKill(fabric, "n1", "kubelet"),
        ProcessPause(fabric, "m1", "raftstore"),
        CablePulled(fabric, "n1"),
        Isolation(fabric, "n1", "to"),
        Partition(fabric, ["m1"], ["n1"], one_way=True),
        Loss(fabric, "n1", 0.3),
    ]
    assert len({fault.name for fault in faults}) == len(faults)
    assert all(len(fault.describe()) > 10 for fault in faults)
    with pytest.raises(UnknownHost, match="hosts are m1, n1, n2"):
        HostKill(fabric, "n9")
