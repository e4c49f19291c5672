"""Names of images: `busybox` means `docker.io/library/busybox:latest`. Pure."""

from collections.abc import Iterable

from node.engine.base import ImageInfo

DEFAULT_DOMAIN = "docker.io"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
ID_PREFIX = "sha256:"


def normalize(ref: str) -> str:
    """The full name, as Docker understands it."""
    name, at, digest = ref.partition("@")
    first, slash, rest = name.partition("/")
    has_domain = bool(slash) and ("." in first or ":" in first or first == "localhost")
    domain, path = (first, rest) if has_domain else (DEFAULT_DOMAIN, name)
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"{DEFAULT_NAMESPACE}/{path}"
    if not at and ":" not in path.rpartition("/")[2]:
        path = f"{path}:{DEFAULT_TAG}"
    return f"{domain}/{path}{at}{digest}"


def is_id(ref: str) -> bool:
    """`sha256:` and the whole digest, as in `ImageInfo.id`."""
    return ref.startswith(ID_PREFIX) and len(ref) == len(ID_PREFIX) + 64


def find_image(images: Iterable[ImageInfo], ref: str) -> ImageInfo | None:
    """The image of that id, tag or digest."""
    wanted = ref if is_id(ref) else normalize(ref)
    for image in images:
        names = [image.id, *(normalize(name) for name in [*image.tags, *image.digests])]
        if wanted in names:
            return image
    return None
