"""The version of the tracks.json schema, and how older files are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCHEMA_VERSION = 2

_RENAMED_IN_2 = {"suspicions": "possible_id_switches"}


def upgraded(info: Mapping[str, Any]) -> dict[str, Any]:
    """The `info` of a file of version 1 or 2, with the names of version 2."""
    version = info.get("schema_version")
    if type(version) is int and version == 1:  # not True
        renamed = {_RENAMED_IN_2.get(name, name): value for name, value in info.items()}
        return {**renamed, "schema_version": SCHEMA_VERSION}
    return dict(info)
