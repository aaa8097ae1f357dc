"""The journey one wants people to take: touchpoints in order, and how long each may take; pure."""

from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from app.journeys.frozen import Duration, Frozen, Identifier


class Node(Frozen):
    """A touchpoint of the target.

    Other touchpoints of its stage fit it too where they are on one of its `channels`; on another
    channel they are the right step in the wrong place. An `optional` one may be passed over, a
    `repeatable` one come again.
    """

    touchpoint: Identifier
    channels: tuple[Identifier, ...] = ()
    optional: bool = False
    repeatable: bool = False


class Edge(Frozen):
    """How long it may take from one node to a later one."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
    )

    start: Identifier = Field(alias="from")
    end: Identifier = Field(alias="to")
    max_delay: Annotated[Duration, Field(gt=timedelta(0))]


def _node(value: object) -> object:
    return {"touchpoint": value} if isinstance(value, str) else value


class Target(Frozen):
    """The target journey: nodes in order, edges with the delay they may take, and what may not be.

    A person goes through it from the first node they come to until the last, which is not optional;
    then they may begin anew. `inactivity` without any of the journey's events ends it too.
    """

    nodes: tuple[Annotated[Node, BeforeValidator(_node)], ...] = Field(min_length=1, max_length=50)
    edges: tuple[Edge, ...] = Field(default=(), max_length=100)
    forbidden: tuple[Identifier, ...] = Field(default=(), max_length=50)
    inactivity: Annotated[Duration, Field(gt=timedelta(0))] | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        places = {node.touchpoint: place for place, node in enumerate(self.nodes)}
        if len(places) < len(self.nodes):
            raise ValueError("/target/nodes: a touchpoint is named twice; say repeatable instead")
        if self.nodes[-1].optional:
            raise ValueError("/target/nodes: the last node cannot be optional: it ends the journey")
        for index, edge in enumerate(self.edges):
            if not {edge.start, edge.end} <= places.keys():
                raise ValueError(f"/target/edges/{index}: both ends must be nodes of the target")
            if places[edge.start] >= places[edge.end]:
                raise ValueError(f"/target/edges/{index}: goes backwards")
        if both := places.keys() & set(self.forbidden):
            raise ValueError(f"/target/forbidden: {min(both)!r} is a node of the target")
        return self

    def check(self, touchpoints: Any, channels: Any) -> None:
        """Refuse names that the journey does not have; raises ValueError."""
        named = [(f"/target/nodes/{i}/touchpoint", n.touchpoint) for i, n in enumerate(self.nodes)]
        named += [(f"/target/forbidden/{i}", name) for i, name in enumerate(self.forbidden)]
        for path, name in named:
            if name not in touchpoints:
                raise ValueError(f"{path}: unknown touchpoint {name!r}")
        for i, node in enumerate(self.nodes):
            for name in node.channels:
                if name not in channels:
                    raise ValueError(f"/target/nodes/{i}/channels: unknown channel {name!r}")
