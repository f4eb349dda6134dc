"""Check parsed JSON against the part of JSON Schema (draft 2020-12) that our schemas use."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

HAS_NO = "has no"

Fault = tuple[tuple[str | int, ...], str]
"""Path to an entry, and what is wrong with it."""

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def schema_faults(
    value: Any, rule: dict[str, Any], schema: dict[str, Any], path: tuple[str | int, ...] = ()
) -> Iterator[Fault]:
    """Where `value` breaks `rule`, a part of `schema`. A test checks that no schema uses keywords unknown here."""
    if "$ref" in rule:
        rule = schema["$defs"][rule["$ref"].rpartition("/")[2]]
    kinds = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", [])
    if kinds and not any(_is(value, kind) for kind in kinds):
        article = "an" if kinds[0][0] in "aio" else "a"
        yield path, f"must be {article} {' or '.join(kinds)}, got {short_json(value)}"
        return
    if "const" in rule and (value != rule["const"] or isinstance(value, bool)):
        yield path, f"must be {rule['const']!r}, got {short_json(value)}"
    if "enum" in rule and (value not in rule["enum"] or isinstance(value, bool)):
        yield path, f"must be one of {rule['enum']}, got {short_json(value)}"
    if value is not None:
        yield from _limit_faults(value, rule, path)
    if isinstance(value, list):
        least, most = rule.get("minItems", 0), rule.get("maxItems", math.inf)
        if not least <= len(value) <= most:
            yield path, f"must have {least} items, got {len(value)}"
        for k, item in enumerate(value):
            yield from schema_faults(item, rule.get("items", {}), schema, (*path, k))
    if isinstance(value, dict):
        for key in rule.get("required", ()):
            if key not in value:
                yield path, f"{HAS_NO} {key!r}"
        for key, part in rule.get("properties", {}).items():
            if key in value:
                yield from schema_faults(value[key], part, schema, (*path, key))


def short_json(value: Any) -> str:
    """The value as JSON of at most 40 characters, to quote in a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."


def path_text(path: tuple[str | int, ...]) -> str:
    """Such as "annotations[3].bbox"."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _limit_faults(value: Any, rule: dict[str, Any], path: tuple[str | int, ...]) -> Iterator[Fault]:
    if "minimum" in rule and value < rule["minimum"]:
        yield path, f"must be {rule['minimum']} or more, got {short_json(value)}"
    if "maximum" in rule and value > rule["maximum"]:
        yield path, f"must be {rule['maximum']} or less, got {short_json(value)}"
    if "exclusiveMinimum" in rule and value <= rule["exclusiveMinimum"]:
        yield path, f"must be more than {rule['exclusiveMinimum']}, got {short_json(value)}"


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind]) and (not isinstance(value, float) or math.isfinite(value))
