"""The nodes of a Ray cluster: which ones are alive, what they have, and what people call them."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from agent.execution.placement.on_ray.node_task import name_of

_MOST_AVOIDED = 64  # dead nodes that a task names: Ray sends it to none of the others either

Node = dict[str, Any]
"""A node as `ray.nodes()` describes it."""


class ClusterNodes:
    """The nodes at the last call of `refresh`."""

    def __init__(self, listed: Callable[[], list[Node]]) -> None:
        """`listed` returns all nodes, as `ray.nodes()` does."""
        self._listed = listed
        self._all = listed()
        self._dead = {node["NodeID"] for node in self._all if not node["Alive"]}
        self.alive = frozenset(node["NodeID"] for node in self._all if node["Alive"])
        self.deaths: tuple[str, ...] = ()
        """Ids of the nodes that were seen to die since the start, the latest one last."""

    def refresh(self) -> None:
        """Ask Ray for the nodes."""
        self._all = self._listed()
        alive = frozenset(node["NodeID"] for node in self._all if node["Alive"])
        dead = (self.alive | {node["NodeID"] for node in self._all}) - alive - self._dead
        self._dead |= dead
        self.alive = alive
        self.deaths = (*self.deaths, *sorted(dead))

    def names(self) -> dict[str, str]:
        """Return the names of all nodes by their ids."""
        return {node["NodeID"]: name_of(node) for node in self._all}

    def selector(self, avoided: Collection[str]) -> dict[str, str]:
        """Return the label selector of a task that must not run on the nodes of these names, or on a dead one.

        Two tasks with equal requirements share Ray's requests for workers, and one that a node will never answer would
        keep both waiting. So tasks submitted before and after a node's death must differ.
        """
        ids = [*self._ids_of(avoided), *self.deaths[-_MOST_AVOIDED:]]
        return {"ray.io/node-id": f"!in({','.join(ids)})"} if ids else {}

    def missing(self, wanted: Mapping[str, float], avoided: Collection[str] = ()) -> str | None:
        """Return None if a node that is alive has these resources, in use or not; or else what the nodes have.

        Args:
            wanted: amounts, by Ray's names of resources.
            avoided: names of nodes that do not count.
        """
        unwanted = set(self._ids_of(avoided))
        totals = [node["Resources"] for node in self._all if node["Alive"] and node["NodeID"] not in unwanted]
        if any(all(total.get(name, 0) >= amount for name, amount in wanted.items()) for total in totals):
            return None
        have = dict.fromkeys(_in_words({name: total.get(name, 0) for name in wanted}) for total in totals)
        return f"no node of Ray has {_in_words(wanted)}: they have {'; '.join(have) or 'nothing'}"

    def _ids_of(self, names: Collection[str]) -> list[str]:
        return [node["NodeID"] for node in self._all if name_of(node) in names]


def _in_words(resources: Mapping[str, float]) -> str:
    others = [f"{amount:g} {name}" for name, amount in resources.items() if name != "memory"]
    return ", ".join([*others, f"{resources['memory'] / 2**30:.1f} GiB of memory"])
