"""What a scenario found: measurements with their bars, a summary of the load, a verdict. As text and as JSON."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from chaos.history import Operation

TOP_ERRORS = 5


class Measurement(msgspec.Struct, frozen=True):
    """One figure. Without a bar it is told, not judged; a value of None means that it never came to pass."""

    name: str
    value: float | None
    unit: str = "s"
    at_most: float | None = None

    @property
    def passed(self) -> bool:
        return self.at_most is None or (self.value is not None and self.value <= self.at_most)


class LoadSummary(msgspec.Struct, frozen=True):
    """A load's history in figures."""

    sent: int
    failed: int
    median_ms: float
    p99_ms: float
    slowest_ms: float
    errors: dict[str, int]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a scenario."""

    scenario: str
    passed: bool
    faults: list[str]
    measurements: list[Measurement]
    load: LoadSummary | None = None
    problems: list[str] = []
    notes: list[str] = []


def make_verdict(
    scenario: str,
    measurements: list[Measurement],
    *,
    faults: list[str],
    problems: list[str],
    load: LoadSummary | None = None,
    notes: list[str] | None = None,
) -> Verdict:
    """Passed when every bar is kept and nothing else is wrong."""
    return Verdict(
        scenario=scenario,
        passed=not problems and all(m.passed for m in measurements),
        faults=faults,
        measurements=measurements,
        load=load,
        problems=problems,
        notes=notes or [],
    )


def summarize(operations: Iterable[Operation]) -> LoadSummary:
    """Latencies are of answered operations; failures and unknown outcomes count alike here."""
    own = list(operations)
    answered = sorted(o.latency_s for o in own if o.outcome == "ok" and o.latency_s is not None)
    errors = Counter(o.detail for o in own if o.outcome != "ok")
    return LoadSummary(
        sent=len(own),
        failed=errors.total(),
        median_ms=_quantile_ms(answered, 0.5),
        p99_ms=_quantile_ms(answered, 0.99),
        slowest_ms=_quantile_ms(answered, 1.0),
        errors=dict(errors.most_common(TOP_ERRORS)),
    )


def _quantile_ms(ordered: list[float], share: float) -> float:
    if not ordered:
        return 0.0
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 1)


def to_json(verdict: Verdict) -> str:
    """For machines; measurements carry their own judgement."""
    tree = msgspec.to_builtins(verdict)
    for item, measurement in zip(tree["measurements"], verdict.measurements, strict=True):
        item["passed"] = measurement.passed
    return msgspec.json.format(msgspec.json.encode(tree), indent=2).decode()


def to_text(verdict: Verdict) -> str:
    """For people."""
    lines = [f"{verdict.scenario}: {'PASSED' if verdict.passed else 'FAILED'}"]
    lines += [f"  fault      {fault}" for fault in verdict.faults]
    lines += [_measurement_line(m) for m in verdict.measurements]
    if load := verdict.load:
        lines.append(f"  requests   {load.sent} sent, {load.failed} failed")
        lines.append(f"  latency    median {load.median_ms} ms, p99 {load.p99_ms} ms, slowest {load.slowest_ms} ms")
        lines += [f"  error      {count} x {text}" for text, count in load.errors.items()]
    lines += [f"  note       {note}" for note in verdict.notes]
    lines += [f"  PROBLEM    {problem}" for problem in verdict.problems]
    return "\n".join(lines)


def _measurement_line(measurement: Measurement) -> str:
    value = "never" if measurement.value is None else f"{measurement.value:.2f} {measurement.unit}"
    bar = f" (at most {measurement.at_most:g} {measurement.unit})" if measurement.at_most is not None else ""
    mark = "ok  " if measurement.passed else "FAIL"
    return f"  {mark if bar else '    '}       {measurement.name}: {value}{bar}"
