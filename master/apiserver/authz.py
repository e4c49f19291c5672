"""What a user may do. Thin for now: the cluster's own identities and administrators may act, nobody else.

Anonymous callers reach only liveness, readiness and the version; every authenticated user may read discovery and ask
about itself.
"""

from master.apiserver.authn import MASTERS, User

ANONYMOUS_PATHS = frozenset({"/livez", "/readyz", "/healthz", "/version"})
ANONYMOUS_PREFIXES = ("/livez/", "/readyz/", "/healthz/")
DISCOVERY_PATHS = frozenset({"/api", "/apis", "/openapi/v2", "/openapi/v3"})
DISCOVERY_PREFIXES = ("/api/", "/apis/", "/openapi/")

COMPONENTS = frozenset({"system:kube-scheduler", "system:kube-controller-manager", "system:kube-proxy"})
NODES = "system:nodes"
NODE_PREFIX = "system:node:"
SELF_REVIEWS = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})


def is_trusted(user: User) -> bool:
    """Administrators and the cluster's own components."""
    if MASTERS in user.groups or user.name in COMPONENTS:
        return True
    return NODES in user.groups and user.name.startswith(NODE_PREFIX)


def may_use_path(user: User, verb: str, path: str) -> bool:
    """Paths that are not resources."""
    if is_trusted(user):
        return True
    if verb not in ("get", "head"):
        return False
    path = path.rstrip("/") or "/"
    if path in ANONYMOUS_PATHS or path.startswith(ANONYMOUS_PREFIXES):
        return True
    return not user.is_anonymous and (path in DISCOVERY_PATHS or path.startswith(DISCOVERY_PREFIXES))


def may_use_resource(user: User, verb: str, resource: str) -> bool:
    return is_trusted(user) or (not user.is_anonymous and verb == "create" and resource in SELF_REVIEWS)
