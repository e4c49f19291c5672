"""The engines' pure parts: image archives, names, users, capabilities, log lines, plans, Docker's and OCI's words."""

import io
import json
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import cgroups
from node.engine import capabilities, dockerspec
from node.engine.base import ContainerSpec, Mount, SandboxSpec
from node.engine.embedded import oci, plan, users
from node.engine.embedded.crilog import MAX_LINE_BYTES, LineSplitter, timestamp
from node.engine.embedded.imageref import normalize
from node.engine.embedded.images import RuntimeConfig
from node.engine.embedded.sandbox import resolv_conf
from node.engine.embedded.unpack import BadImage, member_path
from node.engine.imagebuild import Folder, ImageConfig, Symlink, build_archive, busybox_root

PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/sh\nbroken line\n"
GROUPS = "root:x:0:\nweb:x:34:\ndisk:x:6:web,other\n"
CAPABILITIES = st.sampled_from(capabilities.NAMES)


# Archives.


def test_an_archive_depends_on_its_input_alone() -> None:
    files = {"bin/tool": b"x", "etc/link": Symlink("../bin/tool"), "tmp": Folder(0o1777)}
    first = build_archive("a/b:1", files, ImageConfig(cmd=["tool"]))
    assert first == build_archive("a/b:1", dict(reversed(files.items())), ImageConfig(cmd=["tool"]))


def test_an_archive_is_what_docker_save_writes() -> None:
    data = build_archive("a/b:1", {"/bin/tool": b"x", "tmp": Folder(0o1777)}, ImageConfig(cmd=["tool"], user="web"))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        manifest = json.load(_open(tar, "manifest.json"))[0]
        config = json.load(_open(tar, manifest["Config"]))
        with tarfile.open(fileobj=_open(tar, manifest["Layers"][0])) as layer:
            modes = {member.name: member.mode for member in layer}
    assert manifest["RepoTags"] == ["a/b:1"]
    assert (config["config"]["Cmd"], config["config"]["User"]) == (["tool"], "web")
    assert modes == {"bin": 0o755, "bin/tool": 0o755, "tmp": 0o1777}


def _open(tar: tarfile.TarFile, name: str) -> Any:
    file = tar.extractfile(name)
    assert file is not None
    return file


def test_a_busybox_root_has_its_applets_as_links() -> None:
    root = busybox_root(b"ELF", ["sh", "busybox"])
    assert root["bin/busybox"] == b"ELF"
    assert root["bin/sh"] == Symlink("busybox")


@pytest.mark.parametrize("name", ["../etc/passwd", "a/../../b", "/..", "./.."])
def test_a_layer_may_not_climb(name: str) -> None:
    with pytest.raises(BadImage):
        member_path(name)


@given(st.text())
def test_a_members_path_is_absolute_and_has_no_dots(name: str) -> None:
    try:
        path = member_path(name)
    except BadImage:
        return
    assert path is None or (path.startswith("/") and not {"", ".", ".."} & set(path[1:].split("/")))


# Names and users.


@pytest.mark.parametrize(
    ("ref", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("timonier/pause:1", "docker.io/timonier/pause:1"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("localhost/a", "localhost/a:latest"),
        ("10.90.0.2:5000/a/b:2", "10.90.0.2:5000/a/b:2"),
        ("registry.example/a@sha256:1", "registry.example/a@sha256:1"),
    ],
)
def test_image_names_are_understood_as_docker_does(ref: str, full: str) -> None:
    assert normalize(ref) == full
    assert normalize(full) == full


def test_users_are_found_by_name_or_number() -> None:
    def resolve(user: str, group: str = "", extra: list[int] | None = None, image: str = "") -> users.Identity:
        return users.resolve(user, group, extra or [], image, PASSWD, GROUPS)

    assert resolve("") == users.Identity(0, 0, [], "/root")
    assert resolve("", image="web") == users.Identity(33, 34, [6], "/srv")
    assert resolve("33", extra=[7]) == users.Identity(33, 34, [6, 7], "/srv")
    assert resolve("1000") == users.Identity(1000, 0, [], "/")
    assert resolve("web:disk") == users.Identity(33, 6, [], "/srv")
    assert resolve("web", "2000") == users.Identity(33, 2000, [], "/srv")
    with pytest.raises(users.UnknownUser):
        resolve("nobody-here")
    with pytest.raises(users.UnknownUser):
        resolve("99999999999")


# Capabilities.


def test_drops_and_additions_follow_docker() -> None:
    everything = frozenset(capabilities.NAMES)
    effective = capabilities.effective
    assert effective([], [], everything) == capabilities.DEFAULTS
    assert effective(["net_admin"], ["ALL"], everything) == {"NET_ADMIN"}
    assert effective(["CAP_NET_ADMIN"], ["CHOWN"], everything) == (capabilities.DEFAULTS | {"NET_ADMIN"}) - {"CHOWN"}
    assert effective(["ALL"], ["CHOWN"], everything) == everything - {"CHOWN"}
    assert effective([], ["ALL"], everything, privileged=True) == everything
    with pytest.raises(capabilities.UnknownCapability):
        effective(["FLYING"], [], everything)


@given(st.lists(CAPABILITIES), st.lists(CAPABILITIES), st.frozensets(CAPABILITIES), st.booleans())
def test_nobody_gets_more_than_the_machine_allows(
    add: list[str], drop: list[str], allowed: frozenset[str], privileged: bool
) -> None:
    granted = capabilities.effective(add, drop, allowed, privileged=privileged)
    assert granted <= allowed
    assert capabilities.from_bits(capabilities.bits(granted)) == granted


# Cgroups.


@given(st.integers(-10, 10**7), st.integers(-10, 10**7))
def test_weights_are_in_bounds_and_keep_the_order_of_shares(one: int, two: int) -> None:
    first, second = sorted((one, two))
    assert 1 <= cgroups.weight_of(first) <= cgroups.weight_of(second) <= 10_000


def test_limits_in_the_words_of_both_versions() -> None:
    limits = cgroups.Limits(cpu_shares=2, cpu_quota_us=50_000, memory_bytes=1 << 20, pids=9)
    assert cgroups.v1_settings(limits) == [
        ("cpu", "cpu.shares", "2"),
        ("cpu", "cpu.cfs_period_us", "100000"),
        ("cpu", "cpu.cfs_quota_us", "50000"),
        ("memory", "memory.limit_in_bytes", "1048576"),
        ("memory", "memory.memsw.limit_in_bytes", "1048576"),
        ("pids", "pids.max", "9"),
    ]
    assert cgroups.v2_settings(limits) == [
        ("", "cpu.weight", "1"),
        ("", "cpu.max", "50000 100000"),
        ("", "memory.max", "1048576"),
        ("", "memory.swap.max", "0"),
        ("", "pids.max", "9"),
    ]
    assert cgroups.v1_settings(cgroups.Limits()) == cgroups.v2_settings(cgroups.Limits()) == []


# Logs.


def test_a_line_has_time_stream_tag_and_text() -> None:
    splitter = LineSplitter(2)
    assert splitter.feed(b"one\ntw", 1_700_000_000_000_000_001) == (b"2023-11-14T22:13:20.000000001Z stderr F one\n")
    assert splitter.feed(b"o\n", 0) == b"1970-01-01T00:00:00.000000000Z stderr F two\n"
    assert splitter.finish(0) == b""


@given(st.lists(st.binary(max_size=40) | st.integers(0, 3 * MAX_LINE_BYTES).map(lambda n: b"x" * n)))
def test_every_byte_is_in_the_log_whatever_the_pieces(pieces: list[bytes]) -> None:
    splitter = LineSplitter(1)
    log = b"".join(splitter.feed(piece, 0) for piece in pieces) + splitter.finish(0)
    text = b""
    for line in log.split(b"\n")[:-1]:
        stamp, name, tag, content = line.split(b" ", 3)
        assert (stamp, name) == (timestamp(0), b"stdout")
        assert len(content) <= MAX_LINE_BYTES
        text += content + (b"\n" if tag == b"F" else b"")
    assert text == b"".join(pieces)


# Plans.


def around(**changes: Any) -> plan.Surroundings:
    values: dict[str, Any] = {
        "id": "c",
        "folder": "/c",
        "layers_dir": "/layers",
        "layers": ["low", "high"],
        "image": RuntimeConfig(entrypoint=["/entry"], cmd=["default"], env=["A=image", "B=image"], working_dir="/srv"),
        "passwd": PASSWD,
        "groups": GROUPS,
        "sandbox": SandboxSpec(pod_uid="u", name="n", namespace="ns", hostname="web-0", hosts_file="/hosts"),
        "sandbox_pid": 7,
        "sandbox_folder": "/s",
        "group": "/pod/c",
        "allowed": frozenset(capabilities.NAMES),
        "oom_floor": 0,
        "has_device_guard": True,
    }
    return plan.Surroundings(**(values | changes))


def spec(**changes: Any) -> ContainerSpec:
    return ContainerSpec(**({"name": "main", "image": "i"} | changes))


@pytest.mark.parametrize(
    ("command", "args", "argv"),
    [
        (None, None, ["/entry", "default"]),
        (None, ["mine"], ["/entry", "mine"]),
        (["/mine"], None, ["/mine"]),
        (["/mine"], ["x"], ["/mine", "x"]),
    ],
)
def test_the_table_of_command_and_args(command: list[str] | None, args: list[str] | None, argv: list[str]) -> None:
    assert plan.make_plan(spec(command=command, args=args), around()).argv == argv


def test_something_must_be_run() -> None:
    with pytest.raises(plan.NoCommand):
        plan.make_plan(spec(), around(image=RuntimeConfig()))


def test_the_orders_environment_lies_over_the_images() -> None:
    env = plan.make_plan(spec(env=["A=mine", "C=x=y"]), around()).env
    assert [pair for pair in env if pair[0] in "ABC"] == ["A=mine", "B=image", "C=x=y"]
    assert "HOSTNAME=web-0" in env
    assert any(pair.startswith("PATH=") for pair in env)


def test_outer_mounts_come_before_inner_ones_and_orders_win_over_the_pods_files() -> None:
    mounts = [Mount(source="/x", target=target) for target in ("/a/b/c", "/a", "/etc/hosts")]
    made = plan.make_plan(spec(mounts=mounts), around()).mounts
    targets = [mount.target for mount in made]
    assert targets.index("/a") < targets.index("/a/b/c")
    assert targets.count("/etc/hosts") == 1
    assert next(mount.source for mount in made if mount.target == "/etc/hosts") == "/x"


def test_without_a_device_guard_nobody_makes_device_nodes() -> None:
    assert "MKNOD" in plan.make_plan(spec(), around()).capabilities
    assert "MKNOD" not in plan.make_plan(spec(), around(has_device_guard=False)).capabilities


def test_a_plan_in_ocis_words() -> None:
    made = plan.make_plan(spec(user="web", memory_limit_bytes=1 << 20, read_only_root=True, tty=True), around())
    document = oci.configuration(made)
    assert document["process"]["user"] == {"uid": 33, "gid": 34, "additionalGids": [6]}
    assert document["process"]["terminal"] is True
    assert document["process"]["capabilities"]["effective"] == []
    assert document["root"] == {"path": "/c/rootfs", "readonly": True}
    assert document["linux"]["cgroupsPath"] == "/pod/c"
    assert document["linux"]["resources"]["memory"] == {"limit": 1 << 20, "swap": 1 << 20}
    paths = {each["type"]: each.get("path") for each in document["linux"]["namespaces"]}
    assert paths == {
        "mount": None,
        "pid": None,
        "network": "/proc/7/ns/net",
        "ipc": "/proc/7/ns/ipc",
        "uts": "/proc/7/ns/uts",
    }


def test_the_resolver_file_is_as_ordered() -> None:
    sandbox = SandboxSpec(
        pod_uid="u", name="n", namespace="ns", dns_servers=["1.1.1.1"], dns_search=["a", "b"], dns_options=["ndots:5"]
    )
    assert resolv_conf(sandbox) == "nameserver 1.1.1.1\nsearch a b\noptions ndots:5\n"


# Docker's words.


def test_docker_is_never_asked_for_what_the_machine_refuses() -> None:
    poor = dockerspec.Machine(frozenset(capabilities.NAMES) - {"SYS_RESOURCE"}, 0)
    config = dockerspec.container_config(spec(privileged=True, oom_score_adj=-900), "sb", {}, poor)["HostConfig"]
    assert "Privileged" not in config
    assert "SYS_RESOURCE" not in config["CapAdd"]
    assert config["OomScoreAdj"] == 0
    rich = dockerspec.Machine(frozenset(capabilities.NAMES), 0)
    config = dockerspec.container_config(spec(privileged=True, oom_score_adj=-900), "sb", {}, rich)["HostConfig"]
    assert config["Privileged"] is True
    assert config["OomScoreAdj"] == -900


def test_dockers_states_are_read() -> None:
    state: dict[str, Any] = {
        "Running": False,
        "Status": "exited",
        "Pid": 0,
        "ExitCode": 137,
        "OOMKilled": True,
        "Error": "",
        "StartedAt": "2024-01-01T00:00:00.5Z",
        "FinishedAt": "2024-01-01T00:00:01.123456789Z",
    }
    labels = {dockerspec.SANDBOX_ID: "sb", dockerspec.ATTEMPT: "3", dockerspec.CONTAINER_NAME: "main"}
    inspected = {
        "Id": "c",
        "Image": "sha256:1",
        "Created": "2024-01-01T00:00:00Z",
        "LogPath": "/log",
        "Config": {"Image": "i", "Labels": labels},
        "State": state,
    }
    read = dockerspec.container_state(inspected)
    assert (read.state, read.reason, read.oom_killed, read.attempt, read.name) == (
        "exited",
        "OOMKilled",
        True,
        3,
        "main",
    )
    assert round(read.finished_at - read.started_at, 6) == 0.623457
    child_only = dockerspec.container_state(inspected | {"State": state | {"ExitCode": 0}})
    assert (child_only.reason, child_only.oom_killed) == ("Completed", False)
    never = state | {"Status": "created", "Error": "exec: no such file", "ExitCode": 127, "StartedAt": dockerspec.NEVER}
    failed = dockerspec.container_state(inspected | {"State": never})
    assert (failed.state, failed.reason, failed.message) == ("exited", "StartError", "exec: no such file")
