"""What a command prints may get lost; what it wrote is there, and the exit code says how the work went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_tracks import make_tracks

from posetrack_app.cli import main, posetrack
from posetrack_app.core.errors import InputError, is_out_of_memory, memory_message

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
COMMAND = f"{sys.executable} -m posetrack_app"


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("redirect", "environment", "printed"),
    [
        ("", {"PYTHONIOENCODING": "cp1252"}, "\\\\u5f20.csv: 4 frames"),
        ("2>&-", {}, "张.csv: 4 frames"),
        (">&- 2>&- <&-", {}, ""),
        (">/dev/full", {}, ""),
        (">/dev/full 2>/dev/full", {}, ""),
        ("| true; exit ${PIPESTATUS[0]}", {}, ""),
    ],
)  # fmt: skip
def test_finished_work_is_a_success(
    redirect: str, environment: dict[str, str], printed: str, tmp_path: Path
) -> None:
    make_tracks(tmp_path / "t.json")
    ended = shell(f"{COMMAND} convert t.json --to csv --out 张.csv {redirect}", tmp_path, **environment)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(printed.replace("\\\\", "\\"))
    assert "Traceback" not in ended.stderr
    assert len((tmp_path / "张.csv").read_text().splitlines()) == 7
    if redirect == ">/dev/full":
        assert ended.stderr == "posetrack: standard output cannot be written (No space left on device)\n"


def test_a_result_that_is_only_printed_must_be_printed(tmp_path: Path) -> None:
    ended = shell(f"{COMMAND} weights list >/dev/full", tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == "posetrack: standard output cannot be written (No space left on device)\n"
    assert shell(f"{COMMAND} weights list | true; exit ${{PIPESTATUS[0]}}", tmp_path).returncode == 0


def test_names_with_line_breaks_are_printed_on_one_line(tmp_path: Path) -> None:
    make_tracks(tmp_path / "t.json")
    out = tmp_path / "a\nb\x1b.csv"
    result = CliRunner().invoke(
        posetrack, ["convert", str(tmp_path / "t.json"), "--to", "csv", "--out", str(out)]
    )
    assert result.exit_code == 0
    assert result.output.startswith(f"{tmp_path}/a\\nb\\x1b.csv: 4 frames")
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_closed_terminal_is_as_ctrl_c_except_under_nohup(
    before: signal.Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = signal.getsignal(signal.SIGTERM), signal.signal(signal.SIGHUP, before)
    monkeypatch.setattr(posetrack, "main", lambda **_: os.kill(os.getpid(), signal.SIGHUP))
    try:
        if before == signal.SIG_IGN:
            main()
        else:
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == 130
    finally:
        signal.signal(signal.SIGTERM, kept[0])
        signal.signal(signal.SIGHUP, kept[1])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("std::bad_alloc"),
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
        RuntimeError("can't start new thread"),
    ],
)
def test_too_little_memory_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(**_: object) -> None:
        try:
            raise error
        except type(error) as cause:
            raise ValueError("something else") from cause

    monkeypatch.setattr(posetrack, "main", command)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed == f"posetrack: {memory_message(ValueError('something else'))}\n"
    assert memory_message(MemoryError()).startswith("out of memory (MemoryError); ")
    assert not is_out_of_memory(InputError("no memory card"))
