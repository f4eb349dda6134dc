"""A quick check of one entry of a tracks file, built from the JSON Schema; the slow one in validate.py names faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

UNSET = msgspec.UNSET
# Types are made here from values, which type checkers do not follow.
_annotated: Any = Annotated
_list: Any = list
_literal: Any = Literal
_PLAIN: dict[str, Any] = {"string": str, "boolean": bool, "integer": int, "number": float}


def decoder_for(rule: dict[str, Any], definitions: dict[str, Any]) -> Callable[[bytes], Any]:
    """A function from the JSON text of an object to one with the properties of `rule` as attributes.

    Missing properties are UNSET. Raises msgspec.MsgspecError for what may not satisfy the rule, among it all that does
    not; required properties are not checked.
    """
    return msgspec.json.Decoder(_type(rule, definitions)).decode


def _type(rule: dict[str, Any], definitions: dict[str, Any]) -> Any:
    if "$ref" in rule:
        rule = definitions[rule["$ref"].rpartition("/")[2]]
    if "const" in rule:
        return _literal[rule["const"]]
    if "enum" in rule:
        return _literal[tuple(rule["enum"])]
    kind = rule.get("type")
    if kind == "object":
        properties = rule.get("properties", {}).items()
        fields = [(name, _type(part, definitions) | msgspec.UnsetType, UNSET) for name, part in properties]
        return msgspec.defstruct("Entry", fields, gc=False)
    if kind == "array":
        limits = msgspec.Meta(min_length=rule.get("minItems"), max_length=rule.get("maxItems"))
        return _annotated[_list[_type(rule.get("items", {}), definitions)], limits]
    if kind is None:
        return Any
    bounds: dict[str, Any] = {
        "ge": rule.get("minimum"),
        "le": rule.get("maximum"),
        "gt": rule.get("exclusiveMinimum"),
    }
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    return _annotated[_PLAIN[kind], msgspec.Meta(**given)]
