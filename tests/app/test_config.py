"""Settings: the explained file equals the defaults, presets load, wrong files are refused in the user's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetrack_app.config import Config, load_config, presets_folder
from posetrack_app.errors import InputError

PRESETS = sorted(path.stem for path in presets_folder().glob("*.toml"))


def test_default_file_equals_the_defaults() -> None:
    assert load_config("default") == Config()


def test_default_file_names_every_setting() -> None:
    text = (presets_folder() / "default.toml").read_text()
    for section, settings in Config().as_dict().items():
        names = settings if isinstance(settings, dict) else {section: settings}
        for name in names:
            assert f"\n{name} = " in text, name


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_load(preset: str) -> None:
    assert isinstance(load_config(preset), Config)


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[tracker]\npatience_seconds = 4\n")
    config = load_config("default", file)
    assert config.tracker.patience_seconds == 4.0
    assert config.detector == Config().detector


def test_windows_editors_put_a_mark_first(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[detector]\nbatch = 4\n", encoding="utf-8-sig")
    assert load_config("default", file).detector.batch == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[tracker]\nmin_similarty = 0.2",
            r"mine.toml \[tracker\]: .*'min_similarty'; did you mean 'min_similarity'",
        ),
        ("[detektor]\n", "did you mean 'detector'"),
        ("detector = 3", "is a section"),
        ("[detector]\nmin_score = '0.3'", "'min_score' must be a number, got '0.3'"),
        ("[detector]\nmin_score = 3", "'min_score' must be from 0 to 1, got 3"),
        ("[detector]\nbatch = 0", "'batch' must be 1 or more"),
        ("[detector]\nbatch = true", "'batch' must be a whole number"),
        ("[detector]\nshort_side = 8", "'short_side' must be from 32 to 4096, or 0, got 8"),
        ("[pose]\ninput_width = 100", "'input_width' must be a multiple of 32"),
        ("[tracker]\nmatching = 'best'", "must be one of hungarian, greedy"),
        ("[tracker]\npatience_seconds = -1", "must be 0 or more"),
        ("precision = 'half'", "must be one of auto, float32, bfloat16, int8"),
        ("[tracker]\nbox_weight = nan", "'box_weight' must be a number, got nan"),
        ("[smoothing]\nbeta = 1e308", "'beta' must be 1,000,000 at most"),
        ("[smoothing]\nbeta = inf", "'beta' must be a number, got inf"),
        ("[smoothing]\nbeta = " + "9" * 400, "'beta' must be 1,000,000 at most"),
        ("[smoothing]\nbeta = -" + "9" * 400, "'beta' must be 0 or more"),
        ("[detector]\nbatch = 1000001", "'batch' must be 1,000,000 at most"),
        ("[pose]\ninput_width = 32_000_000", "'input_width' must be 1,000,000 at most"),
        ("[detector]\nbatch = " + "9" * 5000, "a number has thousands of digits"),
        ("batch = " + "[" * 100_000, "nested too deeply"),
        ("= 3", "is not TOML"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        load_config("default", file)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(InputError, match=r"there is no preset 'fast'; there are accurate, default"):
        load_config("fast")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.toml: cannot be read"):
        load_config("default", tmp_path / "none.toml")
