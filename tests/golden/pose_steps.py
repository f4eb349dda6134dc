"""Compare the steps before and after a pose network with recorded ones (`D_postprocess` of the kit)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from posetrack_detectors.decoding import dark_udp
from posetrack_detectors.decoding.crops import (
    apply_affine,
    centre_and_scale,
    crop_affine,
    crop_person,
    udp_affine,
)
from posetrack_detectors.decoding.heatmaps import decode_heatmaps, find_peaks, flip_back

from golden.reference import pose_targets
from golden.reference.quarter_offset import decode_quarter
from golden.reference.suppression import oks_of_visible, pose_scores_above, soft_nms
from posetrack_app.core.similarity import iou_matrix, oks_matrix
from posetrack_app.core.skeletons import COCO
from posetrack_app.pipeline.duplicates import VISIBLE_SCORE, nms, pose_scores

Recorded = dict[str, np.ndarray[Any, Any]]
Cases = Iterator[tuple[str, float, float]]

_SHARED = Path(os.environ.get("POSETRACK_SHARED", Path(__file__).resolve().parents[3] / "shared"))
ROUNDING = 1e-5  # pixels; recorded coordinates are float32 of a few hundred pixels, mostly bit-identical
OTHER_OPENCV = 4  # grey levels between warpAffine of OpenCV 4 and 5, according to the kit


def difference(got: Any, expected: Any) -> float:
    """The largest difference where the recorded number is finite; NaN if shapes differ."""
    got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if got.shape != expected.shape:
        return float("nan")
    finite = np.isfinite(expected)
    return float(np.abs(got - expected)[finite].max()) if finite.any() else 0.0


def sets(recorded: Recorded) -> list[str]:
    """The sets in a file: the first parts of the keys."""
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
        yield f"{tag} highest cells", difference(cells, recorded[f"{tag}/max_preds"]), 0
        yield f"{tag} heights", difference(heights[..., None], recorded[f"{tag}/maxvals"]), 0
        keypoints, _scores = decode_heatmaps(heatmaps, centres, scales)
        yield f"{tag} keypoints", difference(keypoints, recorded[f"{tag}/final_preds_post1"]), ROUNDING


def flip_official(recorded: Recorded, _: Path) -> Cases:
    for tag in sets(recorded):
        output, flipped = recorded[f"{tag}/output"], recorded[f"{tag}/output_of_flipped_input"]
        mirrored = list(range(output.shape[1]))
        for a, b in recorded[f"{tag}/pairs"]:
            mirrored[a], mirrored[b] = int(b), int(a)
        for shift, name in ((False, "flip_back"), (True, "flip_back_shifted")):
            unflipped = flip_back(flipped, tuple(mirrored), shift=shift)
            yield f"{tag} {name}", difference(unflipped, recorded[f"{tag}/{name}"]), 0
            average = (output + unflipped) * 0.5
            yield (
                f"{tag} average, {name}",
                difference(average, recorded[f"{tag}/average_shift{int(shift)}"]),
                0,
            )
        joints, visible = recorded[f"{tag}/fliplr_in_joints"], recorded[f"{tag}/fliplr_in_vis"]
        expected, expected_visible = recorded[f"{tag}/fliplr_out_joints"], recorded[f"{tag}/fliplr_out_vis"]
        first = int(np.flatnonzero(expected_visible[:, 0])[0])
        width = round(expected[first, 0] + joints[mirrored[first], 0] + 1)
        got = pose_targets.flip_keypoints(joints[:, :2], width, tuple(mirrored)) * expected_visible[:, :2]
        yield f"{tag} keypoints flipped", difference(got, expected[:, :2]), 1e-9
        yield f"{tag} visibility flipped", difference(visible[mirrored], expected_visible), 0


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
            expected = recorded[f"{tag}/{name}"]
            yield f"{tag} {name}", difference([row[name] for row in rows], expected), ROUNDING
    yield from _crops(recorded, recorded, folder, 0 if cv2.__version__.startswith("5.") else OTHER_OPENCV)


def warp(version: str) -> Callable[[Recorded, Path], Cases]:
    def crops(recorded: Recorded, folder: Path) -> Cases:
        with np.load(folder / "affine_official.npz") as boxes:
            same = cv2.__version__.startswith(version)
            yield from _crops(recorded, dict(boxes), folder, 0 if same else OTHER_OPENCV)

    return crops


def _crops(recorded: Recorded, boxes: Recorded, folder: Path, tolerance: float) -> Cases:
    """Crops of the kit's own image, and of the COCO image if ../shared/data has it."""
    if not any(key.endswith("/sample_idx") for key in recorded):
        return
    facts = json.loads((folder / "images.json").read_text())
    images = {"synthetic": folder / "synthetic.png"}
    photo = _SHARED / "data/images" / Path(facts["real_image"]["file"].split()[0]).name
    if photo.is_file():
        images["real"] = photo
    for tag in sets({key: value for key, value in recorded.items() if key.endswith("/sample_idx")}):
        for name, path in images.items():
            bgr = cv2.imread(str(path))
            assert bgr is not None, path
            image = np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)
            digest = hashlib.sha256(image.tobytes()).hexdigest()
            known = (facts["synthetic_image"]["sha256_of_pixels"], facts["real_image"]["decoded_rgb_sha256"])
            if digest not in known:
                continue  # this JPEG decoder returns other pixels, so there is nothing to compare
            crops = [
                crop_person(image, centre, scale, size_of(tag), degrees)
                for centre, scale, degrees in zip(
                    boxes[f"{tag}/center"], boxes[f"{tag}/scale"], boxes["rot_deg"], strict=True
                )
            ]
            samples = [crop.ravel()[recorded[f"{tag}/sample_idx"]] for crop in crops]
            yield f"{tag} {name} crops", difference(samples, recorded[f"{tag}/{name}_samples"]), tolerance
            for box in (0, 2):
                key = f"{tag}/{name}_full_box{box}"
                if key in recorded:
                    yield f"{tag} {name} full crop {box}", difference(crops[box], recorded[key]), tolerance


def nms_official(recorded: Recorded, _: Path) -> Cases:
    for tag in sets({key: value for key, value in recorded.items() if key.endswith("/area")}):
        poses = {name: recorded[f"{tag}/{name}"] for name in ("keypoints", "area", "score")}
        sigmas = recorded.get(f"{tag}/sigmas", COCO.sigma_array)
        yield from _suppression(recorded, tag, poses, sigmas, visible_in_both=False, rounding=1e-9)
    if "box/dets" in recorded:
        detections = recorded["box/dets"]
        # In the HRNet code a box includes its last pixels.
        iou = iou_matrix(detections[:, :4] + [0, 0, 1, 1])
        for key in (key for key in recorded if key.startswith("box/nms_thr")):
            kept = nms(iou, detections[:, 4], float(key.partition("thr")[2]))
            yield key, difference(kept, recorded[key]), 0
    if "evaluate/preds" in recorded:
        yield from _evaluate(recorded)


def _suppression(
    recorded: Recorded, tag: str, poses: Recorded, sigmas: Any, *, visible_in_both: bool, rounding: float
) -> Cases:
    for key in (key for key in recorded if key.startswith(f"{tag}/oks_iou_vis")):
        level = key.partition("_vis")[2]
        points, scores = poses["keypoints"][..., :2], poses["keypoints"][..., 2]
        if level == "None":
            oks = oks_matrix(points, poses["area"], sigmas)
        else:
            oks = oks_of_visible(
                points, poses["area"], sigmas, scores, float(level), visible_in_both=visible_in_both
            )
        yield key, difference(oks, recorded[key]), rounding
        for name, suppress in (("oks_nms", nms), ("soft_oks_nms", soft_nms)):
            for kept in (
                k for k in recorded if k.startswith(f"{tag}/{name}_thr") and k.endswith(f"_vis{level}")
            ):
                threshold = float(kept.partition("_thr")[2].partition("_")[0])
                yield kept, difference(suppress(oks, poses["score"], threshold), recorded[kept]), 0


def _evaluate(recorded: Recorded) -> Cases:
    predictions, boxes, images = (recorded[f"evaluate/{name}"] for name in ("preds", "all_boxes", "image_id"))
    for key in (key for key in recorded if key.endswith("/kept_score")):
        soft, vis, oks_threshold = key.split("/")[1].split("_")
        threshold = float(vis[3:])
        if threshold == VISIBLE_SCORE:
            scores = pose_scores(boxes[:, 5], predictions[..., 2])
        else:
            scores = pose_scores_above(boxes[:, 5], predictions[..., 2], threshold)
        kept_rows: list[int] = []
        for image in dict.fromkeys(images.tolist()):
            rows = np.flatnonzero(images == image)
            oks = oks_matrix(predictions[rows, :, :2].astype(np.float64), boxes[rows, 4], COCO.sigma_array)
            suppress = soft_nms if soft == "soft1" else nms
            kept_rows += rows[suppress(oks, scores[rows], float(oks_threshold[3:]))].tolist()
        case = key.rpartition("/")[0]
        yield f"{case} images", difference(images[kept_rows], recorded[f"{case}/kept_image"]), 0
        yield f"{case} rows", difference(kept_rows, recorded[f"{case}/kept_index"]), 0
        yield f"{case} scores", difference(scores[kept_rows], recorded[key]), 1e-6


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
        yield f"{tag} targets", difference(drawn, target), 1e-7
        yield f"{tag} weights", difference(np.stack(weights)[..., None], recorded[f"{tag}/target_weight"]), 0
        first, second = (torch.from_numpy(array).double() for array in (output, target))
        for weighted in (0, 1):
            scale = torch.from_numpy(recorded[f"{tag}/target_weight"]).double() if weighted else None
            for name, loss, key in (
                ("MSE", pose_targets.mse_loss(first, second, scale), f"{tag}/mse_loss_tw{weighted}"),
                (
                    "OHKM",
                    pose_targets.hard_keypoint_loss(first, second, scale),
                    f"{tag}/ohkm8_loss_tw{weighted}",
                ),
            ):
                yield f"{tag} {name} loss, weighted {weighted}", difference(float(loss), recorded[key]), 1e-9
        shares, mean, count = pose_targets.keypoint_accuracy(output, target)
        expected = recorded[f"{tag}/accuracy_per_joint"]
        yield f"{tag} accuracy", difference([mean, *shares], expected), 1e-9
        expected = recorded[f"{tag}/accuracy_avg_cnt"]
        yield f"{tag} accuracy mean and count", difference([mean, count], expected), 1e-9


def decode_mmpose(recorded: Recorded, folder: Path) -> Cases:
    decoders: dict[str, Callable[[Any, tuple[int, int]], Any]] = {
        "msra": decode_quarter,
        "dark11": lambda maps, size: dark_udp.decode_dark(maps, size, 11),
        "dark17": lambda maps, size: dark_udp.decode_dark(maps, size, 17),
        "udp11": lambda maps, size: dark_udp.decode_udp(maps, size, 11),
        "udp17": lambda maps, size: dark_udp.decode_udp(maps, size, 17),
    }
    with np.load(folder / "decode_official.npz") as official:
        heatmaps = {tag: official[f"{tag}/heatmaps_f16"].astype(np.float32) for tag in sets(dict(official))}
    for tag in sets(recorded):
        small = size_of(tag)
        size = (4 * small[0], 4 * small[1])
        for name, decode in decoders.items():
            keypoints, scores = decode(heatmaps[tag], size)
            yield f"{tag} {name} keypoints", difference(keypoints, recorded[f"{tag}/{name}/keypoints"]), 1e-3
            yield f"{tag} {name} scores", difference(scores, recorded[f"{tag}/{name}/scores"]), 0
        maps = heatmaps[tag].reshape(-1, *heatmaps[tag].shape[2:])
        blurred = dark_udp.smooth(maps, 11).ravel()
        samples = recorded[f"{tag}/blur11_idx"]
        yield f"{tag} smoothed", difference(blurred[samples], recorded[f"{tag}/blur11_val"]), 1e-6
        combined = dark_udp.decode_udp_offsets(recorded[f"{tag}/combined/encoded_f16"][None], size)
        yield (
            f"{tag} UDP offsets keypoints",
            difference(combined[0], recorded[f"{tag}/combined/keypoints"]),
            1e-3,
        )
        yield f"{tag} UDP offsets scores", difference(combined[1], recorded[f"{tag}/combined/scores"]), 1e-6
        yield from _encode_mmpose(recorded, tag, small, size)


def _encode_mmpose(recorded: Recorded, tag: str, small: tuple[int, int], size: tuple[int, int]) -> Cases:
    sigma = 3 if small[1] == 96 else 2
    joints, visible = recorded[f"{tag}/encode/keypoints"][0], recorded[f"{tag}/encode/visible"][0]
    for name, draw, decode in (
        ("msra", pose_targets.gaussian_targets, decode_quarter),
        ("dark", pose_targets.dark_targets, dark_udp.decode_dark),
        ("udp", pose_targets.udp_targets, dark_udp.decode_udp),
    ):
        drawn, weights = draw(joints, visible, small, size, sigma)
        case = f"{tag}/encode/{name}"
        yield (
            f"{case} targets",
            difference(drawn.ravel()[recorded[f"{case}/idx"]], recorded[f"{case}/val"]),
            1e-6,
        )
        total = float(drawn.sum(dtype=np.float64))
        yield f"{case} sum", difference(total, recorded[f"{case}/sum"]), 1e-4
        yield f"{case} weights", difference(weights[None], recorded[f"{case}/weights"]), 0
        yield (
            f"{case} round trip",
            difference(decode(drawn[None], size)[0], recorded[f"{case}/roundtrip"]),
            1e-3,
        )


def misc_mmpose(recorded: Recorded, folder: Path) -> Cases:
    with np.load(folder / "flip_official.npz") as official:
        flipped = official["coco/output_of_flipped_input"]
    mirrored = tuple(int(i) for i in recorded["coco/flip_indices"])
    for shift in (False, True):
        unflipped = flip_back(flipped, mirrored, shift=shift)
        yield f"flip, shift {shift}", difference(unflipped, recorded[f"coco/flip_shift{int(shift)}"]), 0
    with np.load(folder / "affine_official.npz") as official:
        rotations, boxes = official["rot_deg"], official["boxes_xywh"]
    boxes[:, 2:] += boxes[:, :2]
    for tag in sets({key: value for key, value in recorded.items() if key.endswith("/udp_warp")}):
        size = size_of(tag)
        places = [centre_and_scale(box, size[0] / size[1]) for box in boxes]
        yield (
            f"{tag} centres",
            difference([centre for centre, _ in places], recorded[f"{tag}/center"]),
            ROUNDING,
        )
        pixels = [scale * 200 for _, scale in places]
        yield f"{tag} scales", difference(pixels, recorded[f"{tag}/scale_px"]), 1e-3
        for name, affine in (("warp", crop_affine), ("udp_warp", udp_affine)):
            got = [affine(*place, degrees, size) for place, degrees in zip(places, rotations, strict=True)]
            # One box is 3.5 pixels wide, and its zoom of 44 magnifies the rounding of float32 points.
            yield f"{tag} {name}", difference(got, recorded[f"{tag}/{name}"]), 5e-3
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
