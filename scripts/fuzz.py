"""Damage videos, JSON, TOML and weight files a thousand times each, and see that posetrack takes it well.

python scripts/fuzz.py [video json toml checkpoint] [--count 1000] [--seed 0] [--seconds 600]

Good is: a right result, or one line of error with exit code 2. A fault is: a traceback, a crash, a hang, a result that
the program itself cannot read, an older output that was lost, a temporary file left behind. Cases run in a process of
their own, as FFmpeg and unpickling are native code; when that process dies or hangs, the case is a fault and the next
one starts in a new process. Case K of seed S is always the same: --only K runs it alone, with its traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.formats import read_tracks
from posetrack_app.formats.convert import WRITERS, read_any
from posetrack_app.formats.json_file import load_json
from posetrack_app.formats.validate import find_faults

HANG = 60.0
"""Seconds after which a case that gives no answer is a fault; ordinary ones take well under one."""

Random = np.random.Generator


class FaultError(Exception):
    """posetrack did not take a damaged file well; says how."""


# --- damage ----------------------------------------------------------------------------------------------------------


def damaged_bytes(data: bytes, random: Random, span: tuple[int, int] | None = None) -> bytes:
    """Some bytes flipped, zeroed, cut off, taken out or doubled; within `span` they are changed in place only."""
    start, end = span or (0, len(data))
    content = bytearray(data)
    for _ in range(int(random.integers(1, 6))):
        place = int(random.integers(start, max(start + 1, end)))
        length = int(2 ** random.uniform(0, 12))
        stop = min(place + length, end)
        kind = random.choice(
            ["flip", "zero", "noise"] if span else ["flip", "zero", "noise", "cut", "remove", "double"]
        )
        if kind == "flip" and content:
            content[min(place, len(content) - 1)] ^= 1 << int(random.integers(8))
        elif kind == "zero":
            content[place:stop] = bytes(max(0, stop - place))
        elif kind == "noise":
            content[place:stop] = random.bytes(max(0, stop - place))
        elif kind == "cut":
            del content[place:]
        elif kind == "remove":
            del content[place:stop]
        elif kind == "double":
            content[place:place] = content[place:stop]
        end = min(end, len(content)) if span is None else end
    return bytes(content)


ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 1e308, -1e308, 1e15, 1e-300, 0.5, float("nan"),
    float("inf"), "", "x", "../../etc/passwd", "a\nb", "\ud800", "é" * 300, [], {}, [[]], [0] * 51, [None], {"": 0},
    [1e14] * 51, [1e14, 1e14, 1e14, 1e14], [0, 0, 0, 0],
)  # fmt: skip


def damaged_json(content: Any, random: Random) -> Any:
    """A copy in which some values are replaced, taken out, doubled or swapped."""
    content = json.loads(json.dumps(content))
    for _ in range(int(random.integers(1, 4))):
        parent, key = content, None
        for _ in range(int(random.integers(1, 7))):
            if not isinstance(parent, (dict, list)) or not parent:
                break
            key = (
                random.choice(list(parent)) if isinstance(parent, dict) else int(random.integers(len(parent)))
            )
            if not isinstance(parent[key], (dict, list)) or not parent[key] or random.uniform() < 0.15:
                break
            parent, key = parent[key], None
        if key is None or not isinstance(parent, (dict, list)) or not parent:
            continue
        kind = random.choice(["odd", "odd", "odd", "remove", "double", "swap"])
        if kind == "odd":
            parent[key] = ODD_VALUES[int(random.integers(len(ODD_VALUES)))]
        elif kind == "remove":
            del parent[key]
        elif isinstance(parent, list):
            other = int(random.integers(len(parent)))
            if kind == "double":
                parent.insert(other, parent[key])
            else:
                parent[key], parent[other] = parent[other], parent[key]
    return content


# --- running and judging ---------------------------------------------------------------------------------------------


def posetrack(*arguments: object) -> int:
    """Run the command line in this process: 0, or 2 with one line of error; anything else is a fault."""
    from posetrack_app import cli

    said = io.StringIO()
    before = sys.argv
    sys.argv = ["posetrack", *(str(argument) for argument in arguments)]
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.argv = before
    lines = [line for line in said.getvalue().splitlines() if line.startswith(("posetrack:", "Error:"))]
    if code not in (0, 2):
        raise FaultError(f"exit code {code}: {said.getvalue()[-500:]}")
    errors = [line for line in lines if " are kept in " not in line]
    if code == 2 and (len(errors) != 1 or said.getvalue().count("\n") > len(lines)):
        raise FaultError(f"not one line of error: {said.getvalue()[-500:]!r}")
    return code


OLD = b"what was here before"


def with_old(target: Path) -> Path:
    target.write_bytes(OLD)
    return target


def judge_output(code: int, target: Path, readable: Callable[[Path], object]) -> None:
    """After success the new file must be whole, after an error the older one must still be there."""
    if code == 0:
        if target.is_file() and target.read_bytes() == OLD:
            raise FaultError(f"said it wrote {target.name} but did not")
        readable(target)
    elif target.is_file() and target.read_bytes() != OLD:
        raise FaultError(f"failed, and the older {target.name} is lost")


def judge_folder(folder: Path, expected: set[str]) -> None:
    left = {path.name for path in folder.iterdir()} - expected
    if left:
        raise FaultError(f"left behind: {', '.join(sorted(left))}")


def must_be_valid(path: Path) -> None:
    faults = find_faults(load_json(path))
    if faults:
        raise FaultError(f"wrote a file that is not valid: {faults[0]}")


# --- the four subjects -----------------------------------------------------------------------------------------------


def short_film(frames: int) -> Any:
    from posetrack_app.synthetic import make_film

    film = make_film()
    return replace(
        film, milliseconds=film.milliseconds[:frames], people=film.people[:frames], shots=film.shots[:frames]
    )


def write_film_tracks(path: Path, film: Any) -> None:
    from posetrack_app.formats import TracksWriter
    from posetrack_app.skeleton import POSETRACK

    with TracksWriter(
        path, skeleton=POSETRACK, info={"video": {"file": "f.mp4", "frame_rate": 30.0}}
    ) as writer:
        for index, (seconds, people) in enumerate(zip(film.seconds, film.people, strict=True)):
            writer.write(index, seconds, people)


class JsonCases:
    """Tracks, ground truth of both layouts and COCO results, through validate, convert, link, evaluate and render."""

    def __init__(self, folder: Path) -> None:
        from posetrack_app.synthetic import write_film

        film = short_film(6)
        self.video, self.tracks = folder / "film.mp4", folder / "tracks.json"
        write_film(film, self.video)
        write_film_tracks(self.tracks, film)
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
        if random.uniform() < 0.7:
            data = json.dumps(damaged_json(base, random)).encode()
        else:
            data = damaged_bytes(json.dumps(base).encode(), random)
        path = folder / "in.json"
        path.write_bytes(data)
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
            judge_output(posetrack("convert", path, "--to", to, "--out", target), target, readable)
        elif command == "link":
            target = with_old(folder / "out.json")
            more = ["--offline"] if random.uniform() < 0.3 else []
            judge_output(posetrack("link", path, "--out", target, *more), target, must_be_valid)
        elif command == "evaluate":
            pair = (path, self.tracks) if random.uniform() < 0.5 else (self.truth, path)
            posetrack("evaluate", *pair)
        else:
            target = with_old(folder / "out.mp4")
            judge_output(
                posetrack("render", self.video, path, "--out", target, "--trails"), target, count_frames
            )
        judge_folder(
            folder,
            {"in.json", "out", "out.json", "out.csv", "out.mp4", "out.partial.mp4", "out.partial.json"},
        )


class TomlCases:
    """Settings, through link, which reads them all and needs no networks."""

    def __init__(self, folder: Path) -> None:
        from posetrack_app.config import presets_folder

        self.text = (presets_folder() / "default.toml").read_text()
        self.tracks = folder / "tracks.json"
        write_film_tracks(self.tracks, short_film(12))

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
        code = posetrack("link", self.tracks, "--config", folder / "in.toml", "--out", target)
        judge_output(code, target, must_be_valid)
        judge_folder(folder, {"in.toml", "out.json", "out.partial.json"})


class VideoCases:
    """Clips of several kinds, read frame by frame, and rendered."""

    def __init__(self, folder: Path) -> None:
        import av

        from posetrack_app.synthetic import write_film

        self.film = short_film(20)
        write_film(self.film, folder / "a.mp4")
        write_film(self.film, folder / "b.mp4", rotation=90, tone=False)
        for name, codec in (
            ("c.avi", "mpeg4"),
            ("d.mkv", "libx264"),
            ("e.webm", "libvpx-vp9"),
            ("f.ts", "libx264"),
        ):
            container: Any = av.open(str(folder / name), "w")
            with container:
                stream = container.add_stream(codec, rate=25)
                stream.width, stream.height, stream.pix_fmt = 360, 240, "yuv420p"
                for number in range(20):
                    picture: Any = av.VideoFrame.from_ndarray(self.film.picture(number), "rgb24")
                    container.mux(stream.encode(picture))
                container.mux(stream.encode(None))
        self.files = [(folder / name, (folder / name).read_bytes()) for name in
                      ("a.mp4", "a.mp4", "b.mp4", "c.avi", "d.mkv", "e.webm", "f.ts")]  # fmt: skip
        self.tracks = folder / "tracks.json"
        write_film_tracks(self.tracks, self.film)

    def run(self, random: Random, folder: Path) -> None:
        source, data = self.files[int(random.integers(len(self.files)))]
        pictures_only = source.suffix == ".mp4" and random.uniform() < 0.5
        span = _payload(data) if pictures_only else None
        path = folder / f"in{source.suffix}"
        path.write_bytes(damaged_bytes(data, random, span))
        if random.uniform() < 0.3:
            target = with_old(folder / "out.mp4")
            code = posetrack("render", path, self.tracks, "--out", target)
            judge_output(code, target, count_frames)
        else:
            self._read(path, pictures_only)
        judge_folder(folder, {path.name, "out.mp4", "out.partial.mp4"})

    def _read(self, path: Path, times_are_whole: bool) -> None:
        from posetrack_app.errors import InputError
        from posetrack_app.synthetic import read_number
        from posetrack_app.video import open_video

        index, seconds, size = -1, -1.0, None
        shifted: list[tuple[int, Any]] = []
        try:
            with open_video(path) as video:
                for frame in video:
                    if frame.index <= index or frame.seconds <= seconds:
                        raise FaultError(f"frame {frame.index} at {frame.seconds} after {index} at {seconds}")
                    if size not in (None, frame.size):
                        raise FaultError(f"frame {frame.index} is {frame.size}, those before {size}")
                    index, seconds, size = frame.index, frame.seconds, frame.size
                    number = read_number(frame.image)
                    if times_are_whole and number != index and number < len(self.film.seconds):
                        shifted.append((number, frame))
            for number, frame in shifted:
                self._check_shift(path, number, frame, video.losses)
        except InputError as error:
            if "\n" in str(error):
                raise FaultError(f"an error of several lines: {error}") from error

    def _check_shift(self, path: Path, number: int, frame: Any, losses: list[str]) -> None:
        """Where FFmpeg hides damage with its neighbour's picture, the decoder itself gives that at this time."""
        import av

        off = np.abs(frame.image.astype(int) - self.film.picture(number)).mean()
        true = np.abs(frame.image.astype(int) - self.film.picture(frame.index)).mean()
        if off >= 4 or true <= 4 or losses:
            return  # no clean picture of another frame, or one that was told
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            with contextlib.suppress(av.FFmpegError):
                for other in container.decode(stream):
                    if (
                        other.pts is not None
                        and abs(float(other.pts * stream.time_base) - frame.seconds) < 1e-3
                    ):
                        theirs = other.to_ndarray(format="rgb24")
                        if theirs.shape != frame.image.shape:
                            theirs = np.rot90(theirs, -1)
                        if np.abs(frame.image.astype(int) - theirs).mean() < 6:
                            return
        raise FaultError(f"picture {number} came as frame {frame.index}, without a word")


def _payload(data: bytes) -> tuple[int, int]:
    """Where an MP4's pictures and sound are: the inside of its mdat box."""
    place = data.index(b"mdat")
    return place + 4, place - 4 + int.from_bytes(data[place - 4 : place], "big")


def count_frames(path: Path) -> None:
    from posetrack_app.video import open_video

    with open_video(path) as video:
        if sum(1 for _ in video) == 0:
            raise FaultError("wrote a video without frames")


class CheckpointCases:
    """Weight files of every kind we load, on a small network."""

    def __init__(self, folder: Path) -> None:
        import torch
        from safetensors.torch import save_file

        torch.manual_seed(0)
        self.network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 4, 1)
        )
        weights = self.network.state_dict()
        save_file(weights, folder / "a.safetensors")
        torch.save(weights, folder / "b.pth")
        torch.save(
            {"state_dict": {f"module.{k}": v for k, v in weights.items()}, "epoch": 3}, folder / "c.pth"
        )
        torch.save(weights, folder / "d.pth", _use_new_zipfile_serialization=False)
        self.files = [
            (name, (folder / name).read_bytes()) for name in ("a.safetensors", "b.pth", "c.pth", "d.pth")
        ]

    def run(self, random: Random, folder: Path) -> None:
        import torch

        from posetrack_app.assemble import _load
        from posetrack_app.errors import InputError

        name, data = self.files[int(random.integers(len(self.files)))]
        path = folder / name
        path.write_bytes(damaged_bytes(data, random))
        try:
            _load(self.network, path)
        except InputError as error:
            if "\n" in str(error):
                raise FaultError(f"an error of several lines: {error}") from error
        else:
            for key, value in self.network.state_dict().items():
                if not torch.isfinite(value).all():
                    raise FaultError(f"loaded {key} with values that are no numbers")
        judge_folder(folder, {name})


SUBJECTS: dict[str, Callable[[Path], Any]] = {
    "video": VideoCases,
    "json": JsonCases,
    "toml": TomlCases,
    "checkpoint": CheckpointCases,
}


# --- processes -------------------------------------------------------------------------------------------------------


def work(subject: str, seed: int, cases: range, show: bool = False) -> None:
    """Run cases and print a line before and after each; what the case itself prints to stdout goes nowhere."""
    answers = sys.stdout
    with tempfile.TemporaryDirectory(prefix="posetrack-fuzz-") as base:
        tried = SUBJECTS[subject](Path(base))
        for number in cases:
            print(json.dumps({"case": number}), file=answers, flush=True)
            random = np.random.default_rng([seed, list(SUBJECTS).index(subject), number])
            problem = ""
            with tempfile.TemporaryDirectory(dir=base) as folder:
                try:
                    tried.run(random, Path(folder))
                except FaultError as fault:
                    problem = str(fault)
                except Exception as error:
                    last = traceback.extract_tb(error.__traceback__)[-1]
                    problem = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
                    if show:
                        traceback.print_exc()
            print(json.dumps({"case": number, "problem": problem}), file=answers, flush=True)


def watch(subject: str, seed: int, count: int, until: float) -> tuple[int, list[tuple[int, str]]]:
    """Run `count` cases in processes of their own, till `until` at most; how many ran, and the faults."""
    faults: list[tuple[int, str]] = []
    done = 0
    while done < count and time.monotonic() < until:
        command = [sys.executable, __file__, subject, "--seed", str(seed), "--work", str(done), str(count)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as worker:
            assert worker.stdout is not None
            lines: queue.Queue[str] = queue.Queue()
            threading.Thread(target=_forward, args=(worker.stdout, lines), daemon=True).start()
            begun = -1
            while time.monotonic() < until:
                try:
                    line = lines.get(timeout=HANG)
                except queue.Empty:
                    worker.kill()
                    faults.append((max(begun, done), f"no answer for {HANG:.0f} s"))
                    done = max(begun, done) + 1
                    break
                if not line:  # the process has ended
                    if done < count:
                        faults.append((max(begun, done), f"the process died with code {worker.wait()}"))
                        done = max(begun, done) + 1
                    break
                answer = json.loads(line)
                begun = answer["case"]
                if "problem" in answer:
                    done = begun + 1
                    if answer["problem"]:
                        faults.append((begun, answer["problem"]))
            worker.kill()
    return done, faults


def _forward(stream: Any, lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "subjects", nargs="*", choices=[*SUBJECTS, []], metavar="SUBJECT", help=", ".join(SUBJECTS)
    )
    parser.add_argument("--count", type=int, default=1000, help="cases of each subject")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600, help="most for each subject")
    parser.add_argument("--only", type=int, metavar="K", help="run one case here, with its traceback")
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    subjects = options.subjects or list(SUBJECTS)
    if options.work or options.only is not None:
        cases = range(*options.work) if options.work else range(options.only, options.only + 1)
        work(subjects[0], options.seed, cases, show=options.only is not None)
        return 0
    bad = 0
    for subject in subjects:
        began = time.monotonic()
        done, faults = watch(subject, options.seed, options.count, began + options.seconds)
        print(f"{subject}: {done} cases, {len(faults)} faults, {time.monotonic() - began:.0f} s", flush=True)
        for number, problem in faults:
            print(f"  case {number} of seed {options.seed}: {problem}")
        bad += len(faults)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
