"""Unpacks one image layer into a folder, ready to be a lower layer of overlayfs.

The unpacking process changes its root to the folder first, so that no name and no link in a hostile archive leads
outside: the kernel sees to it. Whiteouts become what overlayfs expects: character devices 0:0, opaque folders.
"""

import gzip
import hashlib
import io
import os
import shutil
import stat
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

WHITEOUT_PREFIX = ".wh."
OPAQUE_MARKER = ".wh..wh..opq"
OPAQUE_XATTR = "trusted.overlay.opaque"
PAX_XATTR_PREFIX = "SCHILY.xattr."
GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BLOCK_BYTES = 1024 * 1024


class BadImage(Exception):
    """The archive is not an image, or not what its own digests say."""


class HashingReader(io.RawIOBase):
    """Passes bytes through and knows the digest of what has passed."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        return data

    def drain(self) -> str:
        """Reads the rest (tar padding) and returns the digest of everything."""
        while self.read(BLOCK_BYTES):
            pass
        return f"sha256:{self._hash.hexdigest()}"


def decompressed(layer: IO[bytes]) -> IO[bytes]:
    """The tar inside, whether it is gzipped or not."""
    magic = layer.read(4)
    layer.seek(0)
    if magic.startswith(GZIP_MAGIC):
        return gzip.GzipFile(fileobj=layer)  # type: ignore[return-value]
    if magic == ZSTD_MAGIC:
        raise BadImage("layers compressed with zstd are not supported")
    return layer


def unpack_layer(layer: IO[bytes], folder: Path) -> str:
    """Unpacks into `folder`, which becomes this process's root for good. Returns the digest of the tar."""
    reader = HashingReader(decompressed(layer))
    tarfile.open(fileobj=io.BytesIO(bytes(1024)), mode="r|").close()  # load codecs while their files are in reach
    os.chroot(folder)
    os.chdir("/")
    os.umask(0)
    folder_times: list[tuple[str, float]] = []
    with tarfile.open(fileobj=reader, mode="r|") as tar:
        tar.extraction_filter = lambda member, _path: member
        for member in tar:
            path = member_path(member.name)
            if path is not None:
                _unpack_member(tar, member, path)
                if member.isdir():
                    folder_times.append((path, member.mtime))
    for path, mtime in reversed(folder_times):
        os.utime(path, (mtime, mtime))
    return reader.drain()


def member_path(name: str) -> str | None:
    """The absolute path a member goes to; None for the root itself. ".." is no name an image may use."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", ".")]
    if ".." in parts:
        raise BadImage(f"a layer contains the name {name!r}")
    return "/" + "/".join(parts) if parts else None


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    if name == OPAQUE_MARKER:
        os.setxattr(folder, OPAQUE_XATTR, b"y")
        return
    if name.startswith(WHITEOUT_PREFIX):
        _clear(f"{folder}/{name.removeprefix(WHITEOUT_PREFIX)}", for_folder=False)
        os.mknod(f"{folder}/{name.removeprefix(WHITEOUT_PREFIX)}", stat.S_IFCHR, 0)
        return
    _clear(path, for_folder=member.isdir())
    if member.islnk():
        target = member_path(member.linkname)
        os.link(target or "/", path, follow_symlinks=False)
        return
    member.name = path
    tar.extract(member, "/", numeric_owner=True)
    for key, value in member.pax_headers.items():
        if key.startswith(PAX_XATTR_PREFIX) and not member.issym():
            os.setxattr(path, key.removeprefix(PAX_XATTR_PREFIX), value.encode("utf-8", "surrogateescape"))


def _clear(path: str, *, for_folder: bool) -> None:
    """A later entry of the same name replaces the earlier one; a folder joins the folder that is there."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        if not for_folder:
            shutil.rmtree(path)
    else:
        os.unlink(path)
