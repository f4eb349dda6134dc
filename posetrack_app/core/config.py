"""Every setting, as frozen dataclasses, and the TOML files that change them."""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from posetrack_app.core.choices import SMOOTHING
from posetrack_app.core.errors import InputError
from posetrack_app.core.parse_file import parse_file
from posetrack_app.core.text_file import decoded

_Settings = TypeVar("_Settings")

_LARGEST = 1e6
"""No setting needs a larger number; 1e308 would end in infinite keypoints."""


def _number(default: float, lowest: float = 0.0, highest: float = _LARGEST) -> float:
    """A number from `lowest` to `highest`."""
    value: float = field(default=default, metadata={"lowest": lowest, "highest": highest})
    return value


def _fraction(default: float) -> float:
    """A number from 0 to 1."""
    return _number(default, highest=1.0)


def _integer(default: int, lowest: int = 1, highest: float = _LARGEST, **more: Any) -> int:
    """An integer from `lowest` to `highest`; with `or_zero` also 0, with `multiple` a multiple of it."""
    value: int = field(default=default, metadata={"lowest": lowest, "highest": highest, **more})
    return value


def _choice(default: str, *others: str) -> str:
    """One of several words."""
    value: str = field(default=default, metadata={"choices": (default, *others)})
    return value


@dataclass(frozen=True)
class DetectorConfig:
    """Finding people."""

    weights: str = "embedded"
    """"embedded", a name from `posetrack weights list`, or a file."""
    network: str = ""
    """The network of a weight file, such as "faster-rcnn-w40"; "" follows the name of the weights."""
    min_score: float = _fraction(0.3)
    """Drop detections below this score before the pose network."""
    max_people: int = _integer(100)
    """Keep at most this many people per frame, highest scores first."""
    short_side: int = _integer(0, 32, 4096, or_zero=True)
    """Resize the shorter side of a frame to this many pixels, the longer one in proportion; 0: as the weights expect."""
    batch: int = _integer(1)
    """Frames per batch."""


@dataclass(frozen=True)
class PoseConfig:
    """Finding keypoints."""

    weights: str = "embedded"
    """"embedded", a name from `posetrack weights list`, or a file."""
    network: str = ""
    """The network of a weight file, such as "hrnet-w48", or the published weights it was trained like, such as
    "hrnet-w48-coco-384x288-udp"; "" follows the name of the weights."""
    input_width: int = _integer(0, 0, 1024, multiple=32)
    input_height: int = _integer(0, 0, 1024, multiple=32)
    """Crop size in pixels; 0: as the weights expect."""
    flip_test: bool = False
    """Average with the mirrored crop: twice the time, slightly more accurate."""
    batch: int = _integer(16)
    """People per batch."""
    min_score: float = _fraction(0.0)
    """Set the score of keypoints below this to 0 (not seen)."""


@dataclass(frozen=True)
class PersonScoreConfig:
    """The probability that a detection is a person, from the logits of its box score and of its mean keypoint score.

    It replaces the box score. The weights 1 and 0 with the offset 0 keep the box score.
    """

    box_weight: float = _number(0.781, 0.0, 10.0)
    keypoint_weight: float = _number(0.641, 0.0, 10.0)
    offset: float = _number(-1.986, -10.0, 10.0)

    @property
    def is_box_score(self) -> bool:
        """The person score is the box score."""
        return (self.box_weight, self.keypoint_weight, self.offset) == (1.0, 0.0, 0.0)


@dataclass(frozen=True)
class PropagationConfig:
    """Finding people where they are expected, in frames where the detector misses them or does not run.

    Expected by the tracker, or by optical flow with the method "flow".
    """

    detect_every: int = _integer(1)
    """Run the detector on every N-th frame."""
    max_seconds: float = _number(1.0)
    """Keep a person whom the detector misses for about this long; 0: not at all."""
    min_score: float = _fraction(0.3)
    """Drop such people below this score."""
    min_keypoint_score: float = _fraction(0.2)
    """With optical flow, ignore keypoints below this score when the box is propagated."""


@dataclass(frozen=True)
class DuplicatesConfig:
    """Removing duplicate boxes and poses of one person."""

    box_overlap: float = _fraction(0.65)
    """Of two boxes with a higher IoU, drop the one with the lower score, before the pose network."""
    max_similarity: float = _fraction(0.75)
    """Of two poses with a higher OKS, drop the one with the lower score."""


@dataclass(frozen=True)
class TrackerConfig:
    """Linking poses into tracks; docs/tracker.md explains the algorithm."""

    method: str = _choice("kalman", "flow")
    """"kalman", or "flow": the published recipe, whose settings are in [flow_tracker]."""
    high_score: float = _fraction(0.65)
    """Lowest person score in the first round of matching, and of a new track."""
    low_score: float = _fraction(0.3)
    """Lowest person score in the second round of matching."""
    min_similarity: float = _fraction(0.25)
    """Lowest similarity of a match in the first round."""
    min_low_score_similarity: float = _fraction(0.4)
    """Lowest similarity of a match in the second round."""
    box_weight: float = _number(3.0)
    """Weight of the box IoU in the similarity, counted in keypoints."""
    confirmations: int = _integer(3)
    """Matches that confirm a track."""
    patience_seconds: float = _number(3.0)
    """Remove a track that was not matched for longer than both of these."""
    patience_frames: int = _integer(3, 0)
    duplicate_similarity: float = _fraction(0.7)
    """A pose this similar to a matched track starts no new track."""
    appearance_weight: float = _number(0.0)
    """Weight of the pose network's features in the similarity, counted in keypoints; 0: not computed."""
    matching: str = _choice("hungarian", "greedy")
    """"hungarian" (optimal assignment) or "greedy", as in published recipes."""


@dataclass(frozen=True)
class FlowTrackerConfig:
    """Greedy OKS matching with flow-propagated poses, for [tracker] method = "flow" (Xiao et al., ECCV 2018)."""

    high_score: float = _fraction(0.5)
    """Lowest box score of a tracked person."""
    min_similarity: float = _fraction(0.2)
    """Lowest OKS of a match."""
    patience_frames: int = _integer(8, 0)
    """Match with the poses of this many previous frames."""


@dataclass(frozen=True)
class SmoothingConfig:
    """One-Euro filter of the keypoints for display; the file keeps the raw ones as well."""

    enabled: bool = True
    min_cutoff: float = _number(1.5)
    """Hertz; lower is smoother at rest."""
    beta: float = _number(6.0)
    """Hertz per body height per second; higher lags less in motion."""
    speed_cutoff: float = _number(1.5)
    """Hertz, of the filter on the speed."""
    gap_seconds: float = _number(0.25)
    """Restart the filter for a person who was not seen for longer."""


@dataclass(frozen=True)
class SecondPassConfig:
    """The second pass over complete tracks, `posetrack link --second-pass`.

    Distances are measured in body sizes (square root of the box area).
    """

    join_seconds: float = _number(4.0)
    """A track that starts up to this long after another one ended may continue it."""
    join_cost: float = _number(9.0)
    """Join where the distance is below this many squared standard deviations."""
    appearance_cost: float = _number(2.0)
    """Where appearance is known, up to twice this is added for tracks that look different."""
    fill_seconds: float = _number(0.5)
    """Fill gaps up to this long by interpolation."""
    keypoint_score: float = _fraction(0.2)
    """A keypoint below this score counts as missing."""
    min_track_seconds: float = _number(0.3)
    """Drop a track that is shorter than this and whose mean box score is below `min_track_score`."""
    min_track_score: float = _fraction(0.6)
    swap_penalty: float = _number(0.05)
    """Cost of exchanging a pair of joints in one frame, in body heights."""
    smoothing: str = _choice(*SMOOTHING)
    """"butterworth", "savgol", "kalman" or "none"."""


@dataclass(frozen=True)
class Config:
    """All settings; `configs/default.toml` explains each."""

    precision: str = _choice("auto", "float32", "bfloat16", "int8")
    """"auto": the fastest that keeps the accuracy on this machine."""
    camera_motion: bool = True
    """Estimate the camera motion, so that it is not mistaken for people's motion, and end all tracks at a cut."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    pose: PoseConfig = field(default_factory=PoseConfig)
    person_score: PersonScoreConfig = field(default_factory=PersonScoreConfig)
    propagation: PropagationConfig = field(default_factory=PropagationConfig)
    duplicates: DuplicatesConfig = field(default_factory=DuplicatesConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    flow_tracker: FlowTrackerConfig = field(default_factory=FlowTrackerConfig)
    smoothing: SmoothingConfig = field(default_factory=SmoothingConfig)
    second_pass: SecondPassConfig = field(default_factory=SecondPassConfig)

    def as_dict(self) -> dict[str, Any]:
        """Plain nested dictionaries, as a TOML file would give them."""
        return asdict(self)


_RENAMED = {
    ("tracker", "confident"): "is now called 'high_score'",
    ("tracker", "weak"): "is now called 'low_score'",
    ("tracker", "min_weak_similarity"): "is now called 'min_low_score_similarity'",
    ("propagation", "enabled"): "is gone; set 'max_seconds' above 0, or 'detect_every' above 1",
}
"""Settings of version 0.1, and what to write instead."""


def load_config(preset: str = "default", file: Path | None = None) -> Config:
    """The settings of a preset, changed by those in `file`.

    Raises InputError naming the file, the setting and what to write instead.
    """
    config = with_file(Config(), _preset_file(preset))
    return config if file is None else with_file(config, file)


def settings_for(preset: str, config: Config | str | PathLike[str] | None) -> Config:
    """`config` if it is a `Config`, else the preset, changed by the settings in the TOML file `config`."""
    if isinstance(config, Config):
        return config
    return load_config(preset, None if config is None else Path(config))


def presets_folder() -> Path:
    """The folder of the presets: in the installed package, or in the source tree."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def _preset_file(preset: str) -> Path:
    file = presets_folder() / f"{preset}.toml"
    if not file.is_file():
        known = sorted(path.stem for path in presets_folder().glob("*.toml"))
        raise InputError(f"unknown preset '{preset}'; choose one of {', '.join(known)}")
    return file


def with_file(config: Config, file: Path) -> Config:
    """`config` changed by the settings in a TOML file. InputError naming the file and the wrong setting."""
    table = parse_file(file, "TOML", lambda content: tomllib.loads(decoded(content)))
    return with_settings(config, table, file)


def with_settings(config: Config, table: dict[str, Any], file: Path) -> Config:
    """`config` changed by a parsed table of settings, as of a TOML file; errors name `file`."""
    return _merge(config, table, file, "")


def _merge(settings: _Settings, table: dict[str, Any], file: Path, section: str) -> _Settings:
    """`settings` with the values of `table`, which is a section of `file` or ("") its top level."""
    known = {entry.name: entry for entry in fields(settings)}  # type: ignore[arg-type]
    where = f"{file} [{section}]" if section else str(file)
    changes: dict[str, Any] = {}
    for name, value in table.items():
        if (section, name) in _RENAMED:
            raise InputError(f"{where}: '{name}' {_RENAMED[section, name]}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known settings are {', '.join(known)}"
            raise InputError(f"{where}: unknown setting '{name}'; {hint}")
        current = getattr(settings, name)
        if is_dataclass(current):
            if not isinstance(value, dict):
                raise InputError(f"{where}: '{name}' is a section; write [{name}] and its settings below it")
            changes[name] = _merge(current, value, file, name)
        else:
            changes[name] = _checked(known[name], value, type(current), where)
    return replace(settings, **changes)  # type: ignore[type-var]


def _checked(entry: Field[Any], value: Any, kind: type[Any], where: str) -> Any:
    """The value as a `kind`; InputError if it is of another kind or outside the range of the field."""
    limits = entry.metadata

    def refuse(wanted: str) -> InputError:
        got = f"{value:g}" if isinstance(value, float) else repr(value)
        return InputError(f"{where}: '{entry.name}' must be {wanted}, got {got[:40]}")

    if kind in (int, float):
        lowest, highest = limits["lowest"], limits["highest"]
        span = (
            f"from {lowest:g} to {highest:g}" if highest < _LARGEST else f"from {lowest:g} to {highest:,.0f}"
        )
        if type(value) is int and abs(value) > _LARGEST:
            raise refuse(span)  # before float(), which fails for hundreds of digits
        if kind is float and type(value) is int:
            value = float(value)
    if type(value) is not kind:
        wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}
        raise refuse(wanted[kind])
    if "choices" in limits and value not in limits["choices"]:
        raise refuse(f"one of {', '.join(limits['choices'])}")
    if kind in (int, float):
        if not math.isfinite(value):
            raise refuse("a finite number")
        is_in_range = lowest <= value <= highest
        if limits.get("or_zero"):
            is_in_range, span = is_in_range or value == 0, f"{span}, or 0"
        if not is_in_range:
            raise refuse(span)
        if "multiple" in limits and value % limits["multiple"]:
            raise refuse(f"a multiple of {limits['multiple']}")
    return value
