"""Reading logs: both formats, every option, files that grow and rotate."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.logs import LogOptions, parse_cri, parse_docker, read_log, tail_offset


def stamp(second: int) -> str:
    return f"2026-01-02T03:04:{second:02d}.000000001Z"


def cri(lines: list[str]) -> bytes:
    return b"".join(f"{stamp(i)} stdout F {line}\n".encode() for i, line in enumerate(lines))


def docker(lines: list[str]) -> bytes:
    rows = [{"log": f"{line}\n", "stream": "stdout", "time": stamp(i)} for i, line in enumerate(lines)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


async def over() -> bool:
    return True


def read(path: Path, form: str = "cri", **options: object) -> bytes:
    async def main() -> bytes:
        chunks = read_log(path, form, LogOptions(**options), is_over=over)  # type: ignore[arg-type]
        return b"".join([chunk async for chunk in chunks])

    return asyncio.run(main())


@pytest.fixture(params=["cri", "docker-json"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    path = tmp_path / "0.log"
    path.write_bytes((cri if request.param == "cri" else docker)([f"line {i}" for i in range(10)]))
    yield path, request.param


def test_the_whole_log(log: tuple[Path, str]) -> None:
    assert read(*log) == b"".join(b"line %d\n" % i for i in range(10))


def test_the_tail(log: tuple[Path, str]) -> None:
    assert read(*log, tail_lines=2) == b"line 8\nline 9\n"
    assert read(*log, tail_lines=0) == b""
    assert read(*log, tail_lines=99).count(b"\n") == 10


def test_timestamps_and_since(log: tuple[Path, str]) -> None:
    from master.api.timestamps import parse_rfc3339

    assert read(*log, tail_lines=1, timestamps=True) == f"{stamp(9)} line 9\n".encode()
    assert read(*log, since_s=parse_rfc3339(stamp(8))) == b"line 8\nline 9\n"


def test_a_limit_of_bytes(log: tuple[Path, str]) -> None:
    assert read(*log, limit_bytes=10) == b"line 0\nlin"


def test_streams_are_told_apart_and_split_lines_joined(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(
        f"{stamp(0)} stdout P half \n{stamp(1)} stdout F whole\n{stamp(2)} stderr F oops\n"
        f"no log line\n{stamp(3)} stdout F\n"
    )
    assert read(path) == b"half whole\noops\n\n"
    assert read(path, stream="Stderr") == b"oops\n"
    assert read(path, timestamps=True).startswith(f"{stamp(0)} half whole\n".encode())


def test_a_missing_log_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == b""
    assert read(tmp_path / "none", follow=True) == b""


def test_following_sees_what_is_written_and_survives_rotation(tmp_path: Path) -> None:
    path, rounds = tmp_path / "0.log", iter(range(100))
    path.write_bytes(cri(["first"]))

    async def is_over() -> bool:
        match next(rounds):
            case 0:
                with path.open("ab") as file:
                    file.write(cri(["second"])[:-3])  # an unfinished line is waited for
            case 1:
                with path.open("ab") as file:
                    file.write(b"nd\n")
            case 2:
                path.rename(tmp_path / "1.log")
                path.write_bytes(cri(["third"]))
            case 4:
                with path.open("ab") as file:
                    file.write(cri(["last"]))
                return True
        return False

    async def sleep(_: float) -> None:
        return

    async def main() -> bytes:
        chunks = read_log(path, "cri", LogOptions(follow=True), is_over=is_over, sleep=sleep)
        return b"".join([chunk async for chunk in chunks])

    assert asyncio.run(main()) == b"first\nsecond\nthird\nlast\n"


@given(st.lists(st.text(alphabet="abc ", max_size=300), max_size=400), st.integers(1, 500))
def test_the_tail_is_the_end_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], wanted: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "tail.log"
    path.write_bytes(b"".join(line.encode() + b"\n" for line in lines))
    with path.open("rb") as file:
        file.seek(tail_offset(file, wanted))
        assert file.read().split(b"\n")[:-1] == [line.encode() for line in lines][-wanted:]


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused_without_a_fault(line: bytes) -> None:
    parse_cri(line)
    parse_docker(line)
