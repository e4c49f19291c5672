"""The display of `timonier up`: a line a step, with its time; plain lines when nobody watches a terminal."""

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.status import Status


class Progress:
    """Shows each step while it runs and leaves `✓ step … 1.2 s` behind."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = time.monotonic()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator["Step"]:
        """A step; an exception marks it as failed and goes on."""
        started = time.monotonic()
        status = self.console.status(f"{title} …") if self.console.is_terminal else None
        step = Step(title, status)
        if status:
            status.start()
        try:
            yield step
        except BaseException:
            if status:
                status.stop()
            self.console.print(f"[red]✗[/red] {title} [dim]{time.monotonic() - started:.1f} s[/dim]")
            raise
        if status:
            status.stop()
        note = f" [cyan]{step.note}[/cyan]" if step.note else ""
        self.console.print(f"[green]✓[/green] {title}{note} [dim]{time.monotonic() - started:.1f} s[/dim]")

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started


class Step:
    """`note` is shown behind the finished step; `say` beside the running one."""

    def __init__(self, title: str, status: Status | None) -> None:
        self.note = ""
        self._title = title
        self._status = status

    def say(self, detail: str) -> None:
        if self._status:
            self._status.update(f"{self._title} … [dim]{detail}[/dim]")
