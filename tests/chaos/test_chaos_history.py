"""Histories and reports."""

import json
from pathlib import Path

import pytest

from chaos.history import History, HistoryFull, load_operations
from chaos.report import Measurement, make_verdict, summarize, to_json, to_text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def sample() -> History:
    history = History(Clock())
    history.ok(history.call("write", "k", "v"))
    history.failed(history.call("request"), "refused")
    history.unknown(history.call("write", "k", "w"), "lost")
    return history


def test_a_history_survives_a_file(tmp_path: Path) -> None:
    history = sample()
    history.save(tmp_path / "history.jsonl")
    assert load_operations(tmp_path / "history.jsonl") == list(history)


def test_an_unknown_operation_never_returns() -> None:
    unknown = list(sample())[2]
    assert unknown.return_s is None and unknown.latency_s is None and unknown.outcome == "unknown"


def test_a_history_is_bounded_and_an_operation_returns_once() -> None:
    history = History(Clock(), limit=1)
    operation = history.call("write")
    history.ok(operation)
    with pytest.raises(AssertionError):
        history.ok(operation)
    with pytest.raises(HistoryFull):
        history.call("write")


def test_a_summary_counts_what_failed_and_why() -> None:
    summary = summarize(sample())
    assert (summary.sent, summary.failed, summary.median_ms) == (3, 2, 1000.0)
    assert summary.errors == {"refused": 1, "lost": 1}
    assert summarize([]).sent == 0


def test_a_verdict_passes_only_when_every_bar_is_kept() -> None:
    good, told = Measurement("quick", 1.0, "s", 2.0), Measurement("odd", 99.0)
    assert make_verdict("x", [good, told], faults=[], problems=[]).passed
    assert not make_verdict("x", [good], faults=[], problems=["something else"]).passed
    for value in (3.0, None):
        assert not make_verdict("x", [Measurement("slow", value, "s", 2.0)], faults=[], problems=[]).passed


def test_reports_say_the_same_to_people_and_machines() -> None:
    measurements = [Measurement("endpoints clean", 3.21, "s", 10.0), Measurement("replaced", None, "s", 15.0)]
    verdict = make_verdict("kill", measurements, faults=["power cut"], problems=["p"], load=summarize(sample()))
    text, tree = to_text(verdict), json.loads(to_json(verdict))
    assert "FAILED" in text and "3.21 s (at most 10 s)" in text and "never (at most 15 s)" in text
    assert tree["passed"] is False and [m["passed"] for m in tree["measurements"]] == [True, False]
