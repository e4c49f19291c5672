"""The `ip` command from asyncio: many lines in one process, optionally inside a pod's network namespace.

`nsenter --net=` and never `ip -n`: that one remounts /sys and makes the cgroup tree disappear.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec

from node.network.base import NetworkError

COMMAND_TIMEOUT_S = 20.0


async def run(argv: Sequence[str], *, text: str = "", netns: str = "", env: dict[str, str] | None = None) -> str:
    """Standard output of a command that succeeds; `NetworkError` with what it said on standard error otherwise."""
    code, out, err = await run_raw(argv, text=text, netns=netns, env=env)
    if code != 0:
        raise NetworkError(f"{' '.join(argv)}: {err.strip() or out.strip() or f'exit code {code}'}")
    return out


async def run_raw(
    argv: Sequence[str], *, text: str = "", netns: str = "", env: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    argv = ["nsenter", f"--net={netns}", "--", *argv] if netns else list(argv)
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe, env=env)
    except OSError as error:
        raise NetworkError(f"{argv[0]}: {error.strerror}") from error
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            out, err = await process.communicate(text.encode())
    except TimeoutError as error:
        raise NetworkError(f"{' '.join(argv)}: no answer in {COMMAND_TIMEOUT_S:.0f} s") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")


async def batch(lines: Sequence[str], *, netns: str = "") -> None:
    """Stops at the first line that fails."""
    await run(["ip", "-batch", "-"], text="".join(f"{line}\n" for line in lines), netns=netns)


async def batch_all(lines: Sequence[str]) -> list[str]:
    """Carries out every line and returns the complaints."""
    text = "".join(f"{line}\n" for line in lines)
    _, _, err = await run_raw(["ip", "-force", "-batch", "-"], text=text)
    return [line for line in err.splitlines() if line.strip() and not line.startswith("Command failed")]


async def query(arguments: Sequence[str], *, netns: str = "") -> list[dict[str, Any]]:
    """`ip -json`; empty when the thing asked for does not exist."""
    code, out, _ = await run_raw(["ip", "-json", *arguments], netns=netns)
    if code != 0 or not out.strip():
        return []
    return [each for each in msgspec.json.decode(out, type=list[dict[str, Any]]) if each]
