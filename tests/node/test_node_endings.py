"""By whose will and how soon a pod ends."""

from typing import Any

import msgspec
import pytest

from master.api.core.pod import Pod, PodStatus
from master.api.timestamps import now_rfc3339
from node.endings import Endings

STATIC = {"annotations": {"kubernetes.io/config.source": "file"}}


def pod(metadata: Any = None, **spec: Any) -> Pod:
    return msgspec.convert({"metadata": metadata or {}, "spec": {"containers": [{"name": "c"}], **spec}}, Pod)


def grace(pod: Pod, *, is_orphan: bool = False, is_gone: bool = False) -> float | None:
    ending, _ = Endings().order(pod, None, 0.0, is_orphan=is_orphan, is_gone=is_gone)
    return None if ending is None else ending.grace_s


@pytest.mark.parametrize(
    ("pod", "flags", "expected"),
    [
        (pod(), {}, None),
        (pod({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 7}), {}, 7.0),
        (pod(), {"is_gone": True}, 2.0),
        (pod(terminationGracePeriodSeconds=1), {"is_gone": True}, 1.0),
        (pod(STATIC, terminationGracePeriodSeconds=60), {"is_gone": True}, 60.0),
        (pod(), {"is_orphan": True}, 1.0),
    ],
)
def test_the_grace_follows_from_who_ends_the_pod(pod: Pod, flags: dict[str, bool], expected: float | None) -> None:
    assert grace(pod, **flags) == expected


def test_a_sharper_order_keeps_the_moment_of_the_first() -> None:
    endings, deleted = Endings(), {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    first, is_new = endings.order(pod(deleted), None, 100.0, is_orphan=False, is_gone=False)
    assert first is not None and is_new
    assert endings.order(pod(deleted), None, 105.0, is_orphan=False, is_gone=False) == (first, False)
    sharper, is_new = endings.order(pod(), None, 110.0, is_orphan=False, is_gone=True)
    assert is_new and sharper is not None and (sharper.grace_s, sharper.started_s) == (2.0, 100.0)


def test_a_pod_whose_time_is_up_fails_and_stays() -> None:
    status = PodStatus(phase="Running", start_time=now_rfc3339(100.0))
    timed, endings = pod(activeDeadlineSeconds=10), Endings()
    assert endings.order(timed, status, 109.0, is_orphan=False, is_gone=False) == (None, False)
    ending, _ = endings.order(timed, status, 110.0, is_orphan=False, is_gone=False)
    assert ending is not None and ending.reason == "DeadlineExceeded" and not ending.remove
    ended = PodStatus(phase="Failed", start_time=now_rfc3339(100.0))
    assert endings.order(timed, ended, 120.0, is_orphan=False, is_gone=False) == (ending, False)


def test_a_refused_pod_ends_without_grace() -> None:
    endings = Endings()
    endings.reject(5.0, "OutOfcpu", "no")
    ending, _ = endings.order(pod(), None, 6.0, is_orphan=False, is_gone=False)
    assert ending is not None and (ending.reason, ending.grace_s) == ("OutOfcpu", 0.0)
