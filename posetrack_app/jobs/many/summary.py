"""What happened to every video of a folder: `summary.jsonl`, and `summary.html` on demand.

Several machines may work on one folder, and no file can be appended to safely by two machines on NFS. So each run appends to
a file of its own in `.posetrack/`, and rewrites `summary.jsonl` as the union of all of them: one line for each video, the
newest.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from posetrack_app.core.files import write_atomic
from posetrack_app.core.json_file import as_text
from posetrack_app.core.words import counted
from posetrack_app.jobs.many.worker import Outcome
from posetrack_app.video.source_name import display_name

STATES = ("done", "kept", "skipped", "failed", "timeout", "crashed")
_MERGE_SECONDS = 5.0
"""Shortest time between two new versions of summary.jsonl during a run."""


class Summary:
    """Collects the outcomes of one run over the videos of `out_dir`."""

    def __init__(self, out_dir: Path) -> None:
        self._out_dir = out_dir
        self._folder = out_dir / ".posetrack"
        name = f"{time.time_ns()}-{socket.gethostname()}-{os.getpid()}.jsonl"
        self._own = self._folder / name
        self._merged = 0.0
        self._known = {line["tracks_file"] for line in self._lines(self._sizes()) if line["state"] == "done"}

    def add(self, outcome: Outcome) -> None:
        """Store the line of one video; of one that is kept, only if no earlier line says how it was made."""
        if outcome.state == "kept" and _name(outcome.out, self._out_dir) in self._known:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._own.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_line(outcome, self._out_dir), allow_nan=False) + "\n")
        if time.monotonic() - self._merged >= _MERGE_SECONDS:
            self.merge()

    def merge(self) -> list[dict[str, Any]]:
        """Write summary.jsonl and return its lines, by the name of the tracks file."""
        while True:
            before = self._sizes()
            if not before:
                return []  # nothing was done, and the folder may not exist
            lines = self._lines(before)
            text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
            write_atomic(self._out_dir / "summary.jsonl", text)
            self._merged = time.monotonic()
            # Another machine may have added lines and merged before ours was in place.
            if self._sizes() == before:
                return lines

    def write_page(self) -> Path:
        """Write summary.html from the same lines, and return its path. Needs at least one outcome."""
        path = self._out_dir / "summary.html"
        write_atomic(path, summary_page(self.merge()))
        return path

    def _sizes(self) -> dict[Path, int]:
        return {file: file.stat().st_size for file in sorted(self._folder.glob("*.jsonl"))}

    def _lines(self, files: Iterable[Path]) -> list[dict[str, Any]]:
        lines = []
        for file in files:
            for text in file.read_text(encoding="utf-8").splitlines():
                try:
                    lines.append(json.loads(text))
                except ValueError:
                    continue  # the last line of a killed run, or of one that is writing it now
        newest: dict[str, dict[str, Any]] = {}
        for line in sorted(lines, key=lambda line: line["ended"]):
            name = line["tracks_file"]
            # "kept" knows less than the line of the run that did the work.
            if line["state"] != "kept" or newest.get(name, line)["state"] != "done":
                newest[name] = line
        return [newest[name] for name in sorted(newest)]


def _name(out: Path, out_dir: Path) -> str:
    return as_text(os.path.relpath(out, out_dir))


def _line(outcome: Outcome, out_dir: Path) -> dict[str, Any]:
    report = outcome.report
    return {
        "video": display_name(outcome.source),
        "tracks_file": _name(outcome.out, out_dir),
        "state": outcome.state,
        "frames": report.frames if report else 0,
        "people": report.tracks if report else 0,
        "seconds": round(report.seconds, 3) if report else 0.0,
        "stage_seconds": report.stage_seconds if report else {},
        "decoder": report.decoder if report else "",
        "losses": report.losses if report else [],
        "retries": outcome.retries,
        "error": outcome.failure,
        "device": outcome.device,
        "worker": outcome.worker,
        "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #8884; }
th:nth-child(-n+2), td:nth-child(-n+2), th:last-child, td:last-child { text-align: left; }
.failed, .timeout, .crashed { color: #b3403f; font-weight: 600; } .scroll { overflow-x: auto; }
"""
_COLUMNS = ("video", "state", "frames", "people", "seconds", "frames/s", "retries", "decoder", "error")


def summary_page(lines: list[dict[str, Any]]) -> str:
    """One HTML page without external resources: the totals, then the videos, failed ones first."""
    states = Counter(line["state"] for line in lines)
    totals = ", ".join(f"{states[state]} {state}" for state in STATES if states[state])
    frames, seconds = sum(line["frames"] for line in lines), sum(line["seconds"] for line in lines)
    order = {"crashed": 0, "timeout": 1, "failed": 2}
    rows = "\n".join(_row(line) for line in sorted(lines, key=lambda line: order.get(line["state"], 3)))
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>posetrack: {counted(len(lines), 'video')}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{counted(len(lines), 'video')}: {totals}</h1>\n"
        f"<p>{counted(frames, 'frame')} in {seconds:.0f} seconds of work.</p>\n"
        f'<div class="scroll"><table><tr>{head}</tr>\n{rows}\n</table></div></body></html>\n'
    )


def _row(line: dict[str, Any]) -> str:
    rate = f"{line['frames'] / line['seconds']:.1f}" if line["seconds"] else ""
    cells = [line["video"], line["state"], line["frames"], line["people"], f"{line['seconds']:.1f}", rate]
    cells += [line["retries"], line["decoder"], line["error"]]
    return (
        f'<tr class="{line["state"]}">' + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"
    )
