"""Which of Firestore's indexes serve a query. The emulator answers every query; production refuses
one that has none.

The rules (cloud.google.com/firestore/docs/query-data/index-overview, 2026-11): a query on one field
takes the automatic index of that field, unless the field is exempt. Any other takes composite
indexes that end in its order and begin with fields that it compares for equality; several such
indexes are merged when they name all of those between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.cloud.firestore_v1.types import StructuredQuery

_OPERATOR = StructuredQuery.FieldFilter.Operator
# "in" is as many queries for equality, which share an index.
_EQUAL = (_OPERATOR.EQUAL, _OPERATOR.IN)


@dataclass(frozen=True)
class Asked:
    """What decides the indexes of a query. `order` is in the notation of INDEXES."""

    collection: str
    equal: frozenset[str]
    order: tuple[str, ...]


def asked(query: StructuredQuery) -> Asked:
    """What a query asks for. Fails for what the rules here do not cover."""
    composite = query.where.composite_filter.filters
    single = [query.where] if query.where.field_filter.op else []
    filters = [one.field_filter for one in (*composite, *single)]
    equal = {one.field.field_path for one in filters if one.op in _EQUAL}
    ranges = {one.field.field_path for one in filters if one.op not in _EQUAL}
    order = [(one.field.field_path, one.direction) for one in query.order_by]
    if order and order[-1][0] == "__name__":
        # An index goes on by name, in the direction of its last field.
        (_, way), *before = reversed(order)
        assert before[0][1] == way, query
        order.pop()
    descending = StructuredQuery.Direction.DESCENDING
    named = tuple(f"{name} desc" if way == descending else name for name, way in order)
    named = named or tuple(sorted(ranges))
    assert ranges <= {named[0].removesuffix(" desc")} if named else not ranges, query
    (source,) = query.from_
    assert not source.all_descendants, query
    return Asked(source.collection_id, frozenset(equal), named)


def alone(query: Asked) -> str | None:
    """The field whose automatic index serves a query; None for one that needs another or none."""
    fields = [*query.equal, *(name.removesuffix(" desc") for name in query.order)]
    return fields[0] if len(fields) == 1 else None


def served(
    query: Asked,
    indexes: Mapping[str, Sequence[Sequence[str]]],
    unindexed: Mapping[str, Sequence[str]],
) -> bool:
    """Whether production would answer it."""
    if not query.equal and not query.order:
        return True
    field = alone(query)
    if field is not None and field not in unindexed.get(query.collection, ()):
        return True
    named: set[str] = set()
    for index in indexes.get(query.collection, ()):
        split = len(index) - len(query.order)
        first, last = index[:split], tuple(index[split:])
        if first and last == query.order and set(first) <= query.equal:
            named |= set(first)
    return bool(named) and named == query.equal
