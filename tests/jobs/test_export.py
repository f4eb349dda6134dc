"""`posetrack export`: the job behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetrack_app.core.errors import InputError
from posetrack_app.jobs.export import export_network


def test_a_pose_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs posetrack-app[export]")
    monkeypatch.chdir(tmp_path)
    report = export_network("embedded-pose")
    assert report.out == Path("embedded-pose.onnx")
    assert report.out.is_file()
    assert report.summary().splitlines() == [
        "embedded-pose.onnx: RGB crops 160x192 (width x height), 19 heatmaps", report.comparison
    ]  # fmt: skip
    assert report.comparison.startswith("largest difference from PyTorch: ")
    with pytest.raises(InputError, match=r"embedded-pose\.onnx already exists") as refusal:
        export_network("embedded-pose")
    assert refusal.value.option == "force"


@pytest.mark.parametrize("name", ["hrnet-w33", "htc-w18-20e"])
def test_networks_that_cannot_be_built(name: str) -> None:
    with pytest.raises(InputError, match=name):
        export_network(name)
