"""The core replaces private methods of PySyncObj: this fails when the originals change under it."""

import hashlib
import inspect
from pathlib import Path

import pysyncobj
import pytest
from pysyncobj import journal, node, syncobj, transport

import raftstore
from raftstore.raft.base import PYSYNCOBJ_VERSION
from raftstore.raft.core import RaftCore

# sha256, first 16 digits, of the source of what is replaced, called or relied upon.
PINNED = {
    "SyncObj.__init__": "09df12cd7fd7d727",
    "SyncObj.doTick": "bef78c2ba06d784b",
    "SyncObj.destroy": "2d032c9fe266b3cd",
    "SyncObj._doDestroy": "8a6c9f892614a4b9",
    "SyncObj._applyCommand": "827f207d515b2d64",
    "SyncObj._onTick": "cc9eb08232d005ba",
    "SyncObj._checkCommandsToApply": "a386a8079361d204",
    "SyncObj._SyncObj__applyLogEntries": "073db677773b5a2d",
    "SyncObj._SyncObj__doApplyCommand": "1ea7aa506e950d0a",
    "SyncObj._SyncObj__onMessageReceived": "ddfe34b6c0282179",
    "SyncObj._SyncObj__onNodeConnected": "2655afb481b4c69b",
    "SyncObj._SyncObj__onNodeDisconnected": "a81c0475ba2218cc",
    "SyncObj._SyncObj__onBecomeLeader": "5a3fd97bc17dc1cf",
    "SyncObj._SyncObj__setState": "2c1f239f7bd79b39",
    "SyncObj._SyncObj__setCurrentTerm": "0ad5bf456ac06bd3",
    "SyncObj._SyncObj__callErrCallback": "6037c14ef64c2763",
    "SyncObj._SyncObj__generateRaftTimeout": "92ed37d3620e781a",
    "SyncObj._SyncObj__sendAppendEntries": "9cb9073128c392fa",
    "SyncObj._SyncObj__parseChangeClusterRequest": "b2d5d695b12e592f",
    "SyncObj._SyncObj__tryLogCompaction": "c2f8a0ec14cc7312",
    "SyncObj._SyncObj__loadDumpFile": "ec66e83905de703b",
    "SyncObj._SyncObj__onSetCodeVersion": "17b050edb193c853",
    "Journal": "8375f2a66c8600e6",
    "Node": "08d57d1bfde2aca1",
    "Transport": "9b0212a7af6123e7",
}


def source_of(name: str) -> str:
    owner, _, attribute = name.partition(".")
    found = {
        "SyncObj": syncobj.SyncObj,
        "Journal": journal.Journal,
        "Node": node.Node,
        "Transport": transport.Transport,
    }
    thing = getattr(found[owner], attribute) if attribute else found[owner]
    return inspect.getsource(thing)


def digest(name: str) -> str:
    return hashlib.sha256(source_of(name).encode()).hexdigest()[:16]


def test_the_installed_pysyncobj_is_the_pinned_one() -> None:
    assert pysyncobj.version.VERSION == PYSYNCOBJ_VERSION


@pytest.mark.parametrize("name", PINNED)
def test_the_source_that_the_core_builds_on_is_unchanged(name: str) -> None:
    assert digest(name) == PINNED[name]


def test_every_replaced_method_is_pinned() -> None:
    replaced = {
        f"SyncObj.{name}"
        for layer in RaftCore.__mro__
        if layer.__name__ == "_SyncObj"
        for name, value in vars(layer).items()
        if inspect.isfunction(value) and name in vars(syncobj.SyncObj)
    }
    assert replaced <= PINNED.keys()
    assert all(layer.__name__ == "_SyncObj" for layer in RaftCore.__mro__[: RaftCore.__mro__.index(syncobj.SyncObj)])


def test_no_module_of_the_store_imports_pickle() -> None:
    for path in Path(inspect.getfile(raftstore)).parent.rglob("*.py"):
        assert "import pickle" not in path.read_text(), path
