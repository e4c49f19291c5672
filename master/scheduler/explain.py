"""Why a pod is pending, in the sentence that people know: `0/3 nodes are available: 2 Insufficient cpu, …`."""

from collections.abc import Mapping

import msgspec


class Explanation(msgspec.Struct, frozen=True):
    """`refusals` counts nodes by the plugin that refused them and adds up to `nodes`; one node may have several
    reasons (too little cpu and too little memory)."""

    nodes: int
    refusals: Mapping[str, int]
    reasons: Mapping[str, int]

    @property
    def plugins(self) -> frozenset[str]:
        return frozenset(self.refusals)

    def message(self) -> str:
        if self.nodes == 0:
            return "no nodes available to schedule pods"
        counted = ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons.items()))
        return f"0/{self.nodes} nodes are available: {counted}."
