"""What comes out of a video file: which frames, when, which way up, and what is said of those lost."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import clips
import cv2
import numpy as np
import pytest

from posetrack_app.errors import InputError
from posetrack_app.video import VideoInfo, decord_frames, open_video, pyav_frames
from posetrack_app.video.probe import open_stream
from posetrack_app.video.restarts import find_restarts
from posetrack_app.video.writer import VideoWriter

UNEVEN = [86, 153, 209, 243, 300, 301, 450, 470, 480, 1100, 1133, 1166, 1200, 1290, 1300]
"""Milliseconds; a phone's frame times, with a late start and a freeze."""


def read(path: Path, **span: Any) -> tuple[VideoInfo, list[tuple[int, float, int]], list[str]]:
    """(info, [(index, seconds, number drawn in the picture)], losses)."""
    with open_video(path, **span) as video:
        frames = [(frame.index, frame.seconds, clips.read_number(frame.image)) for frame in video]
        return video.info, frames, video.losses


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "avi", "ts"])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_every_frame_once_at_its_time(tmp_path: Path, ending: str, codec: str) -> None:
    """B-frames and all: frame k shows picture k at k / 25 s, whoever decodes."""
    path = tmp_path / f"clip.{ending}"
    base = clips.Fraction(1, 25)
    bidirectional = {"bf": "0"} if ending == "avi" else {"bf": "2", "g": "7"}
    seconds = clips.write_clip(path, times=30, codec=codec, options=bidirectional, time_base=base)
    info, frames, losses = read(path)
    assert [number for _, _, number in frames] == list(range(30))
    assert [index for index, _, _ in frames] == list(range(30))
    assert np.allclose([time for _, time, _ in frames], seconds, atol=1e-3)
    assert (info.width, info.height, info.rotation, info.frame_count) == (160, 112, 0, 30)
    assert info.frame_rate == pytest.approx(25, rel=1e-3)
    assert info.seconds == pytest.approx(1.2, abs=0.05)
    assert losses == []
    if ending != "avi":  # its packets have no times
        assert info.decoder.startswith("decord")


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_uneven_frame_times_are_true(tmp_path: Path, ending: str) -> None:
    seconds = clips.write_clip(tmp_path / f"clip.{ending}", times=UNEVEN)
    info, frames, _ = read(tmp_path / f"clip.{ending}")
    assert np.allclose([time for _, time, _ in frames], seconds, atol=1e-3)
    assert [number for _, _, number in frames] == list(range(len(UNEVEN)))
    assert info.start_seconds == pytest.approx(0.086, abs=1e-3)


@pytest.mark.parametrize("size", [(160, 112), (96, 96)], ids=["ordinary", "narrow: decord mistakes the rows"])
@pytest.mark.parametrize(("counter_clockwise", "clockwise"), [(0, 0), (90, 270), (180, 180), (270, 90)])
def test_pictures_stand_upright(
    tmp_path: Path, size: tuple[int, int], counter_clockwise: int, clockwise: int
) -> None:
    """The stored picture's red corner is top left; the display matrix says where it goes."""
    clips.write_clip(tmp_path / "clip.mp4", times=5, rotation=counter_clockwise, size=size)
    with open_video(tmp_path / "clip.mp4") as video:
        images = [frame.image for frame in video]
        assert video.info.rotation == clockwise
        assert video.info.decoder.startswith("decord") or size == (96, 96)
        assert images[0].shape == (video.info.height, video.info.width, 3)
        assert (video.info.width, video.info.height) == (size if clockwise % 180 == 0 else size[::-1])
    for number, image in enumerate(images):
        upright = np.rot90(image, clockwise // 90)
        assert image.flags.c_contiguous
        assert clips.read_number(upright) == number
        assert upright[4, 4, 0] > 200
        assert upright[4, 4, 2] < 60


def test_a_mirrored_picture_is_mirrored_back(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=3, mirrored=True)
    with open_video(tmp_path / "clip.mp4") as video:
        images = [frame.image for frame in video]
        assert "PyAV" in video.info.decoder
        assert video.info.rotation == 0
    assert [clips.read_number(image[:, ::-1]) for image in images] == [0, 1, 2]


@pytest.mark.parametrize(
    ("span", "indices"),
    [
        ({"start": 0.4}, range(10, 60)),
        ({"stop": 0.4}, range(10)),
        ({"start": 0.41, "stop": 1.0}, range(11, 25)),
        ({"stride": 7}, range(0, 60, 7)),
        ({"start": 1.0, "stop": 2.0, "stride": 3}, range(25, 50, 3)),
    ],
)
@pytest.mark.parametrize("ending", ["mp4", "ts"])
def test_a_span_keeps_the_indices_of_the_whole_video(
    tmp_path: Path, ending: str, span: dict[str, Any], indices: range
) -> None:
    clips.write_clip(tmp_path / f"clip.{ending}", times=60, options={"g": "9", "bf": "2"})
    with open_video(tmp_path / f"clip.{ending}", **span) as video:
        assert video.expected == len(indices)
        frames = [(frame.index, round(frame.seconds, 3), clips.read_number(frame.image)) for frame in video]
    assert frames == [(index, round(index / 25, 3), index) for index in indices]


@pytest.mark.parametrize("pixel_format", ["gray", "yuv444p", "yuv420p10le"])
def test_unusual_pixels_come_as_rgb(tmp_path: Path, pixel_format: str) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=4, pixel_format=pixel_format)
    _, frames, _ = read(tmp_path / "clip.mp4")
    assert [number for _, _, number in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("codec", "ending", "pixel_format"),
    [
        ("libx265", "mp4", "yuv420p"),
        ("libx265", "mp4", "yuv420p10le"),
        ("libvpx-vp9", "webm", "yuva420p"),
        ("libsvtav1", "mp4", "yuv420p"),
        ("prores_ks", "mov", "yuva444p10le"),
        ("png", "mov", "rgba"),
    ],
)
def test_other_codecs_and_alpha(tmp_path: Path, codec: str, ending: str, pixel_format: str) -> None:
    import av

    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot encode {codec}")
    path = tmp_path / f"clip.{ending}"
    clips.write_clip(path, times=8, codec=codec, pixel_format=pixel_format)
    _, frames, losses = read(path)
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(8)]
    assert losses == []


def test_odd_sizes(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=4, size=(97, 65), pixel_format="yuv444p")
    info, frames, _ = read(tmp_path / "clip.mp4")
    assert (info.width, info.height) == (97, 65)
    assert [number for _, _, number in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize("ending", ["mkv", "ts", "mp4"])
def test_a_cut_off_file_gives_what_is_there_and_says_so(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"clip.{ending}"
    clips.write_clip(path, times=100, options={"g": "10", "bf": "2"})
    if ending == "mp4":
        _put_index_first(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    _, frames, losses = read(path)
    assert 30 < len(frames) < 90
    # The last picture before the cut may be half; every other is the one of its index and time.
    assert all(index == number for index, _, number in frames[:-4])
    assert np.allclose([time for _, time, _ in frames[:-4]], np.arange(len(frames) - 4) / 25, atol=1e-3)
    if ending != "ts":  # a transport stream has no length that it could fall short of
        assert any("cut off" in loss for loss in losses)


def test_pictures_that_start_late_are_not_cut_off(tmp_path: Path) -> None:
    """Matroska counts a stream's length from the file's start: that the sound began first is no loss."""
    import av

    container: Any = av.open(str(tmp_path / "late.mkv"), "w")
    with container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 160, 112, "yuv420p"
        audio = container.add_stream("aac", rate=44100, layout="mono")
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(clips.numbered_image(number), "rgb24")
            frame.pts, frame.time_base = 75 + number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        clips.write_tone(container, audio, 5.0)
    _, frames, losses = read(tmp_path / "late.mkv")
    assert [number for *_, number in frames] == list(range(50))
    assert losses == []


def test_pictures_that_change_their_size_come_in_the_first(tmp_path: Path) -> None:
    """As some broadcasts and calls do; decord would go on in pixels of the new size."""
    parts = []
    for first, size in ((0, (160, 112)), (100, (320, 224))):
        path = tmp_path / f"{first}.ts"
        times = [40 * (first + k) for k in range(100)]
        clips.write_clip(path, times=times, options={"g": "10", "bf": "0"}, size=size)
        parts.append(path.read_bytes())
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    with open_video(tmp_path / "both.ts") as video:
        frames = [(frame.index, clips.read_number(frame.image), frame.image.shape) for frame in video]
        assert video.info.decoder.startswith("decord")
        assert "another size" in video.info.decoder
    assert frames == [(k, k % 100, (112, 160, 3)) for k in range(200)]
    assert video.losses == []


def _put_index_first(path: Path) -> None:
    """Copy the streams with the index (moov) at the file's start, so that a cut leaves it readable."""
    import av

    whole = path.with_name("whole.mp4")
    path.rename(whole)
    source: Any = av.open(str(whole))
    target: Any = av.open(str(path), "w", options={"movflags": "faststart"})
    with source, target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)


def test_damage_in_the_middle_is_a_gap_not_a_shift(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    clips.write_clip(path, times=100, options={"g": "10", "bf": "2"})
    content = bytearray(path.read_bytes())
    middle = content.index(b"mdat") + (len(content) - content.index(b"mdat")) * 4 // 10
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    info, frames, losses = read(path)
    missing = sorted(set(range(100)) - {index for index, _, _ in frames})
    assert missing
    assert any("could not be decoded" in loss and str(missing[0]) in loss for loss in losses)
    assert "PyAV" in info.decoder
    # Pictures up to the next key frame may be smeared; the rest are those of their index.
    sound = [(index, number) for index, _, number in frames if not missing[0] - 10 < index < missing[-1] + 11]
    assert len(sound) > 60
    assert all(index == number for index, number in sound)


def test_pyav_goes_on_where_decord_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever decord raises, and its error of doubled frames is no kind of its other one."""
    import decord

    clips.write_clip(tmp_path / "clip.mp4", times=20)
    for error in (decord.DECORDError, decord.DECORDLimitReachedError):
        grab = decord.VideoReader.next
        grabbed = iter(range(20))

        def give_up(reader: Any, grab: Any = grab, grabbed: Any = grabbed, error: Any = error) -> Any:
            if next(grabbed) == 7:
                raise error("gives up")
            return grab(reader)

        with monkeypatch.context() as patched:
            patched.setattr(decord.VideoReader, "next", give_up)
            info, frames, losses = read(tmp_path / "clip.mp4")
        assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(20)]
        assert "PyAV" in info.decoder
        assert not losses


def test_a_damaged_picture_that_ffmpeg_completes_is_said(tmp_path: Path) -> None:
    """Bytes inside one packet: every frame comes, and some show what never was."""
    import av

    path = tmp_path / "clip.avi"
    clips.write_clip(path, times=40, options={"g": "10", "bf": "0"}, size=(640, 448))
    with av.open(str(path)) as video:
        packet = [packet for packet in video.demux(video=0) if packet.size][20]
    content = bytearray(path.read_bytes())
    for place in range(packet.size // 3, packet.size // 3 + 12):
        content[packet.pos + 8 + place] ^= 0x5A
    path.write_bytes(content)
    _, frames, losses = read(path)
    assert [index for index, _, _ in frames] == list(range(40))
    assert all(index == number for index, _, number in frames if not 20 <= index < 30)
    assert losses == ["frame 20 is damaged: FFmpeg made up parts, which may show up to the next key frame"]


def test_messages_that_somebody_turned_on_are_off_while_threads_decode(tmp_path: Path) -> None:
    """torchvision up to 0.25 does; PyAV's decoder threads then wait for the interpreter, now and then for ever."""
    path = tmp_path / "clip.mp4"
    clips.write_clip(path, times=3)
    for setting in (av.logging.ERROR, None):
        av.logging.set_level(setting)
        with open_video(path):
            assert av.logging.get_level() is None
    info = read(path)[0]
    av.logging.set_level(av.logging.ERROR)
    with VideoWriter(tmp_path / "out.mp4", info) as overlay:
        assert av.logging.get_level() is None
        overlay.write(0.0, clips.numbered_image(1))


def test_a_file_that_allows_no_seeking_is_read_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg says so of some damaged files, and only when asked."""
    import av

    class Stuck:
        def __init__(self, container: Any) -> None:
            self.demux = container.demux

        def seek(self, *_: Any, **__: Any) -> None:
            raise av.error.PermissionError(1, "Operation not permitted")

    @contextmanager
    def open_stuck(path: Path) -> Iterator[Any]:
        with open_stream(path) as (container, stream):
            yield Stuck(container), stream

    monkeypatch.setattr(pyav_frames, "open_stream", open_stuck)
    monkeypatch.setattr(decord_frames, "open_stream", open_stuck)
    clips.write_clip(tmp_path / "clip.mkv", times=30, options={"g": "10"})
    info, frames, losses = read(tmp_path / "clip.mkv", start=0.6)
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(15, 30)]
    assert "PyAV" in info.decoder
    assert losses == []


def test_what_an_edit_list_hides_stays_hidden(tmp_path: Path) -> None:
    """A trimmed phone video: packets from the key frame before the cut are there but never shown."""
    import av

    clips.write_clip(tmp_path / "whole.mp4", times=60, options={"g": "30", "bf": "2"})
    source: Any = av.open(str(tmp_path / "whole.mp4"))
    target: Any = av.open(str(tmp_path / "cut.mp4"), "w")
    with source, target:
        stream = target.add_stream_from_template(source.streams.video[0])
        shift = round(0.4 / source.streams.video[0].time_base)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = stream
                target.mux(packet)
    _, frames, losses = read(tmp_path / "cut.mp4")
    assert [number for _, _, number in frames] == list(range(frames[0][2], 60))
    assert [index for index, _, _ in frames] == list(range(len(frames)))
    assert frames[0][1] == 0.0
    assert frames[0][2] > 0, "FFmpeg wrote no edit list: this test would test nothing"
    assert losses == []


@pytest.mark.parametrize(
    ("ending", "parts"),
    [("ts", (0, 0)), ("ts", (500, 0)), ("ts", (500, 300, 0)), ("mpg", (0, 0, 0)), ("mpg", (500, 0))],
    ids=["repeated", "FFmpeg sees the clock run over", "twice", "DVD", "DVD, clock run over"],
)
def test_times_that_start_over_go_on(tmp_path: Path, ending: str, parts: tuple[int, ...]) -> None:
    """Recordings joined end to end: each part follows the last one, a frame after it, in every count of time."""
    for begin in set(parts):
        clips.write_clip(
            tmp_path / f"{begin}.{ending}",
            times=list(range(25 * begin, 25 * begin + 40)),
            time_base=clips.Fraction(1, 25),
            codec="libx264" if ending == "ts" else "mpeg2video",
            options={"bf": "2", "g": "10"},
        )
    path = tmp_path / f"joined.{ending}"
    path.write_bytes(b"".join((tmp_path / f"{begin}.{ending}").read_bytes() for begin in parts))
    info, frames, losses = read(path)
    count = 40 * len(parts)
    assert [(index, number) for index, _, number in frames] == [(k, k % 40) for k in range(count)]
    assert np.allclose([seconds for _, seconds, _ in frames], np.arange(count) / 25, atol=1e-3)
    assert (info.frame_count, info.frame_rate) == (count, pytest.approx(25))
    assert info.seconds == pytest.approx(count / 25, abs=0.05)
    assert "times start over" in losses[0]
    assert "cut off" not in " ".join(losses)
    assert read(path, start=1.0, stop=2.0, stride=3)[1] == frames[25:50:3]


def test_one_wrong_time_is_no_new_start() -> None:
    stamps: list[tuple[int | None, int | None]] = [(3600 * k, 3600 * k + 7200) for k in range(100)]
    stamps[60] = (5000, 5000)
    assert find_restarts(stamps, 3600) == ()
    stamps[60] = (None, None)
    assert find_restarts(stamps, 3600) == ()


BAD = {
    "text.mp4": (b"this is no video\n" * 100, "not a video"),
    "text.txt": (b"this is no video\n" * 100, "not a video"),
    "noise.mp4": (bytes(range(256)) * 40, "not a video"),
    "empty.mp4": (b"", "empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_video(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        open_video(tmp_path / name)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_video(tmp_path / "none.mp4")


def test_a_name_with_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg takes what stands before a first colon for a protocol."""
    clips.write_clip(tmp_path / "clip.mp4", times=3)
    (tmp_path / "clip.mp4").rename(tmp_path / "12:30:45.mp4")
    monkeypatch.chdir(tmp_path)
    _, frames, _ = read(Path("12:30:45.mp4"))
    assert [number for *_, number in frames] == [0, 1, 2]


def test_audio_only(tmp_path: Path) -> None:
    import av

    container: Any = av.open(str(tmp_path / "song.m4a"), "w")
    with container:
        clips.write_tone(container, container.add_stream("aac", rate=44100, layout="mono"), 0.5)
    with pytest.raises(InputError, match=r"no video stream.*audio only"):
        open_video(tmp_path / "song.m4a")


def test_no_frames(tmp_path: Path) -> None:
    import av

    container: Any = av.open(str(tmp_path / "clip.mkv"), "w")
    with container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        clips.write_tone(container, container.add_stream("aac", rate=44100, layout="mono"), 0.5)
    with pytest.raises(InputError, match="no frames"):
        open_video(tmp_path / "clip.mkv")


def test_a_span_without_frames(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=10)
    with pytest.raises(InputError, match=r"no frame in 5 to inf s; the video ends at 0\.36 s"):
        open_video(tmp_path / "clip.mp4", start=5)
    with pytest.raises(InputError, match="--start must be a number of seconds, got nan"):
        open_video(tmp_path / "clip.mp4", start=float("nan"))
    with pytest.raises(InputError, match="--stop must be later"):
        open_video(tmp_path / "clip.mp4", start=5, stop=4)
    with pytest.raises(InputError, match="--stride"):
        open_video(tmp_path / "clip.mp4", stride=0)


def test_a_folder_of_images_in_natural_order(tmp_path: Path) -> None:
    for number in (0, 1, 2, 10, 11):
        image = clips.numbered_image(number)
        cv2.imwrite(str(tmp_path / f"img{number}.png"), image[..., ::-1])
    (tmp_path / "notes.txt").write_text("no image")
    info, frames, losses = read(tmp_path, folder_rate=10.0)
    assert frames == [(0, 0.0, 0), (1, 0.1, 1), (2, 0.2, 2), (3, 0.3, 10), (4, 0.4, 11)]
    assert info.frame_rate == 10
    assert losses == []


def test_hidden_files_in_a_folder_of_images_are_none(tmp_path: Path) -> None:
    """macOS writes a `._` file beside each picture on disks that are not its own."""
    cv2.imwrite(str(tmp_path / "img0.png"), clips.numbered_image(0)[..., ::-1])
    (tmp_path / "._img0.png").write_bytes(b"\0\5\26\7")
    _, frames, losses = read(tmp_path)
    assert [(index, number) for index, _, number in frames] == [(0, 0)]
    assert losses == []


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:  # root may read any folder
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match="no permission to read this folder"):
        open_video(tmp_path)


def test_a_bad_image_is_a_gap(tmp_path: Path) -> None:
    for number in range(4):
        size = (96, 64) if number != 2 else (64, 96)
        cv2.imwrite(str(tmp_path / f"{number}.png"), clips.numbered_image(number, *size)[..., ::-1])
    (tmp_path / "1.png").write_bytes(b"no image")
    _, frames, losses = read(tmp_path)
    assert [(index, number) for index, _, number in frames] == [(0, 0), (3, 3)]
    assert "1.png" in losses[0]
    assert "64x96" in losses[1]


def test_an_image_that_cannot_be_opened_is_a_gap(tmp_path: Path) -> None:
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), clips.numbered_image(number)[..., ::-1])
    with open_video(tmp_path) as video:
        for name in ("1.png", "3.png"):
            (tmp_path / name).unlink()
        (tmp_path / "3.png").mkdir()  # refused to everybody; root may read any file
        assert [frame.index for frame in video] == [0, 2, 4]
    assert video.losses == [f"frame {index} ({index}.png) could not be read" for index in (1, 3)]
    assert video.missing == [(1, 1), (3, 3)]


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images"):
        open_video(tmp_path)
    (tmp_path / "1.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        open_video(tmp_path)


def test_without_a_gpu_decoder_the_cpu_reads_and_says_so(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=10)
    info, frames, _ = read(tmp_path / "clip.mp4", device="cuda")
    assert [number for _, _, number in frames] == list(range(10))
    assert "GPU" in info.decoder


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("ending", "codec", "decoder"), [("mp4", "mpeg4", "decord"), ("avi", "libx264", "PyAV")]
)
def test_a_slow_reader_holds_no_pile_of_frames(tmp_path: Path, ending: str, codec: str, decoder: str) -> None:
    """700 pictures of 270 KiB are 185 MiB: decord by itself decodes them all while its caller takes a rest."""
    clips.write_clip(tmp_path / f"clip.{ending}", times=700, codec=codec, size=(360, 256))
    gc.collect()
    gc.disable()  # frames are to go by themselves, not when the collector comes round
    try:
        with open_video(tmp_path / f"clip.{ending}") as video:
            assert video.info.decoder.startswith(decoder)
            for frame in video:
                if frame.index == 0:
                    early = _resident_mib()
                if frame.index < 50:
                    time.sleep(0.02)
                if frame.index == 50:
                    assert _resident_mib() - early < 80
        assert _resident_mib() - early < 80
    finally:
        gc.enable()


@pytest.mark.data
def test_the_real_clips(shared: Path) -> None:
    counts = {"soccer_5frames.mp4": 5, "street_5frames.mp4": 5, "street_8frames.mp4": 8}
    for name, count in counts.items():
        with open_video(shared / "data" / "video" / name) as video:
            assert len(list(video)) == count
            assert video.info.decoder.startswith("decord")
            assert video.losses == []
