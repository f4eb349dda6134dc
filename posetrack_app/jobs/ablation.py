"""An ablation: variants of the settings on one data set, in one table. The networks run once where they can."""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from posetrack_app.core.config import Config, with_settings
from posetrack_app.core.errors import InputError
from posetrack_app.core.files import write_atomic
from posetrack_app.core.parse_file import parse_file
from posetrack_app.evaluation.evaluate import Evaluation
from posetrack_app.jobs.benchmark import refuse_to_replace_result, run_benchmark
from posetrack_app.jobs.benchmark_poses import open_stored_poses

BASE = "base"
"""The name of the variant that changes nothing."""
_SCORES = ("mAP", "MOTA", "MOTP", "HOTA", "IDF1")


@dataclass(frozen=True)
class Variant:
    """One row of the table: settings, and what is taken from the ground truth."""

    name: str
    folder: str
    config: Config
    oracles: tuple[str, ...]


@dataclass(frozen=True)
class Ablation:
    """The results, in the order of `variants`; the first is the base."""

    variants: Sequence[Variant]
    results: Sequence[Evaluation]

    def rows(self) -> list[list[str]]:
        """A head, then one row per variant: its scores in percent and, behind each, the difference from the base."""
        columns = [name for name in self.results[0].totals if name.rpartition(" ")[2] in _SCORES]
        table = [["variant", *(text for name in columns for text in (name, f"{name} change"))]]
        for variant, result in zip(self.variants, self.results, strict=True):
            row = [variant.name]
            for name in columns:
                value, base = result.totals.get(name), self.results[0].totals.get(name)
                row.append("" if value is None else f"{value:.2f}")
                is_known = value is not None and base is not None and result is not self.results[0]
                row.append(f"{value - base:+.2f}" if is_known else "")  # type: ignore[operator]
            table.append(row)
        return table

    def table(self) -> str:
        """The rows as text for a terminal, one line per variant."""
        head, *rows = self.rows()
        names = head[1::2]
        width = max(len(row[0]) for row in [head, *rows])
        lines = [f"{'':{width}}  " + "  ".join(f"{name:>16}" for name in names)]
        for row in rows:
            cells = [
                f"{value} ({change})" if change else value
                for value, change in zip(row[1::2], row[2::2], strict=True)
            ]
            lines.append(f"{row[0]:{width}}  " + "  ".join(f"{cell:>16}" for cell in cells))
        return "\n".join(lines)


def read_variants(file: Path, base: Config, oracles: Sequence[str]) -> list[Variant]:
    """The base, and one variant for each table of the TOML file.

    A table has the settings that the variant changes, as in a settings file, and may have `oracle`, a list.
    Raises InputError naming the file, the variant and the wrong setting.
    """
    tables = parse_file(file, "TOML", lambda content: tomllib.loads(content.decode("utf-8-sig")))
    variants = [Variant(BASE, BASE, base, tuple(oracles))]
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(f"{file}: '{name}' must be a table: [\"{name}\"] and its settings below it")
        table = dict(table)
        chosen = table.pop("oracle", list(oracles))
        if not isinstance(chosen, list) or not all(isinstance(oracle, str) for oracle in chosen):
            raise InputError(f"{file} [{name}]: 'oracle' must be a list, such as [\"boxes\"]")
        folder = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "variant"
        if folder in {variant.folder for variant in variants}:
            raise InputError(f"{file}: two variants need the folder '{folder}'; rename '{name}'")
        config = with_settings(base, table, file.with_name(f"{file.name} [{name}]"))
        variants.append(Variant(name, folder, config, tuple(chosen)))
    if len(variants) == 1:
        raise InputError(
            f"{file} has no variants; write a table for each, such as [no-boxes] tracker.box_weight = 0.0"
        )
    return variants


def run_ablation(
    file: Path,
    dataset: str,
    root: Path,
    out: Path,
    *,
    config: Config,
    oracles: Sequence[str] = (),
    stored: Path | None = None,
    resume: bool = False,
    force: bool = False,
    **options: Any,
) -> Ablation:
    """Benchmark the base settings and every variant, each in a folder of `out`, and write `out`/ablation.csv.

    A variant that changes only thresholds, tracker or oracles uses the poses of the base or of an earlier variant.

    Args:
        file: the variants; see `read_variants`.
        dataset: as for `run_benchmark`, like the other arguments.
        root: the data set.
        out: the folder for the results.
        config: the settings of the base.
        oracles: what the base takes from the ground truth.
        stored: an earlier benchmark whose poses are used.
        resume: keep what is finished.
        force: write over earlier results.

    Raises InputError for anything that cannot be read, written or scored.
    """
    variants = read_variants(file, config, oracles)
    if not (resume or force):
        for variant in variants:
            refuse_to_replace_result(out / variant.folder)
    folders = [] if stored is None else [stored]
    results = []
    for variant in variants:
        target = out / variant.folder
        usable = [folder for folder in folders if _fits(folder, variant)]
        result = run_benchmark(
            dataset, root, target, config=variant.config, oracles=variant.oracles,
            stored=usable[0] if usable else None, resume=resume, force=force,
            **({**options, "detections": None} if usable else options),
        )  # fmt: skip
        if not usable:
            folders.append(target)
        results.append(replace(result, run={**result.run, "variant": variant.name}))
    outcome = Ablation(variants, results)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(outcome.rows())
    write_atomic(out / "ablation.csv", text.getvalue())
    return outcome


def _fits(folder: Path, variant: Variant) -> bool:
    """Whether the stored poses serve the variant."""
    poses = open_stored_poses(folder)
    if poses.made_with["gt_boxes"] != ("boxes" in variant.oracles):
        return False
    try:
        poses.check(variant.config)
    except InputError:
        return False
    return True
