"""Every score of every sequence and of every joint, for the report page."""

from __future__ import annotations

from typing import Any

from posetrack_app.evaluation.report.html import Cell, Content, bar, table
from posetrack_app.evaluation.report.tables import JOINT_NAMES, POSETRACK21_JOINTS


def sequence_scores(content: dict[str, Any]) -> dict[str, dict[str, float | int | None]]:
    """Sequence -> its scores, from the JSON of a protocol; scores that the protocol lacks are missing."""
    found: dict[str, dict[str, float | int | None]] = {}
    for name, ap in content["ap_per_sequence"].items():
        row: dict[str, float | int | None] = {"AP": ap["ap"][-1]}
        if "mot_per_sequence" in content:
            mot = content["mot_per_sequence"][name]
            row |= {"MOTA": mot["mota"][-1], "MOTP": mot["motp"][-1]}
            row |= {"Prec": mot["pre"][-1], "Rec": mot["rec"][-1]}
            row |= {key.upper(): mot[key][-1] for key in ("idf1", "idp", "idr") if key in mot}
            row["IDSW"] = sum(mot["counts"]["num_switches"])
        if "hota_per_sequence_mean_over_alpha" in content:
            hota = content["hota_per_sequence_mean_over_alpha"][name]
            row |= {key: hota[key][-1] for key in ("HOTA", "DetA", "AssA", "LocA")}
        found[name] = row
    return found


def sequence_table(content: dict[str, Any]) -> str:
    """A table that sorts, lowest MOTA (or AP) first."""
    rows = sequence_scores(content)
    columns = list(next(iter(rows.values()))) if rows else []
    main = "MOTA" if "MOTA" in columns else "AP"

    def order(entry: tuple[str, dict[str, Any]]) -> tuple[bool, float]:
        value = entry[1][main]
        return value is None, value or 0.0

    lines: list[list[Content]] = [
        [name, *(bar(value, 100.0) if column == main else value for column, value in row.items())]
        for name, row in sorted(rows.items(), key=order)
    ]
    return table(["sequence", *columns], lines, sortable=True, tall=len(lines) > 20)


def joint_table(content: dict[str, Any]) -> str:
    """Every score of each of the 15 joints, and the total."""
    columns: dict[str, list[Any]] = {
        "AP": content["ap"]["ap"],
        "AP prec": content["ap"]["pre"],
        "AP rec": content["ap"]["rec"],
    }
    if "mot" in content:
        mot = content["mot"]
        names = {"mota": "MOTA", "motp": "MOTP", "pre": "Prec", "rec": "Rec", "idf1": "IDF1", "idp": "IDP"}
        columns |= {title: mot[key] for key, title in {**names, "idr": "IDR"}.items() if key in mot}
        switches = mot["counts"]["num_switches"]
        columns["IDSW"] = [*switches, sum(switches)]
    if "hota" in content:
        place = {name: k for k, name in enumerate((*POSETRACK21_JOINTS, "total"))}
        place["neck"] = place["head_bottom"]
        order = [place[name] for name in (*JOINT_NAMES, "total")]
        means = content["hota"]["mean_over_alpha"]
        columns |= {key: [means[key][k] for k in order] for key in ("HOTA", "DetA", "AssA", "LocA")}
    rows: list[list[Content]] = []
    for k, name in enumerate((*JOINT_NAMES, "total")):
        label: Content = name.replace("_", " ")
        if name == "total":
            label = Cell("total", "￿", "total")  # sorts after the joints
        rows.append([label, *(values[k] for values in columns.values())])
    return table(["joint", *columns], rows, sortable=True)
