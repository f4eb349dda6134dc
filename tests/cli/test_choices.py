"""The lists in core/choices.py, which `--help` shows, are those of the modules that use them."""

from __future__ import annotations

from posetrack_app.core import choices
from posetrack_app.evaluation.posetrack.protocols import PROTOCOLS
from posetrack_app.formats.convert import WRITERS
from posetrack_app.jobs import benchmark
from posetrack_app.models.devices import choose_device


def test_formats() -> None:
    assert set(choices.FORMATS) == set(WRITERS)


def test_protocols() -> None:
    assert set(choices.PROTOCOLS) == set(PROTOCOLS)


def test_data_sets() -> None:
    assert set(choices.DATASETS) == set(benchmark.LAYOUTS) == set(benchmark.PROTOCOLS)


def test_devices() -> None:
    assert choose_device("auto") in choices.DEVICES
