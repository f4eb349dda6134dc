"""`posetrack render`: people drawn on a video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import StrPath
from posetrack_app.drawing.contact_sheet import check_sheet, write_contact_sheet
from posetrack_app.drawing.draw import Style
from posetrack_app.drawing.overlay import render_video
from posetrack_app.drawing.switches import check_switches, write_switches
from posetrack_app.formats import Tracks
from posetrack_app.jobs.convert import as_tracks
from posetrack_app.jobs.outputs import check_drawings
from posetrack_app.video.writer import partial_video


def render(
    video: StrPath,
    tracks: StrPath | Tracks,
    out: StrPath | None = None,
    *,
    contact_sheet: StrPath | None = None,
    possible_id_switches: StrPath | None = None,
    clip: bool = False,
    trails: bool = False,
    only_ids: Iterable[int] | None = None,
    blur_faces: bool = False,
    names: Mapping[int, str] | None = None,
    side_by_side: bool = False,
    force: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> int:
    """Draw `tracks` on `video`: `posetrack render`.

    Args:
        video: the video or image folder that was tracked.
        tracks: a file that `read_tracks` reads, or its tracks.
        out: the MP4 to write.
        contact_sheet: the PNG to write, with the clearest view of each identity.
        possible_id_switches: a new folder for a contact sheet (PNG) of each possible id switch.
        clip: write short clips (MP4) of the possible id switches in place of contact sheets.
        trails: show where the people's feet were in the last 2 seconds.
        only_ids: draw these identities only.
        blur_faces: make the face of every tracked person unrecognisable.
        names: names to draw in place of ids.
        side_by_side: put the original image to the left of the drawn one.
        force: overwrite existing files.
        on_frame: called after each frame of `out`.

    Returns the number of frames drawn into `out`; without `out`, of identities on the contact sheet; without both, of
    possible id switches. Raises InputError for anything that cannot be read or written, and for ids that are not in the
    tracks.
    """
    if out is None and contact_sheet is None and possible_id_switches is None:
        raise InputError("nothing to write; give out, contact_sheet or possible_id_switches")
    targets = [] if out is None else [Path(out), partial_video(Path(out))]
    if contact_sheet is not None:
        check_sheet(Path(contact_sheet))
        targets.append(Path(contact_sheet))
    if possible_id_switches is not None:
        check_switches(Path(possible_id_switches))
    tracks_file = tracks.path if isinstance(tracks, Tracks) else Path(tracks)
    check_drawings(Path(video), tracks_file, targets, force=force)
    content = as_tracks(tracks)
    ids = None if only_ids is None else frozenset(only_ids)
    if unknown := sorted(((ids or set()) | set(names or {})) - set(content.ids)):
        raise InputError(f"{tracks_file}: no person with id {', '.join(map(str, unknown))}")
    style = Style(trails, ids, blur_faces, names or {}, side_by_side)
    done = 0
    if out is not None:
        done = render_video(Path(video), content, Path(out), style, on_frame)
    if contact_sheet is not None:
        identities = write_contact_sheet(Path(video), content, Path(contact_sheet), style)
        done = identities if out is None else done
    if possible_id_switches is not None:
        switches = write_switches(Path(video), content, Path(possible_id_switches), style, clips=clip)
        done = switches if out is None and contact_sheet is None else done
    return done
