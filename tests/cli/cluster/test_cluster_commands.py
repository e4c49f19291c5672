"""The contract of the command line: help everywhere, exit codes 0, 1, 2, JSON where a table is printed."""

import json

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from cli.app import app

RUN = CliRunner()


def every_command() -> list[list[str]]:
    found: list[list[str]] = []

    def walk(command: object, path: list[str]) -> None:
        found.append(path)
        for name, child in sorted(getattr(command, "commands", {}).items()):
            walk(child, [*path, name])

    walk(get_command(app), [])
    return found


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_explains_itself(path: list[str]) -> None:
    result = RUN.invoke(app, [*path, "--help"])
    assert result.exit_code == 0 and "Usage" in result.output


@pytest.mark.parametrize(
    "verb",
    [
        "up",
        "down",
        "status",
        "check",
        "kubeconfig",
        "get",
        "describe",
        "apply",
        "create",
        "delete",
        "scale",
        "logs",
        "exec",
        "rollout",
    ],
)
def test_the_promised_verbs_are_there(verb: str) -> None:
    assert [verb] in every_command()


@pytest.mark.parametrize("verb", ["kill", "pause", "resume", "start", "isolate", "heal", "run"])
def test_the_promised_faults_are_there(verb: str) -> None:
    assert ["chaos", verb] in every_command()


def test_wrong_usage_ends_with_2() -> None:
    for arguments in (["nosuch"], ["up", "--masters", "none"], ["up", "--masters", "99"], ["check", "--runtime", "x"]):
        assert RUN.invoke(app, arguments).exit_code == 2, arguments


def test_a_cluster_that_is_not_there_ends_with_1_and_says_so() -> None:
    result = RUN.invoke(app, ["status", "--cluster", "nosuch"])
    assert result.exit_code == 1 and "timonier up" in result.output


def test_check_prints_json() -> None:
    result = RUN.invoke(app, ["check", "-o", "json"])
    assert {"name", "ok", "remedy"} <= set(json.loads(result.stdout)[0])


@pytest.mark.parametrize("path", [["up"], ["status"], ["check"], ["get"], ["events"], ["chaos", "run"]], ids=" ".join)
def test_what_prints_a_table_can_print_json(path: list[str]) -> None:
    command = get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    assert any("--output" in option.opts for option in command.params)
