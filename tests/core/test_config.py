"""Settings: default.toml equals the defaults, presets load, and a wrong file ends in one line that says what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetrack_app.core.config import Config, load_config, presets_folder, settings_for
from posetrack_app.core.errors import InputError

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


def test_a_config_replaces_the_preset_and_a_file_changes_it(tmp_path: Path) -> None:
    config, file = Config(precision="float32"), tmp_path / "mine.toml"
    file.write_text("precision = 'bfloat16'\n")
    assert settings_for("no such preset", config) is config
    assert settings_for("default", None) == Config()
    assert settings_for("default", str(file)) == Config(precision="bfloat16")


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[detector]\nbatch = 4\n", encoding="utf-8-sig")
    assert load_config("default", file).detector.batch == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tracker]\nmin_similarty = 0.2", r"mine.toml \[tracker\]: .*'min_similarty'; did you mean 'min_similarity'"),
        ("[detektor]\n", "did you mean 'detector'"),
        ("[duplicates]\nxyz = 1", "unknown setting 'xyz'; known settings are box_overlap, max_similarity"),
        ("detector = 3", r"'detector' is a section; write \[detector\]"),
        ("precision = 'half'", "must be one of auto, float32, bfloat16, int8, got 'half'"),
        ("[tracker]\nmatching = 'best'", "must be one of hungarian, greedy"),
        ("[second_pass]\nsmoothing = 'mean'", "must be one of butterworth, savgol, kalman, none"),
        ("[tracker]\nmethod = 3", "'method' must be text in quotes, got 3"),
        ("[pose]\nflip_test = 1", "'flip_test' must be true or false, got 1"),
        ("[detector]\nmin_score = '0.3'", "'min_score' must be a number, got '0.3'"),
        ("[detector]\nmin_score = true", "'min_score' must be a number, got True"),
        ("[detector]\nbatch = true", "'batch' must be a whole number"),
        ("[detector]\nbatch = 1.0", "'batch' must be a whole number, got 1"),
        ("[tracker]\nbox_weight = nan", "'box_weight' must be a finite number, got nan"),
        ("[smoothing]\nbeta = inf", "'beta' must be a finite number, got inf"),
        ("= 3", "is not a valid TOML file: Invalid statement"),
        ("a = '\udcff'", "is not a valid TOML file: .*can't decode byte"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(tmp_path: Path, text: str, message: str) -> None:
    assert_refused(tmp_path, text, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[detector]\nmin_score = 3", "'min_score' must be from 0 to 1, got 3"),
        ("[detector]\nmin_score = -0.1", "'min_score' must be from 0 to 1, got -0.1"),
        ("[detector]\nbatch = 0", "'batch' must be from 1 to 1,000,000, got 0"),
        ("[detector]\nbatch = 1000001", "'batch' must be from 1 to 1,000,000, got 1000001"),
        ("[detector]\nshort_side = 8", "'short_side' must be from 32 to 4096, or 0, got 8"),
        ("[detector]\nshort_side = 4097", "'short_side' must be from 32 to 4096, or 0, got 4097"),
        ("[pose]\ninput_width = 100", "'input_width' must be a multiple of 32, got 100"),
        ("[pose]\ninput_height = 2048", "'input_height' must be from 0 to 1024, got 2048"),
        ("[pose]\ninput_width = 32_000_000", "'input_width' must be from 0 to 1024"),
        ("[tracker]\npatience_seconds = -1", "'patience_seconds' must be from 0 to 1,000,000, got -1"),
        ("[propagation]\ndetect_every = 0", "'detect_every' must be from 1 to 1,000,000"),
        ("[flow_tracker]\nmin_similarity = 1.5", "'min_similarity' must be from 0 to 1"),
    ],
)
def test_the_range_of_a_setting_is_named(tmp_path: Path, text: str, message: str) -> None:
    assert_refused(tmp_path, text, message)


def test_the_ends_of_a_range_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        "[detector]\nshort_side = 0\nmin_score = 0\n[pose]\ninput_width = 1024\n[tracker]\nlow_score = 1\n"
    )
    config = load_config("default", tmp_path / "mine.toml")
    assert (config.detector.short_side, config.detector.min_score) == (0, 0.0)
    assert (config.pose.input_width, config.tracker.low_score) == (1024, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[smoothing]\nbeta = 1e308", r"'beta' must be from 0 to 1,000,000, got 1e\+308"),
        ("[smoothing]\nbeta = " + "9" * 400, r"'beta' must be from 0 to 1,000,000, got 9{40}$"),
        ("[smoothing]\nbeta = -" + "9" * 400, "'beta' must be from 0 to 1,000,000, got -9{39}$"),
        ("[detector]\nbatch = " + "9" * 5000, r"is not a valid TOML file: Exceeds the limit \(4300 digits\)"),
        ("batch = " + "[" * 100_000, "is not a valid TOML file: .*recursion"),
    ],
    ids=["float", "digits", "negative digits", "too many digits", "nesting"],
)
def test_huge_numbers_and_nesting_are_refused(tmp_path: Path, text: str, message: str) -> None:
    assert_refused(tmp_path, text, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tracker]\nconfident = 0.9", r"\[tracker\]: 'confident' is now called 'high_score'"),
        ("[tracker]\nweak = 0.3", r"\[tracker\]: 'weak' is now called 'low_score'"),
        ("[tracker]\nmin_weak_similarity = 0.3", "is now called 'min_low_score_similarity'"),
        ("[propagation]\nenabled = true", r"\[propagation\]: 'enabled' is gone; set 'max_seconds' above 0"),
    ],
)
def test_settings_of_version_0_1_name_their_successor(tmp_path: Path, text: str, message: str) -> None:
    assert_refused(tmp_path, text, message)


def assert_refused(folder: Path, text: str, message: str) -> None:
    file = folder / "mine.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message) as caught:
        load_config("default", file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(
        InputError, match=r"unknown preset 'fast'; choose one of accurate, default, .*posetrack18"
    ):
        load_config("fast")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: no such file"):
        load_config("default", tmp_path / "none.toml")
