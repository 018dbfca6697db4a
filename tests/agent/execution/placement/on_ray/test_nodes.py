"""Which nodes of Ray have died, and which ones a task must not run on."""

from typing import Any

from agent.execution.placement.on_ray.nodes import ClusterNodes


def node(name: str, *, alive: bool = True, **resources: float) -> dict[str, Any]:
    """Return what `ray.nodes()` says of a node that was started with a name."""
    return {
        "NodeID": f"id-{name}",
        "NodeName": name,
        "NodeManagerAddress": "10.0.0.1",
        "NodeManagerHostname": "host",
        "Alive": alive,
        "Resources": {"memory": 2.0**30, **resources} if alive else {},
    }


def test_each_death_since_the_start_changes_what_tasks_require() -> None:
    listed = [node("a"), node("b"), node("c"), node("old", alive=False)]
    nodes = ClusterNodes(lambda: listed)
    assert (nodes.deaths, nodes.selector(())) == ((), {})
    assert nodes.selector(["b", "nobody"]) == {"ray.io/node-id": "!in(id-b)"}
    listed[0] = node("a", alive=False)
    nodes.refresh()
    nodes.refresh()
    assert nodes.deaths == ("id-a",)
    assert nodes.selector(["b"]) == {"ray.io/node-id": "!in(id-b,id-a)"}
    del listed[1]  # a node that is not listed any more
    listed.append(node("brief", alive=False))  # one that came and died between two looks
    nodes.refresh()
    assert nodes.deaths == ("id-a", "id-b", "id-brief")
    assert nodes.alive == {"id-c"}


def test_many_deaths_still_change_what_tasks_require() -> None:
    listed = [node(str(number)) for number in range(200)]
    nodes = ClusterNodes(lambda: listed)
    found = set()
    for number in range(200):
        listed[number] = node(str(number), alive=False)
        nodes.refresh()
        found.add(nodes.selector(())["ray.io/node-id"])
    assert len(found) == 200
    assert max(map(len, found)) < 1000


def test_what_no_living_node_has_is_named_beside_what_they_have() -> None:
    listed = [node("a", CPU=8.0, GPU=1.0), node("b", CPU=8.0)]
    nodes = ClusterNodes(lambda: listed)
    wanted = {"CPU": 2.0, "GPU": 1.0, "memory": 2.0**29}
    assert nodes.missing(wanted) is None
    assert nodes.missing(wanted, ["a"]) == (
        "no node of Ray has 2 CPU, 1 GPU, 0.5 GiB of memory: they have 8 CPU, 0 GPU, 1.0 GiB of memory"
    )
    listed[:] = [node("a", alive=False)]
    nodes.refresh()
    assert nodes.missing(wanted) == "no node of Ray has 2 CPU, 1 GPU, 0.5 GiB of memory: they have nothing"


def test_a_node_without_a_name_has_that_of_its_host() -> None:
    unnamed = {**node("a"), "NodeName": "10.0.0.1"}
    assert ClusterNodes(lambda: [unnamed, node("b")]).names() == {"id-a": "host", "id-b": "b"}
