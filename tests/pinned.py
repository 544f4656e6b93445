"""What a golden pins of a body, and how two of them are compared; see `test_goldens`."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

VOLATILE = {"request_id", "catalog_digest", "estimator_version"}
"""Of an answer: names of the request, and what the group `bundle` pins once."""
SENTENCES = {"detail", "energy_from", "formula", "machines_from", "message", "note", "notes"}
SENTENCES |= {"allowed", "runtime_from", "summary", "description", "title", "what", "why"}
MOST = 4
"""Entries of a long list that are pinned one by one."""
SHOWN = 6
"""Lines that are printed of a changed entry."""
TOLERANCE = 1e-4
"""By which share numbers may differ: other machines round otherwise."""
_NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w-])")


def number(value: Any, digits: int = 6) -> Any:
    """A float with `digits` significant digits; anything else as it is."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else str(value)
    return value


def plain(body: Any, digits: int = 6) -> Any:
    """A body without what is volatile or null, its floats rounded."""
    if isinstance(body, dict):
        kept = {k: plain(v, digits) for k, v in body.items() if k not in VOLATILE}
        return {k: v for k, v in kept.items() if v is not None}
    if isinstance(body, list):
        return [plain(entry, digits) for entry in body]
    return number(body, digits)


def sentences(body: Any, wanted: bool) -> Any:
    """The sentences of a body, or all but them."""
    if isinstance(body, list):
        return [sentences(entry, wanted) for entry in body]
    if not isinstance(body, dict):
        return None if wanted else body
    return {k: v if k in SENTENCES else sentences(v, wanted) for k, v in body.items()
            if wanted or k not in SENTENCES}  # fmt: skip


def digest(body: Any) -> str:
    """A short name of a body, whatever the order of its keys."""
    return (
        "x" + hashlib.sha256(json.dumps(plain(body, 4), sort_keys=True).encode()).hexdigest()[:11]
    )


def digests(body: Any) -> dict[str, str]:
    """Those of figures and names, and of sentences."""
    return {"facts": digest(sentences(body, False)), "words": digest(sentences(body, True))}


def span(found: dict[str, Any] | None, *more: str) -> str:
    """A figure with its interval, and further fields of it."""
    if found is None:
        return "none"
    value, low, high = (number(found.get(name)) for name in ("value", "low", "high"))
    said = "" if (low, high) == (None, None) else f" [{low}, {high}]"
    return " ".join([f"{value}{said}", *(str(found[name]) for name in more if found.get(name))])


def option(found: dict[str, Any] | None) -> str:
    """An option in a line."""
    if found is None:
        return "none"
    names = (
        "workload",
        "scenario",
        "precision",
        "batch_size",
        "variant",
        "n_devices",
        "rate_per_s",
    )
    setup = ", ".join(f"{name} {found[name]}" for name in names if found.get(name) is not None)
    return (
        f"{found['candidate']} @ {found['device']} ({setup}): "
        f"{span(found['energy_j_per_1000'], 'basis', 'label', 'scope')} J; "
        f"acc {span(found['accuracy'])}; {span(found['runtime_s_per_1000'], 'basis')} s"
    )


def brief(found: dict[str, Any]) -> str:
    """An option in a few words: names, joules and their basis, accuracy."""
    joules, right = found["energy_j_per_1000"], found["accuracy"]
    return (
        f"{found['candidate']} @ {found['device']}: {number(joules['value'])} {joules['basis']} J; "
        f"acc {number(right['value']) if right else 'none'}"
    )


def some(found: list[dict[str, Any]], most: int = MOST) -> list[str]:
    """The first options of a list, and how many more there are."""
    more = [f"and {len(found) - most} more"] if len(found) > most else []
    return [brief(entry) for entry in found[:most]] + more


def answer(status: int, body: dict[str, Any]) -> dict[str, Any]:
    """What is pinned of an answer of `/recommend`."""
    if status != 200:
        return {"status": status, **plain(body)}
    chosen, miss = body["chosen"], body["nearest_miss"]
    pinned = {
        "status": status,
        "group": " ".join(f"{value}" for value in plain(body["group"]).values()),
        "chosen": option(chosen),
        "doubts": " ".join(chosen.get("warnings", ())) if chosen else None,
        "alternatives": some(body["alternatives"]),
        "front": "; ".join(f"{each['candidate']} @ {each['device']}" for each in body["front"]),
        "suggestions": [each["candidate"] for each in body["suggestions"]],
        "variants": len(body["variants"]),
        "rejected": dict(sorted(Counter(each["reason"] for each in body["rejected"]).items())),
        "nearest_miss": option(miss) if miss else None,
        "missing": plain(miss["missing"]) if miss else None,
        "warnings": " ".join(each["code"] for each in body["warnings"]),
        "comparisons": [
            f"{each['candidate']} @ {each['device']}: {span(each | {'value': each['difference']})}"
            f" p {number(each['p_value'])}, energy {number(each['energy_share'])}"
            for each in body["comparisons"]
        ],
        "cascades": [
            f"{each['first']['candidate']} > {each['second']['candidate']} @ {each['device']}: "
            f"{span(each['energy_j_per_1000'], 'basis')} J; acc {span(each['accuracy'])}; "
            f"defers {number(each['deferred'])}, saves {number(each['saves'])}"
            for each in body["cascades"]
        ],
        **digests(body),
    }
    return {name: value for name, value in pinned.items() if value not in (None, [], {}, "")}


def deployed(found: dict[str, Any]) -> dict[str, Any]:
    """What is pinned of a deployment of a report."""
    other, even = found["alternative"], found["break_even"]
    return {
        "setup": option(found["setup"] | {"variant": None}),
        "parts": [
            f"{part['name']}: {span(part['kwh'])} kWh, {part['basis']} {part['label']} "
            f"{part['method']} {' '.join(part['sources'])}"
            for part in found["parts"]
        ],
        "kwh": span(found["kwh"]),
        "kg_co2e": span(found["kg_co2e"]),
        "cost": span(found["cost"]),
        "machines": f"{found['machines_low']} {found['machines']} {found['machines_high']}",
        "sci": span(found["sci"]["g_co2e_per_text"]),
        "lacks": " ".join(found["lacks"]),
        "alternative": f"{option(other['setup'] and other['setup'] | {'variant': None})}; saves "
        f"{span(other['saved_kwh'])} kWh" if other else "none",
        "break_even": f"{even['against']}: {span(even['texts'])}" if even else "none",
        "assumed": {each["field"]: each["value"] for each in plain(found["assumed"])},
        "warnings": " ".join(found["warnings"]),
    }  # fmt: skip


def report(status: int, body: dict[str, Any]) -> dict[str, Any]:
    """What is pinned of a report."""
    if status != 200:
        return {"status": status, **plain(body)}
    return {
        "totals": plain(body["totals"]),
        "deployments": {each["name"]: deployed(each) for each in body["deployments"]},
        "warnings": {each["code"]: each["deployments"] for each in body["warnings"]},
        "sources": [f"{each['id']}: {each['source']}" for each in body["sources"]],
        **digests(body | {"date": None}),
    }


def declared(schema: Any) -> str:
    """A schema in a line."""
    if not isinstance(schema, dict):
        return json.dumps(schema)
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for kind in ("oneOf", "anyOf", "allOf"):
        if kind in schema:
            return " | ".join(declared(each) for each in schema[kind])
    if schema.get("type") == "array":
        return f"[{declared(schema.get('items', {}))}]"
    rest = {
        k: v for k, v in schema.items() if k not in ("type", "description", "title", "examples")
    }
    said = json.dumps(schema.get("type", "any")).strip('"')
    return f"{said} {json.dumps(rest, sort_keys=True)}" if rest else said


def parameter(found: dict[str, Any]) -> tuple[str, str]:
    """A parameter's name and place, and its schema in a line."""
    needed = ", required" if found.get("required") else ""
    return f"{found['name']} ({found['in']}{needed})", declared(found["schema"])


def schema(found: dict[str, Any]) -> dict[str, Any]:
    """A schema's fields in lines, and digests of all it says."""
    fields = {name: declared(each) for name, each in found.get("properties", {}).items()}
    needed = " ".join(sorted(found.get("required", [])))
    return {"fields": fields, "required": needed, **digests(found)}


def operation(found: dict[str, Any]) -> dict[str, Any]:
    """An operation's parameters, bodies and responses, and digests of all it says."""
    contents = found.get("requestBody", {}).get("content", {})
    return {
        "parameters": dict(map(parameter, found.get("parameters", []))),
        "takes": {kind: digest(sentences(each, False)) for kind, each in contents.items()},
        "gives": {
            status: ", ".join(f"{k} {declared(v['schema'])}" for k, v in each["content"].items())
            if each.get("content") else "nothing"
            for status, each in found["responses"].items()
        },
        **digests(found),
    }  # fmt: skip


def without_examples(node: Any) -> None:
    """Takes made-up examples off a schema."""
    if isinstance(node, dict):
        if isinstance(node.get("examples"), list):
            del node["examples"]
        for each in node.values():
            without_examples(each)
    for each in node if isinstance(node, list) else ():
        without_examples(each)


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of an entry with its path; an empty list or table is a value."""
    if not isinstance(node, dict | list) or not node:
        yield path, node
        return
    inner = node.items() if isinstance(node, dict) else enumerate(node)
    found = [(f"{path}.{key}" if path else str(key), value) for key, value in inner]
    for below, value in found:
        yield from leaves(value, below)


def equal(old: Any, new: Any) -> bool:
    """Whether two values are the same but for the last digits of their numbers."""
    if old == new:
        return True
    if isinstance(old, str) and isinstance(new, str):
        if _NUMBER.sub("#", old) != _NUMBER.sub("#", new):
            return False
        pairs = zip(_NUMBER.findall(old), _NUMBER.findall(new), strict=True)
        return all(equal(float(a), float(b)) for a, b in pairs)
    kinds = {type(old), type(new)}
    return float in kinds <= {int, float} and math.isclose(old, new, rel_tol=TOLERANCE)


def changes(old: dict[str, Any], new: dict[str, Any]) -> dict[str, list[str]]:
    """What changed, by entry: a line for each value, old -> new."""
    found: dict[str, list[str]] = {}
    for name in old | new:
        before, after = (dict(leaves(each[name])) if name in each else {} for each in (old, new))
        lines = [
            f"{path}: {before.get(path, 'absent')} -> {after.get(path, 'absent')}".removeprefix(
                ": "
            )
            for path in before | after
            if not equal(before.get(path, "absent"), after.get(path, "absent"))
        ]
        if name not in old or name not in new:
            lines = ["absent -> new" if name in new else "old -> absent"]
        if lines:
            found[name] = lines
    return found


def in_words(group: str, changed: dict[str, list[str]], size: int) -> str:
    """The changes of a group to be read."""
    lines = [f"{group}: {len(changed)} of {size} entries changed"]
    for name, said in changed.items():
        lines += [f"  {name}: {line}" for line in said[:SHOWN]]
        lines += [f"  {name}: and {len(said) - SHOWN} more values"] if len(said) > SHOWN else []
    return "\n".join(lines)
