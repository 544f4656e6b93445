"""An answer as a flat table: one row for each option, rejection and variant, fields flattened.

Fields of records inside an option are columns with both names, e.g. ``accuracy_low``; `role` says
what a row is in the answer. A missing value is an empty cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import inspect

from advisor.recommend.records import Option, Recommendation

Form = Literal["csv", "parquet"]
ROLES = (
    *("chosen", "chosen-by-point", "nearest-miss", "alternative", "front"),
    *("variant", "rejected"),
)
"""What a row is, in the order of the table."""
_OWN = ("reason", "detail", "setups", "qualifies", "catalog_digest", "estimator_version")


def _paths(kind: inspect.Type) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Paths of the leaves of a record's type, each with whether it is a number."""
    inner = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    for part in inner:
        if isinstance(part, inspect.StructType | inspect.NamedTupleType):
            for field in part.fields:
                yield from (((field.name, *rest), number) for rest, number in _paths(field.type))
            return
    numbers = (inspect.FloatType, inspect.IntType, inspect.NoneType)
    yield (), all(isinstance(part, numbers) for part in inner)


PATHS = dict(_paths(inspect.type_info(Option)))
COLUMNS = ("role", *("_".join(path) for path in PATHS), *_OWN)
"""Columns of the table."""
NUMBERS = (*("_".join(path) for path, number in PATHS.items() if number), "setups")


def _leaf(record: Any, path: tuple[str, ...]) -> Any:
    """A field of nested records as a cell; ``None`` where any of them is absent."""
    for name in path:
        if record is None:
            return None
        record = getattr(record, name)
    if isinstance(record, tuple):
        plain = all(isinstance(each, str) for each in record)
        return ";".join(record) if plain else msgspec.json.encode(record).decode()
    return record


def _of_option(role: str, option: Option) -> dict[str, Any]:
    """The row of an option."""
    return {"role": role} | {"_".join(path): _leaf(option, path) for path in PATHS}


def rows(answer: Recommendation) -> Iterator[dict[str, Any]]:
    """Rows of an answer by column, in the order of `ROLES`; absent columns have no value."""
    pinned = {
        "catalog_digest": answer.catalog_digest,
        "estimator_version": answer.estimator_version,
    }
    single = (answer.chosen, answer.chosen_by_point, answer.nearest_miss)
    options = [
        *zip(ROLES, single, strict=False),
        *(("alternative", each) for each in answer.alternatives),
        *(("front", each) for each in answer.front),
    ]
    for role, option in options:
        if option is not None:
            yield _of_option(role, option) | pinned
    yield from (row | pinned for row in _variants(answer))
    about = {"workload": answer.group.workload, "scenario": answer.group.scenario}
    for lost in answer.rejected:
        yield {"role": "rejected"} | about | msgspec.structs.asdict(lost) | pinned


def _variants(answer: Recommendation) -> Iterator[dict[str, Any]]:
    """Rows of the chosen candidate's other serving choices."""
    if answer.chosen is None:
        return
    shared = ("candidate", "family", "n_parameters", "device", "workload", "scenario", "batch_size")
    for each in answer.variants:
        yield {
            "role": "variant",
            **{name: getattr(answer.chosen, name) for name in shared},
            "backend": each.backend,
            "precision": each.precision,
            "accuracy_value": each.accuracy,
            "energy_j_per_1000_value": each.energy_j_per_1000,
            "energy_j_per_1000_basis": each.basis,
            "energy_j_per_1000_scope": answer.group.scope,
            "energy_factor_value": each.factor.value,
            "energy_factor_low": each.factor.low,
            "energy_factor_high": each.factor.high,
            "qualifies": each.qualifies,
        }


def as_file(answer: Recommendation, form: Form) -> bytes:
    """An answer's table as the bytes of a file."""
    import pandas as pd

    from catalog.files import run_file

    frame = pd.DataFrame(list(rows(answer)), columns=list(COLUMNS), dtype=object)
    kinds = dict.fromkeys(COLUMNS, "string") | dict.fromkeys(NUMBERS, "float64")
    return run_file.dump(frame.astype(kinds | {"qualifies": "boolean"}), form)
