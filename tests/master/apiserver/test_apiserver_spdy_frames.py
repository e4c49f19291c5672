"""SPDY frames: what a client sends is understood however it is cut, and the answers are what a client understands."""

import struct
import zlib

import pytest
from apiserver_spdy_client import SpdyClient
from hypothesis import given
from hypothesis import strategies as st

from master.apiserver.streams.spdy import (
    DICTIONARY,
    Data,
    GoingAway,
    PingReceived,
    SpdyConnection,
    SpdyError,
    StreamOpened,
    StreamReset,
)


def test_the_dictionary_is_the_one_of_the_specification() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.binary(max_size=200))
def test_frames_are_understood_however_they_are_cut(cuts: list[int], payload: bytes) -> None:
    client = SpdyClient()
    sent = client.open("error") + client.open("stdin") + client.data(3, payload) + client.data(3, b"", fin=True)
    sent += client.ping(1) + client.reset(3) + client.go_away()
    server, events, at = SpdyConnection(), [], 0
    for cut in [*cuts, len(sent)]:
        events += server.feed(sent[at : at + cut])
        at += cut
    assert events == [
        StreamOpened(1, {"streamtype": "error"}, False),
        StreamOpened(3, {"streamtype": "stdin"}, False),
        Data(3, payload, False),
        Data(3, b"", True),
        PingReceived(1),
        StreamReset(3),
        GoingAway(),
    ]


def test_replies_share_one_compressor() -> None:
    server, client = SpdyConnection(), SpdyClient()
    frames = client.parse(server.reply(1) + server.reply(3) + server.data(1, b"x", fin=True))
    assert frames == [("reply", 1, b"", False), ("reply", 3, b"", False), ("data", 1, b"x", True)]


@pytest.mark.parametrize("noise", [struct.pack("!HHI", 0x8002, 1, 0), b"\x80\x03\x00\x01\x00\x00\x00\x02ab"])
def test_other_protocols_are_refused(noise: bytes) -> None:
    with pytest.raises(SpdyError):
        list(SpdyConnection().feed(noise))
