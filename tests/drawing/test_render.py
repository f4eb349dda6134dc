"""Overlay videos with the times and the sound of the original, contact sheets, and the render command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import clips
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from fakes import people

from posetrack_app.cli import posetrack
from posetrack_app.core.errors import InputError
from posetrack_app.core.records import Frame, FrameInfo
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.drawing.contact_sheet import write_contact_sheet
from posetrack_app.drawing.draw import Style, draw_poses
from posetrack_app.drawing.overlay import OverlayWriter, render_video
from posetrack_app.formats import TracksWriter, read_tracks
from posetrack_app.jobs.render import render
from posetrack_app.video import open_video
from posetrack_app.video.writer import VideoWriter


def packet_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets: list[Any] = [packet for packet in container.demux(stream) if packet.pts is not None]
        return sorted(float(packet.pts * packet.time_base) for packet in packets)


def test_the_overlay_suits_browsers_and_keeps_the_times(tmp_path: Path) -> None:
    times = [40, 80, 200, 233, 300, 900, 940, 1000]
    seconds = clips.write_clip(tmp_path / "in.mp4", times=times, tone=True)
    with open_video(tmp_path / "in.mp4") as video, OverlayWriter(tmp_path / "o.mp4", video.info) as overlay:
        for frame in video:
            overlay.write(frame, people({1: (20, 20)}))
    assert np.allclose(packet_times(tmp_path / "o.mp4"), seconds, atol=1e-4)
    with av.open(str(tmp_path / "o.mp4")) as out:
        stream: Any = out.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == (160, 112)
        sound: Any = out.streams.audio[0]
        assert sound.codec_context.name == "aac"
        packets = [packet for packet in out.demux(sound) if packet.pts is not None]
        assert len(packets) * 1024 / 44100 == pytest.approx(0.96, abs=0.1)
    content = (tmp_path / "o.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "faststart: the index must come first"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.mp4", "o.mp4"]


def write_sound(path: Path, codec: str, rate: int) -> None:
    """One second: 25 numbered images and a tone, encoded with `codec` at `rate` hertz."""
    container: Any = av.open(str(path), "w")
    with container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 160, 112, "yuv420p"
        audio = container.add_stream(codec, rate=rate, layout="mono")
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(clips.numbered_image(number), "rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        wave = (np.sin(np.arange(rate) * 2205 / rate) * 9000).astype(np.int16)[None]
        samples: Any = av.AudioFrame.from_ndarray(wave, "s16", "mono")
        samples.sample_rate, samples.pts = rate, 0
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))


def write_overlay(video: Path, out: Path, **span: Any) -> None:
    with open_video(video, **span) as source, OverlayWriter(out, source.info) as overlay:
        for frame in source:
            overlay.write(frame, people({}))


def sound_times(path: Path) -> list[float]:
    with av.open(str(path)) as out:
        packets: list[Any] = [packet for packet in out.demux(audio=0) if packet.pts is not None]
        return [float(packet.pts * packet.time_base) for packet in packets]


def test_sound_that_browsers_cannot_play_becomes_aac(tmp_path: Path) -> None:
    write_sound(tmp_path / "in.mov", "pcm_s16le", 22050)
    with open_video(tmp_path / "in.mov") as source, OverlayWriter(tmp_path / "o.mp4", source.info) as overlay:
        for image in source:
            overlay.write(image, people({}))
    with av.open(str(tmp_path / "o.mp4")) as out:
        sound: Any = out.streams.audio[0]
        assert sound.codec_context.name == "aac"
        decoded = np.concatenate([frame.to_ndarray() for frame in out.decode(sound)], axis=1)
    assert decoded.shape[1] / 22050 == pytest.approx(1.0, abs=0.15)
    assert decoded.std() > 0.1


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("192.mkv", "pcm_s16le", 192_000),
        ("6.mkv", "pcm_s16le", 6000),
        ("11.avi", "libmp3lame", 11_025),
        ("22.avi", "libmp3lame", 22_050),
    ],
)
def test_sample_rates_that_the_codec_or_mp4_does_not_support(
    tmp_path: Path, name: str, codec: str, rate: int
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot encode {codec}")
    write_sound(tmp_path / name, codec, rate)
    write_overlay(tmp_path / name, tmp_path / "o.mp4")
    assert len(packet_times(tmp_path / "o.mp4")) == 25
    times = sound_times(tmp_path / "o.mp4")
    assert times[-1] - times[0] == pytest.approx(1.0, abs=0.25)


def test_damaged_sound_is_left_out_and_the_rest_keeps_its_times(tmp_path: Path) -> None:
    write_sound(tmp_path / "in.mkv", "ac3", 48_000)
    write_overlay(tmp_path / "in.mkv", tmp_path / "intact.mp4")
    with av.open(str(tmp_path / "in.mkv")) as source:
        places = [packet.pos for packet in source.demux(audio=0) if packet.size]
    content = bytearray((tmp_path / "in.mkv").read_bytes())
    for place in places[10:14]:
        start = content.index(b"\x0b\x77", place)  # the sync word of AC-3
        content[start : start + 6] = bytes(6)
    (tmp_path / "in.mkv").write_bytes(content)
    write_overlay(tmp_path / "in.mkv", tmp_path / "o.mp4")
    assert len(packet_times(tmp_path / "o.mp4")) == 25
    intact, times = sound_times(tmp_path / "intact.mp4"), sound_times(tmp_path / "o.mp4")
    assert len(times) < len(intact)
    assert times[-1] == pytest.approx(intact[-1], abs=0.03)


def test_sound_whose_times_step_back(tmp_path: Path) -> None:
    """Two recordings joined; the sound of the second one starts again at 0 and is left out."""
    clips.write_clip(tmp_path / "1.ts", times=25, tone=True)
    clips.write_clip(tmp_path / "2.ts", times=list(range(1000, 2000, 40)), tone=True)
    (tmp_path / "in.ts").write_bytes((tmp_path / "1.ts").read_bytes() + (tmp_path / "2.ts").read_bytes())
    write_overlay(tmp_path / "in.ts", tmp_path / "o.mp4")
    assert len(packet_times(tmp_path / "o.mp4")) >= 49  # one frame may be lost between the recordings
    times = sound_times(tmp_path / "o.mp4")
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx(0.98, abs=0.1)


def test_the_overlay_of_joined_recordings_continues(tmp_path: Path) -> None:
    """The times of the frames start again at 0; the sound of the second part is left out, not played too early."""
    clips.write_clip(tmp_path / "1.ts", times=25, tone=True)
    clips.write_clip(tmp_path / "2.ts", times=50, tone=True)
    (tmp_path / "in.ts").write_bytes((tmp_path / "1.ts").read_bytes() + (tmp_path / "2.ts").read_bytes())
    write_overlay(tmp_path / "in.ts", tmp_path / "o.mp4")
    times = np.array(packet_times(tmp_path / "o.mp4"))
    assert len(times) >= 74  # one frame may be lost between the recordings
    assert np.allclose(times, np.round(times * 25) / 25, atol=1e-3)
    assert times[-1] == pytest.approx(74 / 25, abs=1e-3)
    assert sound_times(tmp_path / "o.mp4")[-1] == pytest.approx(0.98, abs=0.1)


def test_an_error_of_the_encoder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=3)

    def refuse(*_: Any) -> None:
        raise av.ArgumentError(22, "Invalid argument")

    monkeypatch.setattr(VideoWriter, "_encode", refuse)
    with pytest.raises(InputError, match=r"o\.mp4: writing failed \(Invalid argument\)"):
        write_overlay(tmp_path / "in.mp4", tmp_path / "o.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]


def test_a_name_with_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg takes the text before the first colon for a protocol."""
    monkeypatch.chdir(tmp_path)
    clips.write_clip(tmp_path / "in.mp4", times=3, tone=True)
    video, out = Path("2024-01-01T12:30:45.mp4"), Path("2024-01-01T12:30:45.o.mp4")
    (tmp_path / "in.mp4").rename(video)
    write_overlay(video, out)
    assert len(packet_times(tmp_path / out)) == 3
    assert sound_times(tmp_path / out)


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("side_by_side", [False, True])
def test_anamorphic_video_keeps_its_shape(tmp_path: Path, rotation: int, side_by_side: bool) -> None:
    """Stored pixels wider than high, as in HDV; rotated with the image, they are higher than wide."""
    clips.write_clip(tmp_path / "in.mp4", times=3, options={"x264-params": "sar=4/3"}, rotation=rotation)
    displayed = Fraction(3, 4) if rotation else Fraction(4, 3)
    style = Style(side_by_side=side_by_side)
    with open_video(tmp_path / "in.mp4") as video:
        assert video.info.pixel_aspect == displayed
        assert (video.info.width, video.info.height) == ((112, 160) if rotation else (160, 112))
        with OverlayWriter(tmp_path / "o.mp4", video.info, style=style) as overlay:
            for frame in video:
                overlay.write(frame, people({}))
    with av.open(str(tmp_path / "o.mp4")) as out:
        assert out.streams.video[0].sample_aspect_ratio == displayed


def test_odd_sizes_are_padded(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=3, size=(161, 113), pixel_format="yuv444p")
    with open_video(tmp_path / "in.mp4") as video, OverlayWriter(tmp_path / "o.mp4", video.info) as overlay:
        for frame in video:
            overlay.write(frame, people({}))
    with open_video(tmp_path / "o.mp4") as video:
        images = [frame.image for frame in video]
    assert images[0].shape == (114, 162, 3)
    assert [clips.read_number(image[:113, :161]) for image in images] == [0, 1, 2]


def test_colours_survive_the_encoding(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=1)
    colour = (200, 40, 90)
    image = np.full((112, 160, 3), colour, np.uint8)
    with open_video(tmp_path / "in.mp4") as video, OverlayWriter(tmp_path / "o.mp4", video.info) as overlay:
        overlay.write(Frame.of(0, 0.0, image), people({}))
    with open_video(tmp_path / "o.mp4") as video:
        back = next(iter(video)).image
    assert np.abs(back.reshape(-1, 3).mean(axis=0) - colour).max() < 6


def write_until_interrupted(path: Path, video: Path) -> None:
    with open_video(video) as source, OverlayWriter(path, source.info) as overlay:
        for frame in source:
            overlay.write(frame, people({}))
            if frame.info.index == 4:
                raise KeyboardInterrupt


def test_after_an_exception_the_partial_video_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=20)
    with pytest.raises(KeyboardInterrupt):
        write_until_interrupted(tmp_path / "o.mp4", tmp_path / "in.mp4")
    assert "o.partial.mp4" in caplog.text
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.mp4", "o.partial.mp4"]
    assert len(packet_times(tmp_path / "o.partial.mp4")) == 5


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second disk: /dev/shm")
def test_the_partial_video_is_beside_a_link_to_another_disk(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=20)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if os.stat(elsewhere).st_dev == os.stat(tmp_path).st_dev:
            pytest.skip("needs a second disk, and /dev/shm is on the same one")
        (tmp_path / "o.mp4").symlink_to(Path(elsewhere) / "real.mp4")
        with pytest.raises(KeyboardInterrupt):
            write_until_interrupted(tmp_path / "o.mp4", tmp_path / "in.mp4")
        assert not list(Path(elsewhere).iterdir())
    assert len(packet_times(tmp_path / "o.partial.mp4")) == 5


def write_tracks(path: Path, indices: range = range(20), **info: Any) -> None:
    with TracksWriter(path, skeleton=POSETRACK, info={"video": info}) as writer:
        for index in indices:
            writer.write(FrameInfo(index, index / 25), people({1: (10 + index, 10), 4: (90, 30)}))


def test_a_person_whose_frame_cannot_be_read_has_an_empty_cell(tmp_path: Path) -> None:
    """The image was damaged after the tracks were made."""
    (tmp_path / "in").mkdir()
    for k in range(3):
        cv2.imwrite(str(tmp_path / "in" / f"{k}.png"), clips.numbered_image(k))
    with TracksWriter(tmp_path / "t.json", skeleton=POSETRACK, info={}) as writer:
        writer.write(FrameInfo(0, 0.0), people({1: (10, 10)}))
        writer.write(FrameInfo(1, 0.04), people({4: (90, 30)}))
    (tmp_path / "in" / "1.png").write_bytes(b"broken")
    command = ["render", "in", "t.json", "--contact-sheet", "sheet.png", "--out", "o.mp4"]
    command = [str(tmp_path / word) if "." in word or word == "in" else word for word in command]
    result = CliRunner().invoke(posetrack, command, catch_exceptions=False)
    assert "2 identities" in result.output
    assert "1 of 2 frames drawn" in result.output
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet[2:242, 2:182].std() > 20
    assert sheet[2:242, 186:366].std() == 0


def test_a_video_without_people_is_drawn_but_has_no_contact_sheet(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=3)
    with TracksWriter(tmp_path / "t.json", skeleton=POSETRACK, info={}) as writer:
        for index in range(3):
            writer.write(FrameInfo(index, index / 25), people({}))
    with pytest.raises(InputError, match="contains none of the chosen people"):
        render(tmp_path / "in.mp4", tmp_path / "t.json", tmp_path / "o.mp4", contact_sheet=tmp_path / "s.png")
    assert len(packet_times(tmp_path / "o.mp4")) == 3


@pytest.mark.parametrize("aspect", [1, 2])
def test_people_on_the_contact_sheet_keep_their_shape(tmp_path: Path, aspect: int) -> None:
    """A box as high as wide in stored pixels; if they are displayed twice as wide, it is half as high in its cell."""
    options = {"x264-params": f"sar={aspect}/1"}
    clips.write_clip(tmp_path / "in.mp4", times=1, options=options, size=(320, 224))
    person = people({1: (80, 56)})
    person.boxes[:] = [40, 16, 120, 96]
    with TracksWriter(tmp_path / "t.json", skeleton=POSETRACK, info={}) as writer:
        writer.write(FrameInfo(0, 0.0), person)
    write_contact_sheet(tmp_path / "in.mp4", read_tracks(tmp_path / "t.json"), tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    red = sheet[2:242, 2:182, 2] > 128
    # The red quarter is 112 stored pixels high; the box is 80 pixels wide and fills 0.8 of the cell width of 180.
    assert red[:, 90].sum() == pytest.approx(112 * 0.8 * 180 / (80 * aspect), abs=4)


def test_the_overlay_of_a_span_starts_at_0(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=20, tone=True)
    write_tracks(tmp_path / "t.json", range(8, 20, 3))
    assert render_video(tmp_path / "in.mp4", read_tracks(tmp_path / "t.json"), tmp_path / "o.mp4") == 4
    assert np.allclose(packet_times(tmp_path / "o.mp4"), [0, 0.12, 0.24, 0.36], atol=1e-4)


@pytest.mark.parametrize(
    ("indices", "info", "message"),
    [
        (range(20), {"width": 640, "height": 480}, "640x480"),
        (range(30), {}, "contains frame 29"),
        (range(0), {}, "no frames"),
    ],
)
def test_tracks_of_another_video_are_refused(
    tmp_path: Path, indices: range, info: dict[str, Any], message: str
) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=20)
    write_tracks(tmp_path / "t.json", indices, **info)
    with pytest.raises(InputError, match=message):
        render_video(tmp_path / "in.mp4", read_tracks(tmp_path / "t.json"), tmp_path / "o.mp4")
    assert not (tmp_path / "o.mp4").exists()


def test_the_command(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=20)
    write_tracks(tmp_path / "t.json")
    files = [str(tmp_path / name) for name in ("in.mp4", "t.json", "o.mp4", "sheet.png")]
    options = ["--out", files[2], "--contact-sheet", files[3], "--trails", "--only-ids", "1,4"]
    result = CliRunner().invoke(posetrack, ["render", *files[:2], *options], catch_exceptions=False)
    assert result.exit_code == 0
    assert "20 frames drawn" in result.output
    assert "2 identities" in result.output
    assert len(packet_times(tmp_path / "o.mp4")) == 20
    sheet = cv2.imread(files[3])
    assert sheet is not None
    assert sheet.shape[1] == 2 * sheet.shape[0] * 184 // 268


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to write"),
        (["--out", "o.avi"], "ends in .mp4"),
        (["--out", "missing/o.mp4"], "does not exist"),
        (["--out", "o.mp4", "--only-ids", "one"], "separated by commas"),
        (["--out", "o.mp4", "--names", "1:Ann"], "such as 1=Ann"),
        (["--contact-sheet", "sheet.jpg"], "ends in .png"),
        (["--contact-sheet", "sheet.jpg", "--out", "o.mp4"], "ends in .png"),
        (["--contact-sheet", "sheet.png", "--only-ids", "1,99"], "no person with id 99"),
        (["--contact-sheet", "sheet.png", "--names", "99=Ann"], "no person with id 99"),
    ],
)
def test_bad_options_are_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=20)
    write_tracks(tmp_path / "t.json")
    result = CliRunner().invoke(
        posetrack,
        ["render", str(tmp_path / "in.mp4"), str(tmp_path / "t.json")]
        + [str(tmp_path / option) if "." in option else option for option in options],
    )
    assert result.exit_code != 0
    assert not (tmp_path / "o.mp4").exists()
    assert message in f"{result.output} {result.exception}"


def test_help_is_fast_to_import() -> None:
    """The command line imports no heavy library before a command runs."""
    heavy = ("torch", "cv2", "av", "decord")
    code = f"import sys, posetrack_app.cli; print([name for name in {heavy} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("blur", [False, True])
def test_side_by_side(tmp_path: Path, blur: bool) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=4)
    write_tracks(tmp_path / "t.json", range(4))
    style = Style(side_by_side=True, blur_faces=blur)
    render_video(tmp_path / "in.mp4", read_tracks(tmp_path / "t.json"), tmp_path / "o.mp4", style)
    with open_video(tmp_path / "in.mp4") as before, open_video(tmp_path / "o.mp4") as after:
        for one, both in zip(before, after, strict=True):
            assert both.info.size == (2 * one.info.size[0], one.info.size[1])
            left, right = np.split(both.image.astype(int), 2, axis=1)
            assert clips.read_number(left.astype(np.uint8)) == one.info.index
            assert np.abs(right - one.image).mean() > 2
            plain = Style(only_ids=frozenset(), blur_faces=blur)
            expected = draw_poses(one.image, people({1: (10 + one.info.index, 10), 4: (90, 30)}), style=plain)
            assert np.abs(left - expected).mean() < 3, "on the left only the faces may differ"


def test_yuv_equals_swscale() -> None:
    from posetrack_app.video.writer import _yuv420

    noise = np.random.default_rng(0).integers(0, 256, (122, 160, 3), np.uint8)
    image = np.asarray(cv2.GaussianBlur(noise, (9, 9), 0), np.uint8)
    image[:40, :40] = 255
    image[:40, 60:100] = 0
    frame: Any = av.VideoFrame.from_ndarray(image, "rgb24")
    expected = frame.reformat(format="yuv420p", dst_colorspace="ITU709").to_ndarray().astype(int)
    assert np.abs(_yuv420(image) - expected)[:122].max() <= 2
    assert np.abs(_yuv420(image) - expected).mean() < 0.5
