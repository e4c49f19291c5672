"""What an admission plugin sees of one write, and the shape of a plugin."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from master.api.scheme import ResourceInfo
from master.apiserver.authn import User
from master.apiserver.context import Context
from master.apiserver.storage import Transaction

Operation = Literal["CREATE", "UPDATE", "DELETE"]


@dataclass(slots=True)
class Attributes:
    """One write on its way to the store. `new` may be changed in place; `transaction` may get conditions and writes."""

    context: Context
    operation: Operation
    info: ResourceInfo
    subresource: str
    namespace: str
    name: str
    new: Any
    """The object to be stored; None for a deletion."""
    old: Any
    """The stored object; None for a creation."""
    user: User
    transaction: Transaction
    attempt: int = 0
    """How often this write has met changed conditions already."""

    def is_about(self, kind: str, group: str = "") -> bool:
        return self.info.kind == kind and self.info.group == group


class Plugin(Protocol):
    async def admit(self, attributes: Attributes) -> None:
        """Change the object, add to the transaction, or raise an ApiError."""
