"""JSON and TOML files for scripts/fuzz/fuzz.py."""

from __future__ import annotations

import json
from pathlib import Path

from fuzz_damage import Random, damaged_bytes, damaged_file
from fuzz_judge import (
    count_frames,
    judge_folder,
    judge_output,
    must_be_valid,
    posetrack,
    with_old,
    write_true_tracks,
)

from posetrack_app.core.config import presets_folder
from posetrack_app.core.json_file import load_json
from posetrack_app.formats import read_tracks
from posetrack_app.formats.convert import WRITERS, read_any
from posetrack_app.jobs.synthetic_video import make_synthetic_video, write_synthetic_video


class JsonCases:
    """Tracks, ground truth of both layouts and COCO results for validate, convert, link, evaluate and render."""

    def __init__(self, folder: Path) -> None:
        video = make_synthetic_video().first(6)
        self.video, self.tracks = folder / "video.mp4", folder / "tracks.json"
        write_synthetic_video(video, self.video)
        write_true_tracks(self.tracks, video)
        content = load_json(self.tracks)
        for person in content["annotations"]:
            person["bbox_head"] = [*person["bbox"][:2], 15, 20]
        self.truth = folder / "truth.json"
        self.truth.write_text(json.dumps(content))
        WRITERS["posetrack17"](read_tracks(self.tracks), folder / "old.json")
        WRITERS["coco"](read_tracks(self.tracks), folder / "coco.json")
        self.bases = [
            load_json(folder / name) for name in ("tracks.json", "truth.json", "old.json", "coco.json")
        ]
        self.bases += self.bases[:1] * 3

    def run(self, random: Random, folder: Path) -> None:
        base = self.bases[int(random.integers(len(self.bases)))]
        path = folder / "in.json"
        path.write_bytes(damaged_file(base, random))
        command = random.choice(["validate", "convert", "convert", "link", "evaluate", "render"])
        if command == "validate":
            posetrack("validate", path)
        elif command == "convert":
            to = str(random.choice([name for name in WRITERS if name != "parquet"]))
            readable = {"tracks": must_be_valid, "csv": read_any}.get(to, Path.stat)
            makes_folder = to in ("per-track", "openpose", "trc", "trc-c3d")
            target = (
                folder / "out"
                if makes_folder
                else with_old(folder / ("out.csv" if to == "csv" else "out.json"))
            )
            judge_output(posetrack("convert", path, "--to", to, "--out", target, "--force"), target, readable)
        elif command == "link":
            target = with_old(folder / "out.json")
            more = ["--second-pass"] if random.uniform() < 0.3 else []
            judge_output(posetrack("link", path, "--out", target, "--force", *more), target, must_be_valid)
        elif command == "evaluate":
            pair = (path, self.tracks) if random.uniform() < 0.5 else (self.truth, path)
            posetrack("evaluate", *pair)
        else:
            target = with_old(folder / "out.mp4")
            judge_output(
                posetrack("render", self.video, path, "--out", target, "--force", "--trails"),
                target,
                count_frames,
            )
        judge_folder(
            folder,
            {"in.json", "out", "out.json", "out.csv", "out.mp4", "out.partial.mp4", "out.partial.json"},
        )


class TomlCases:
    """Settings for link, which reads all of them and needs no networks."""

    def __init__(self, folder: Path) -> None:
        self.text = (presets_folder() / "default.toml").read_text()
        self.tracks = folder / "tracks.json"
        write_true_tracks(self.tracks, make_synthetic_video().first(12))

    def run(self, random: Random, folder: Path) -> None:
        text = self.text
        if random.uniform() < 0.7:
            lines = text.splitlines()
            values = ("nan", "inf", "-inf", "0", "-0.0", "1e308", "1e-308", "10000000000", "-1", "''", "'x'", "[]",
                      "{}", "true", "1979-05-27", "99999999999999999999999", "0.999999", "1", "3")  # fmt: skip
            for _ in range(int(random.integers(1, 4))):
                place = int(random.integers(len(lines)))
                name, equals, _ = lines[place].partition("=")
                if equals and random.uniform() < 0.8:
                    lines[place] = f"{name}= {random.choice(values)}"
                elif random.uniform() < 0.5:
                    lines.insert(place, lines[int(random.integers(len(lines)))])
                else:
                    del lines[place]
            data = "\n".join(lines).encode()
        else:
            data = damaged_bytes(text.encode(), random)
        (folder / "in.toml").write_bytes(data)
        target = with_old(folder / "out.json")
        code = posetrack("link", self.tracks, "--config", folder / "in.toml", "--out", target, "--force")
        judge_output(code, target, must_be_valid)
        judge_folder(folder, {"in.toml", "out.json", "out.partial.json"})
