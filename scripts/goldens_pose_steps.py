"""The recorded steps before and after a pose network (`D_postprocess` of the kit), against ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from posetrack_detectors import pose_targets, udp_dark
from posetrack_detectors.crops import apply_affine, centre_and_scale, crop_affine, crop_person, udp_affine
from posetrack_detectors.heatmaps import decode_heatmaps, find_peaks, flip_back

from posetrack_app.duplicates import iou_matrix, nms, oks_matrix, pose_scores, soft_nms
from posetrack_app.skeleton import COCO

Recorded = dict[str, np.ndarray[Any, Any]]
Cases = Iterator[tuple[str, float, float]]

ROUNDING = 1e-5  # pixels; figures are float32 coordinates of a few hundred pixels, mostly equal to the bit
OTHER_OPENCV = 4  # grey levels between warpAffine of OpenCV 4 and 5, says the kit


def far(got: Any, wanted: Any) -> float:
    """The largest difference where the recorded figure is finite; NaN if shapes differ."""
    got, wanted = np.asarray(got, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    if got.shape != wanted.shape:
        return float("nan")
    finite = np.isfinite(wanted)
    return float(np.abs(got - wanted)[finite].max()) if finite.any() else 0.0


def sets(recorded: Recorded) -> list[str]:
    """The first parts of the keys: the sets of figures in a file."""
    return sorted({key.split("/")[0] for key in recorded})


def size_of(tag: str) -> tuple[int, int]:
    """'256x192' (height x width) to (width, height)."""
    height, width = tag.split("_")[-1].split("x")
    return int(width), int(height)


def decode_official(recorded: Recorded, _: Path) -> Cases:
    for tag in sets(recorded):
        heatmaps = recorded[f"{tag}/heatmaps_f16"].astype(np.float32)
        centres, scales = recorded[f"{tag}/center"], recorded[f"{tag}/scale"]
        cells, heights = find_peaks(heatmaps)
        yield f"{tag} highest cells", far(cells, recorded[f"{tag}/max_preds"]), 0
        yield f"{tag} heights", far(heights[..., None], recorded[f"{tag}/maxvals"]), 0
        keypoints, _scores = decode_heatmaps(heatmaps, centres, scales)
        yield f"{tag} keypoints", far(keypoints, recorded[f"{tag}/final_preds_post1"]), ROUNDING


def flip_official(recorded: Recorded, _: Path) -> Cases:
    for tag in sets(recorded):
        output, flipped = recorded[f"{tag}/output"], recorded[f"{tag}/output_of_flipped_input"]
        mirrored = list(range(output.shape[1]))
        for a, b in recorded[f"{tag}/pairs"]:
            mirrored[a], mirrored[b] = int(b), int(a)
        for shift, name in ((False, "flip_back"), (True, "flip_back_shifted")):
            turned = flip_back(flipped, tuple(mirrored), shift=shift)
            yield f"{tag} {name}", far(turned, recorded[f"{tag}/{name}"]), 0
            average = (output + turned) * 0.5
            yield f"{tag} average, {name}", far(average, recorded[f"{tag}/average_shift{int(shift)}"]), 0
        joints, visible = recorded[f"{tag}/fliplr_in_joints"], recorded[f"{tag}/fliplr_in_vis"]
        wanted, wanted_visible = recorded[f"{tag}/fliplr_out_joints"], recorded[f"{tag}/fliplr_out_vis"]
        first = int(np.flatnonzero(wanted_visible[:, 0])[0])
        width = round(wanted[first, 0] + joints[mirrored[first], 0] + 1)
        got = pose_targets.flip_keypoints(joints[:, :2], width, tuple(mirrored)) * wanted_visible[:, :2]
        yield f"{tag} keypoints mirrored", far(got, wanted[:, :2]), 1e-9
        yield f"{tag} visibility mirrored", far(visible[mirrored], wanted_visible), 0


def affine_official(recorded: Recorded, folder: Path) -> Cases:
    boxes = recorded["boxes_xywh"].copy()
    boxes[:, 2:] += boxes[:, :2]
    for tag in sets({key: value for key, value in recorded.items() if "/" in key}):
        size = size_of(tag)
        small = (size[0] // 4, size[1] // 4)
        rows = []
        for i, (box, degrees) in enumerate(zip(boxes, recorded["rot_deg"], strict=True)):
            centre, scale = centre_and_scale(box, size[0] / size[1])
            affine = crop_affine(centre, scale, degrees, size)
            rows.append(
                {
                    "center": centre,
                    "scale": scale,
                    "affine": affine,
                    "affine_inv_to_heatmap": crop_affine(centre, scale, 0.0, small, inverse=True),
                    "affine_shift": crop_affine(centre, scale, degrees, size, shift=(0.1, -0.2)),
                    "points_transformed": apply_affine(recorded[f"{tag}/points"][i], affine),
                }
            )
        for name in rows[0]:
            wanted = recorded[f"{tag}/{name}"]
            yield f"{tag} {name}", far([row[name] for row in rows], wanted), ROUNDING
    yield from _crops(recorded, recorded, folder, 0 if cv2.__version__.startswith("5.") else OTHER_OPENCV)


def warp(version: str) -> Callable[[Recorded, Path], Cases]:
    def crops(recorded: Recorded, folder: Path) -> Cases:
        with np.load(folder / "affine_official.npz") as boxes:
            same = cv2.__version__.startswith(version)
            yield from _crops(recorded, dict(boxes), folder, 0 if same else OTHER_OPENCV)

    return crops


def _crops(recorded: Recorded, boxes: Recorded, folder: Path, tolerance: float) -> Cases:
    """Crops of the kit's own picture, and of the COCO picture where ../shared/data has it."""
    if not any(key.endswith("/sample_idx") for key in recorded):
        return
    facts = json.loads((folder / "images.json").read_text())
    pictures = {"synthetic": folder / "synthetic.png"}
    name_of_photo = Path(facts["real_image"]["file"].split()[0]).name
    photo = Path(__file__).resolve().parents[2] / "shared/data/images" / name_of_photo
    if photo.is_file():
        pictures["real"] = photo
    for tag in sets({key: value for key, value in recorded.items() if key.endswith("/sample_idx")}):
        for name, path in pictures.items():
            picture = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
            digest = hashlib.sha256(picture.tobytes()).hexdigest()
            known = (facts["synthetic_image"]["sha256_of_pixels"], facts["real_image"]["decoded_rgb_sha256"])
            if digest not in known:
                continue  # this JPEG decoder gives other pixels: nothing to compare
            crops = [
                crop_person(picture, centre, scale, size_of(tag), degrees)
                for centre, scale, degrees in zip(
                    boxes[f"{tag}/center"], boxes[f"{tag}/scale"], boxes["rot_deg"], strict=True
                )
            ]
            samples = [crop.ravel()[recorded[f"{tag}/sample_idx"]] for crop in crops]
            yield f"{tag} {name} crops", far(samples, recorded[f"{tag}/{name}_samples"]), tolerance
            for box in (0, 2):
                key = f"{tag}/{name}_full_box{box}"
                if key in recorded:
                    yield f"{tag} {name} whole crop {box}", far(crops[box], recorded[key]), tolerance


def nms_official(recorded: Recorded, _: Path) -> Cases:
    for tag in sets({key: value for key, value in recorded.items() if key.endswith("/area")}):
        poses = {name: recorded[f"{tag}/{name}"] for name in ("keypoints", "area", "score")}
        sigmas = recorded.get(f"{tag}/sigmas", COCO.sigma_array)
        yield from _suppression(recorded, tag, poses, sigmas, visible_in_both=False, rounding=1e-9)
    if "box/dets" in recorded:
        detections = recorded["box/dets"]
        iou = iou_matrix(detections[:, :4], whole_pixels=True)
        for key in (key for key in recorded if key.startswith("box/nms_thr")):
            kept = nms(iou, detections[:, 4], float(key.partition("thr")[2]))
            yield key, far(kept, recorded[key]), 0
    if "evaluate/preds" in recorded:
        yield from _evaluate(recorded)


def _suppression(
    recorded: Recorded, tag: str, poses: Recorded, sigmas: Any, *, visible_in_both: bool, rounding: float
) -> Cases:
    for key in (key for key in recorded if key.startswith(f"{tag}/oks_iou_vis")):
        level = key.partition("_vis")[2]
        visible_above = None if level == "None" else float(level)
        points = poses["keypoints"]
        oks = oks_matrix(
            points[..., :2],
            poses["area"],
            sigmas,
            points[..., 2],
            visible_above,
            visible_in_both=visible_in_both,
        )
        yield key, far(oks, recorded[key]), rounding
        for name, suppress in (("oks_nms", nms), ("soft_oks_nms", soft_nms)):
            for kept in (
                k for k in recorded if k.startswith(f"{tag}/{name}_thr") and k.endswith(f"_vis{level}")
            ):
                threshold = float(kept.partition("_thr")[2].partition("_")[0])
                yield kept, far(suppress(oks, poses["score"], threshold), recorded[kept]), 0


def _evaluate(recorded: Recorded) -> Cases:
    predictions, boxes, images = (recorded[f"evaluate/{name}"] for name in ("preds", "all_boxes", "image_id"))
    for key in (key for key in recorded if key.endswith("/kept_score")):
        soft, vis, oks_threshold = key.split("/")[1].split("_")
        scores = pose_scores(boxes[:, 5], predictions[..., 2], float(vis[3:]))
        kept_rows: list[int] = []
        for image in dict.fromkeys(images.tolist()):
            rows = np.flatnonzero(images == image)
            oks = oks_matrix(predictions[rows, :, :2].astype(np.float64), boxes[rows, 4], COCO.sigma_array)
            suppress = soft_nms if soft == "soft1" else nms
            kept_rows += rows[suppress(oks, scores[rows], float(oks_threshold[3:]))].tolist()
        case = key.rpartition("/")[0]
        yield f"{case} images", far(images[kept_rows], recorded[f"{case}/kept_image"]), 0
        yield f"{case} rows", far(kept_rows, recorded[f"{case}/kept_index"]), 0
        yield f"{case} scores", far(scores[kept_rows], recorded[key]), 1e-6


def targets_official(recorded: Recorded, _: Path) -> Cases:
    for tag in sets(recorded):
        target, output = recorded[f"{tag}/target"], recorded[f"{tag}/output_f16"].astype(np.float32)
        height, width = target.shape[2:]
        size = (width, height)
        sigma = 3 if height == 96 else 2
        drawn, weights = zip(
            *(
                pose_targets.gaussian_targets(
                    joints[:, :2], visible[:, 0], size, (4 * width, 4 * height), sigma
                )
                for joints, visible in zip(recorded[f"{tag}/joints"], recorded[f"{tag}/vis"], strict=True)
            ),
            strict=True,
        )
        yield f"{tag} targets", far(drawn, target), 1e-7
        yield f"{tag} weights", far(np.stack(weights)[..., None], recorded[f"{tag}/target_weight"]), 0
        maps = [torch.from_numpy(array).double() for array in (output, target)]
        for weighed in (0, 1):
            scale = torch.from_numpy(recorded[f"{tag}/target_weight"]).double() if weighed else None
            mse = float(pose_targets.mse_loss(*maps, scale))
            yield (
                f"{tag} MSE loss, weighed {weighed}",
                far(mse, recorded[f"{tag}/mse_loss_tw{weighed}"]),
                1e-9,
            )
            hard = float(pose_targets.hard_keypoint_loss(*maps, scale))
            yield (
                f"{tag} OHKM loss, weighed {weighed}",
                far(hard, recorded[f"{tag}/ohkm8_loss_tw{weighed}"]),
                1e-9,
            )
        shares, mean, count = pose_targets.keypoint_accuracy(output, target)
        wanted = recorded[f"{tag}/accuracy_per_joint"]
        yield f"{tag} accuracy", far([mean, *shares], wanted), 1e-9
        yield f"{tag} accuracy mean and count", far([mean, count], recorded[f"{tag}/accuracy_avg_cnt"]), 1e-9


def decode_mmpose(recorded: Recorded, folder: Path) -> Cases:
    decoders: dict[str, Callable[[Any, tuple[int, int]], Any]] = {
        "msra": udp_dark.decode_quarter,
        "dark11": lambda maps, size: udp_dark.decode_dark(maps, size, 11),
        "dark17": lambda maps, size: udp_dark.decode_dark(maps, size, 17),
        "udp11": lambda maps, size: udp_dark.decode_udp(maps, size, 11),
        "udp17": lambda maps, size: udp_dark.decode_udp(maps, size, 17),
    }
    with np.load(folder / "decode_official.npz") as official:
        heatmaps = {tag: official[f"{tag}/heatmaps_f16"].astype(np.float32) for tag in sets(dict(official))}
    for tag in sets(recorded):
        small = size_of(tag)
        size = (4 * small[0], 4 * small[1])
        for name, decode in decoders.items():
            keypoints, scores = decode(heatmaps[tag], size)
            yield f"{tag} {name} keypoints", far(keypoints, recorded[f"{tag}/{name}/keypoints"]), 1e-3
            yield f"{tag} {name} scores", far(scores, recorded[f"{tag}/{name}/scores"]), 0
        maps = heatmaps[tag].reshape(-1, *heatmaps[tag].shape[2:])
        blurred = udp_dark.smooth(maps, 11).ravel()
        samples = recorded[f"{tag}/blur11_idx"]
        yield f"{tag} smoothed", far(blurred[samples], recorded[f"{tag}/blur11_val"]), 1e-6
        combined = udp_dark.decode_udp_offsets(recorded[f"{tag}/combined/encoded_f16"][None], size)
        yield f"{tag} UDP offsets keypoints", far(combined[0], recorded[f"{tag}/combined/keypoints"]), 1e-3
        yield f"{tag} UDP offsets scores", far(combined[1], recorded[f"{tag}/combined/scores"]), 1e-6
        yield from _encode_mmpose(recorded, tag, small, size)


def _encode_mmpose(recorded: Recorded, tag: str, small: tuple[int, int], size: tuple[int, int]) -> Cases:
    sigma = 3 if small[1] == 96 else 2
    joints, visible = recorded[f"{tag}/encode/keypoints"][0], recorded[f"{tag}/encode/visible"][0]
    for name, draw, decode in (
        ("msra", pose_targets.gaussian_targets, udp_dark.decode_quarter),
        ("dark", pose_targets.dark_targets, udp_dark.decode_dark),
        ("udp", pose_targets.udp_targets, udp_dark.decode_udp),
    ):
        drawn, weights = draw(joints, visible, small, size, sigma)
        case = f"{tag}/encode/{name}"
        yield f"{case} targets", far(drawn.ravel()[recorded[f"{case}/idx"]], recorded[f"{case}/val"]), 1e-6
        total = float(drawn.sum(dtype=np.float64))
        yield f"{case} sum", far(total, recorded[f"{case}/sum"]), 1e-4
        yield f"{case} weights", far(weights[None], recorded[f"{case}/weights"]), 0
        yield f"{case} round trip", far(decode(drawn[None], size)[0], recorded[f"{case}/roundtrip"]), 1e-3


def misc_mmpose(recorded: Recorded, folder: Path) -> Cases:
    with np.load(folder / "flip_official.npz") as official:
        flipped = official["coco/output_of_flipped_input"]
    mirrored = tuple(int(i) for i in recorded["coco/flip_indices"])
    for shift in (False, True):
        turned = flip_back(flipped, mirrored, shift=shift)
        yield f"flip, shift {shift}", far(turned, recorded[f"coco/flip_shift{int(shift)}"]), 0
    with np.load(folder / "affine_official.npz") as official:
        turns, boxes = official["rot_deg"], official["boxes_xywh"]
    boxes[:, 2:] += boxes[:, :2]
    for tag in sets({key: value for key, value in recorded.items() if key.endswith("/udp_warp")}):
        size = size_of(tag)
        places = [centre_and_scale(box, size[0] / size[1]) for box in boxes]
        yield f"{tag} centres", far([centre for centre, _ in places], recorded[f"{tag}/center"]), ROUNDING
        pixels = [scale * 200 for _, scale in places]
        yield f"{tag} scales", far(pixels, recorded[f"{tag}/scale_px"]), 1e-3
        for name, affine in (("warp", crop_affine), ("udp_warp", udp_affine)):
            got = [affine(*place, turn, size) for place, turn in zip(places, turns, strict=True)]
            # One box is 3.5 pixels wide: its zoom of 44 magnifies the rounding of float32 points.
            yield f"{tag} {name}", far(got, recorded[f"{tag}/{name}"]), 5e-3
    with np.load(folder / "nms_official.npz") as official:
        for tag in sets({key: value for key, value in recorded.items() if "/oks_iou" in key}):
            poses = {name: official[f"{tag}/{name}"] for name in ("keypoints", "area", "score")}
            sigmas = official.get(f"{tag}/sigmas", COCO.sigma_array)
            yield from _suppression(recorded, tag, poses, sigmas, visible_in_both=True, rounding=1e-6)


STEPS: dict[str, Callable[[Recorded, Path], Cases]] = {
    "decode_official.npz": decode_official,
    "flip_official.npz": flip_official,
    "affine_official.npz": affine_official,
    "warp_cv5.npz": warp("5."),
    "warp_cv4.npz": warp("4."),
    "nms_official.npz": nms_official,
    "targets_official.npz": targets_official,
    "decode_mmpose.npz": decode_mmpose,
    "misc_mmpose.npz": misc_mmpose,
}
