"""Every setting, as frozen dataclasses, and the TOML files that change them."""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from posetrack_app.errors import InputError

_Settings = TypeVar("_Settings")


@dataclass(frozen=True)
class DetectorConfig:
    """Finding people."""

    weights: str = "embedded"
    """"embedded", a name of `posetrack weights list`, or a file."""
    network: str = ""
    """For a weight file: its network, such as "faster-rcnn-w40"; "" takes what the name of the weights says."""
    min_score: float = 0.35
    """Detections below are dropped before the pose network."""
    max_people: int = 100
    """Most people a frame keeps, best scores first."""
    short_side: int = 0
    """Pixels that a frame's shorter side is brought to, the longer one in proportion; 0: what suits the weights."""
    batch: int = 1
    """Frames a step of the network."""


@dataclass(frozen=True)
class PoseConfig:
    """Finding keypoints."""

    weights: str = "embedded"
    """"embedded", a name of `posetrack weights list`, or a file."""
    network: str = ""
    """For a weight file: its network, such as "hrnet-w48", or the published weights it was trained like,
    such as "hrnet-w48-coco-384x288-udp"; "" takes what the name of the weights says."""
    input_width: int = 0
    input_height: int = 0
    """Of the crop; 0 takes what the weights were trained with."""
    flip_test: bool = False
    """Average with the mirrored crop: twice the time, a little better."""
    batch: int = 16
    """People a step of the network."""
    min_score: float = 0.0
    """Keypoints below count as not seen: their score becomes 0."""


@dataclass(frozen=True)
class PropagationConfig:
    """Finding people again by optical flow, where the detector misses them or rests."""

    enabled: bool = False
    """Also on where `detect_every` is above 1."""
    detect_every: int = 1
    """The detector sees every so-many-th frame; flow carries people over the others."""
    min_score: float = 0.3
    """Who is carried on and scores less is gone."""
    min_keypoint_score: float = 0.2
    """Keypoints below do not shape the box that is carried on."""
    max_seconds: float = 2.0
    """Who was not detected for longer is carried on no more."""


@dataclass(frozen=True)
class DuplicatesConfig:
    """Two poses of one person."""

    box_overlap: float = 0.65
    """Of two boxes with a higher IoU the weaker goes, before the pose network."""
    max_similarity: float = 0.75
    """Of two poses with a higher OKS the weaker goes."""


@dataclass(frozen=True)
class TrackerConfig:
    """Identities; see docs/tracker.md."""

    method: str = "kalman"
    """"kalman", or "flow": the published recipe, which reads confident, min_similarity and patience_frames."""
    confident: float = 0.93
    weak: float = 0.35
    min_similarity: float = 0.25
    min_weak_similarity: float = 0.4
    box_weight: float = 3.0
    confirmations: int = 3
    patience_seconds: float = 3.0
    patience_frames: int = 3
    duplicate_similarity: float = 0.7
    appearance_weight: float = 0.0
    matching: str = "hungarian"


@dataclass(frozen=True)
class SmoothingConfig:
    """One-Euro filter of the keypoints for display; raw ones stay in the file."""

    enabled: bool = True
    min_cutoff: float = 1.5
    beta: float = 6.0
    speed_cutoff: float = 1.5
    gap_seconds: float = 0.25


@dataclass(frozen=True)
class Config:
    """All settings; `configs/default.toml` explains each."""

    precision: str = "auto"
    """"float32", "bfloat16", "int8", or "auto": the fastest that does not cost quality here."""
    camera_motion: bool = True
    """Follow the camera, so that its motion is not taken for people's, and end all tracks where the film is cut."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    pose: PoseConfig = field(default_factory=PoseConfig)
    propagation: PropagationConfig = field(default_factory=PropagationConfig)
    duplicates: DuplicatesConfig = field(default_factory=DuplicatesConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    smoothing: SmoothingConfig = field(default_factory=SmoothingConfig)

    def as_dict(self) -> dict[str, Any]:
        """Plain nested dictionaries, as a TOML file would give them."""
        return asdict(self)


CHOICES = {
    "precision": ("auto", "float32", "bfloat16", "int8"),
    "matching": ("hungarian", "greedy"),
    "method": ("kalman", "flow"),
}
SHARES = (
    "min_score", "box_overlap", "max_similarity", "confident", "weak", "min_similarity", "min_weak_similarity",
    "duplicate_similarity", "min_keypoint_score",
)  # fmt: skip
MOST = 1e6
"""No setting means anything beyond; 1e308 would end as infinite keypoints."""
_AT_MOST = f"{MOST:,.0f} at most"
AT_LEAST_ONE = ("max_people", "batch", "confirmations", "detect_every")


def presets_folder() -> Path:
    """Where the preset TOML files are: in the installed package, or in the source tree."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "configs"


def load_config(preset: str = "default", file: Path | None = None) -> Config:
    """The preset's settings with those of `file` on top.

    InputError names the file, the setting and the nearest right name.
    """
    config = _with_file(Config(), _preset_file(preset))
    return config if file is None else _with_file(config, file)


def _preset_file(preset: str) -> Path:
    file = presets_folder() / f"{preset}.toml"
    if not file.is_file():
        known = sorted(path.stem for path in presets_folder().glob("*.toml"))
        raise InputError(f"there is no preset '{preset}'; there are {', '.join(known)}")
    return file


def _with_file(config: Config, file: Path) -> Config:
    try:
        table = tomllib.loads(file.read_bytes().decode("utf-8-sig"))  # Windows editors put a mark first
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: is not TOML: {error}") from error
    except ValueError as error:
        raise InputError(f"{file}: is not a settings file (a number has thousands of digits)") from error
    except RecursionError as error:
        raise InputError(f"{file}: is not a settings file (nested too deeply)") from error
    return _merge(config, table, file, "")


def _merge(settings: _Settings, table: dict[str, Any], file: Path, section: str) -> _Settings:
    known = {entry.name: getattr(settings, entry.name) for entry in fields(settings)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for name, value in table.items():
        where = f"{file}{f' [{section}]' if section else ''}"
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(known)}"
            raise InputError(f"{where}: there is no setting '{name}'{hint}")
        now = known[name]
        if is_dataclass(now):
            if not isinstance(value, dict):
                raise InputError(f"{where}: '{name}' is a section; write [{name}] and its settings below it")
            changes[name] = _merge(now, value, file, name)
        else:
            changes[name] = _checked(name, value, now, where)
    return replace(settings, **changes)  # type: ignore[type-var]


def _checked(name: str, value: Any, now: Any, where: str) -> Any:
    """The value as the type the setting has, within its range."""
    if type(now) in (int, float) and isinstance(value, int) and abs(value) > MOST:
        # Before it becomes a float, which has no room for hundreds of digits.
        raise InputError(f"{where}: '{name}' must be {'0 or more' if value < 0 else _AT_MOST}")
    if isinstance(now, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(now):
        wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}
        raise InputError(f"{where}: '{name}' must be {wanted[type(now)]}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where}: '{name}' must be a number, got {value}")
    if isinstance(value, float) and value > MOST:
        raise InputError(f"{where}: '{name}' must be {_AT_MOST}, got {value:g}")
    if name in CHOICES and value not in CHOICES[name]:
        raise InputError(f"{where}: '{name}' must be one of {', '.join(CHOICES[name])}, got '{value}'")
    if name in SHARES and not 0 <= value <= 1:
        raise InputError(f"{where}: '{name}' must be from 0 to 1, got {value:g}")
    if name in AT_LEAST_ONE and value < 1:
        raise InputError(f"{where}: '{name}' must be 1 or more, got {value}")
    if name == "short_side" and value and not 32 <= value <= 4096:
        raise InputError(f"{where}: '{name}' must be from 32 to 4096, or 0, got {value}")
    if name in ("input_width", "input_height") and (not 0 <= value <= 1024 or value % 32):
        raise InputError(f"{where}: '{name}' must be a multiple of 32 up to 1024, got {value}")
    if isinstance(value, (int, float)) and value < 0:
        raise InputError(f"{where}: '{name}' must be 0 or more, got {value:g}")
    return value
