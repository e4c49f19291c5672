"""What ReplicaSets and ReplicationControllers show alike: table columns, cells, selectable fields."""

from master.api.core.cells import names_and_images
from master.api.core.podspec import PodSpec
from master.api.resource import AGE, NAME, Cell, Column, Tree, wide

COLUMNS = (
    NAME,
    Column("Desired", "integer"),
    Column("Current", "integer"),
    Column("Ready", "integer"),
    AGE,
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
)


def replica_cells(
    name: str, desired: int | None, current: int, ready: int, age: str, pod: PodSpec | None, selector: str
) -> list[Cell]:
    """One row in the order of `COLUMNS`."""
    return [name, desired or 0, current, ready, age, *(names_and_images(pod) if pod else ("", "")), selector]


def replica_fields(tree: Tree) -> dict[str, str]:
    """`status.replicas` may be selected."""
    return {"status.replicas": str((tree.get("status") or {}).get("replicas", 0))}
