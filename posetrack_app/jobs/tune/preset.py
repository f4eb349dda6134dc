"""The TOML file that a tuning writes: the settings, and in comments what they were chosen on and what they gain."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from posetrack_app.core.config import Config
from posetrack_app.core.version import __version__

if TYPE_CHECKING:
    from posetrack_app.jobs.tune.tune import TuneReport


def preset_text(report: TuneReport, truth: str, poses: str, protocol: str, seed: int) -> str:
    """A settings file with everything that differs from the default settings, for `--config`."""
    names = " ".join(report.before)
    lines = [
        f"# Tuned for {report.objective} by posetrack tune {__version__} on {datetime.now(UTC).date()}.",
        f"# Ground truth {_one_line(truth)}, poses {_one_line(poses)}, protocol {protocol}.",
        f"# {report.trials} trials, {report.stopped} of them stopped early; seed {seed}.",
        "#",
        f"# {'all videos':24}{'before':>10}{'after':>10}   (optimistic: the settings were chosen on them)",
        *(_row(name, report.before[name], report.after[name]) for name in report.before),
    ]
    if len(report.objective.split(" + ")) > 1 or report.objective not in names.split():
        lines.append(_row("objective", report.objective_before, report.objective_after))
    lines.append("#")
    if report.expected_gain is None:
        lines.append("# There is one video only, so nothing was cross-validated: expect less on others.")
    else:
        lines.append(
            f"# {'held-out videos':24}{'before':>10}{'after':>10}   of the objective; searched without them"
        )
        for number, fold in enumerate(report.folds, 1):
            lines.append(_row(f"fold {number} ({len(fold.videos)})", fold.before, fold.after))
        lines.append(f"# Expect {report.expected_gain:+.2f} points on similar videos.")
        if report.expected_gain <= 0:
            lines.append("# These videos are too few for the search, or the settings were good already.")
    return "\n".join([*lines, "", *_settings(report.config), ""])


def _row(name: str, before: float, after: float) -> str:
    return f"#   {name:22}{before:10.2f}{after:10.2f}   {after - before:+.2f}"


def _one_line(text: str) -> str:
    """A file name that cannot end the comment."""
    return " ".join(text.split())


def _settings(config: Config) -> list[str]:
    """The settings that differ from the default ones, as TOML; JSON writes strings and numbers as TOML does."""
    default, lines = Config().as_dict(), []
    sections: list[str] = []
    for name, value in config.as_dict().items():
        if not isinstance(value, dict):
            lines += [] if value == default[name] else [f"{name} = {_toml(value)}"]
            continue
        changed = {key: entry for key, entry in value.items() if entry != default[name][key]}
        if changed:
            sections += ["", f"[{name}]", *(f"{key} = {_toml(entry)}" for key, entry in changed.items())]
    return [*lines, *(sections if lines else sections[1:])]


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
