"""Compare the detectors with numbers recorded from the reference implementation; prints one line per case.

python scripts/check_goldens.py detector ../shared/goldens/detector

Format and tolerances are described in the folder's README.md. The code in the folder is not run: this file has its own
implementation of the pseudo-weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from posetrack_detectors.networks import faster_rcnn
from posetrack_detectors.networks.boxes import pyramid_level
from posetrack_detectors.networks.cascade_rcnn import STAGE_STDS, CascadeRCNN
from posetrack_detectors.networks.faster_rcnn import FasterRCNN, move_rois, stack_rois
from posetrack_detectors.networks.mask_rcnn import MaskRCNN, paste_masks
from posetrack_detectors.person_detector import PERSON, prepare
from torch import Tensor

from golden import detector_steps
from golden.report import Report, draw, sampled_error, share_found

Array = NDArray[Any]
WIDTHS = {"w18": faster_rcnn.W18, "w32": faster_rcnn.W32, "w40": faster_rcnn.W40, "w48": faster_rcnn.W48}
NETWORKS: dict[str, type[FasterRCNN]] = {
    "faster": FasterRCNN,
    "cascade": CascadeRCNN,
    "mask": MaskRCNN,
}

TOLERANCES = {"input": 0.0, "backbone": 3e-3, "fpn": 3e-3, "rpn_cls": 1e-3, "rpn_reg": 2e-4}
PROPOSALS_FOUND, DETECTIONS_FOUND, MASKS_FOUND = 0.98, 0.95, 0.95
ROI_FEATURES, HEAD = 3e-3, 3e-3
_SHARED = os.environ.get("POSETRACK_SHARED", Path(__file__).resolve().parents[3] / "shared")
SHARED_IMAGES = Path(_SHARED) / "data/images"

FACTORS = [
    (r"backbone\.layer1\.\d+\.bn3\.(weight|bias)", 0.5),
    (r"backbone\.stage[234]\.\d+\.branches\.\d+\.\d+\.bn2\.(weight|bias)", 0.5),
    (r"backbone\.stage[234]\.\d+\.fuse_layers\.\d+\.\d+\.(\d+\.)?1\.(weight|bias)", 0.5),
    (r"neck\.fpn_convs\.0\.conv\.weight", 0.5),
    (r"neck\.fpn_convs\.1\.conv\.weight", 0.7),
    (r"neck\.fpn_convs\.3\.conv\.weight", 1.5),
    (r"neck\.fpn_convs\.4\.conv\.weight", 2.5),
    (r"rpn_head\.rpn_cls\.weight", 0.2),
    (r"rpn_head\.rpn_reg\.weight", 0.04),
    (r"roi_head\.bbox_head\.(\d+\.)?fc_cls\.weight", 0.35),
    (r"roi_head\.bbox_head\.(\d+\.)?fc_reg\.weight", 0.15),
]


def pseudo_weight(key: str, shape: tuple[int, ...], is_norm: bool) -> Array:
    """The value of one state-dict key in the recorded networks."""
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    value = draw(key, shape)
    if leaf == "running_mean" or (is_norm and leaf == "bias"):
        value *= 0.1
    elif leaf == "running_var":
        value = 1.0 + 0.1 * np.abs(value)
    elif is_norm:
        value = 1.0 + 0.1 * value
    elif leaf == "weight":
        value -= value.mean(axis=tuple(range(1, value.ndim)), keepdims=True)
        value *= math.sqrt(2.0 / math.prod(shape[1:]))
    else:
        value *= 0.01
    for pattern, factor in FACTORS:
        if re.fullmatch(pattern, key):
            value *= factor
    if re.fullmatch(r"roi_head\.bbox_head\.(\d+\.)?fc_cls\.bias", key):
        value[0] += 2.0
    return value.astype(np.float32)


def load_pseudo_weights(network: FasterRCNN, keys: list[Any], digest: str) -> str:
    """Fill `network`; returns a text that says what differs from the recorded keys, shapes and digest, or an empty one."""
    shapes = {key: tuple(shape) for key, shape, _ in keys}
    ours = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    if ours != shapes:
        wrong = sorted(key for key in ours.keys() | shapes.keys() if ours.get(key) != shapes.get(key))
        return f"{len(wrong)} keys missing, unknown or of another shape, first {wrong[0]}"
    sums, state = hashlib.sha256(), {}
    for key, shape in shapes.items():
        value = pseudo_weight(key, shape, key.rsplit(".", 1)[0] + ".running_mean" in shapes)
        sums.update(value.tobytes())
        state[key] = torch.from_numpy(value)
    network.load_state_dict(state)
    return "" if sums.hexdigest() == digest else "pseudo-weights have a different sha256"


def detection_rows(boxes: Any, scores: Any, labels: Any) -> Array:
    """(N, 6): box, score, label."""
    columns = [np.asarray(boxes), np.asarray(scores)[:, None], np.asarray(labels)[:, None]]
    return np.concatenate(columns, axis=1).astype(np.float64)


def read_case(directory: Path, tag: str, facts: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor, str]:
    """Arguments of `FasterRCNN.forward`: input (N, 3, H, W), sizes, scales; and a text that says what is wrong, or "".

    Inputs without an image are random with the tag as seed. Images are identified by the sha256 of their resized pixels.
    """
    if not all("resized_bgr_hwc_uint8_sha256" in one for one in facts["preproc"]):
        shape = tuple(facts["input"]["shape"])
        batch = torch.from_numpy(draw(f"input:{tag}", shape).astype(np.float32))
        sizes = torch.tensor([one["img_shape"][::-1] for one in facts["preproc"]], dtype=torch.float32)
        return batch, sizes, torch.ones(shape[0], 2), ""
    folders = [directory / "images", directory.resolve().parents[1] / "data/images", SHARED_IMAGES]
    images = []
    for one in facts["preproc"]:
        image = find_image(folders, one)
        if image is None:
            empty = torch.zeros(0)
            return empty, empty, empty, f"no matching image of size {one['ori_shape']} in {folders[1]}"
        images.append(image)
    batch, sizes, scales = prepare(images, faster_rcnn.W18, torch.device("cpu"))
    expected = [list(reversed(one["img_shape"])) for one in facts["preproc"]]
    problem = "" if sizes.tolist() == expected else f"resized to {sizes.tolist()}, expected {expected}"
    return batch, sizes, scales, problem


def find_image(folders: list[Path], facts: dict[str, Any]) -> Array | None:
    """The RGB image that resizes to the recorded pixels, or None."""
    height, width = facts["img_shape"]
    for path in (path for folder in folders for path in sorted(folder.glob("*.jpg"))):
        image = cv2.imread(str(path))
        if image is not None and list(image.shape[:2]) == facts["ori_shape"]:
            resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
            if hashlib.sha256(resized.tobytes()).hexdigest() == facts["resized_bgr_hwc_uint8_sha256"]:
                return np.ascontiguousarray(image[:, :, ::-1])
    return None


@torch.no_grad()
def check_case(network: FasterRCNN, directory: Path, model: str, tag: str, facts: dict[str, Any]) -> int:
    """Check every recorded stage of one input; stages after the proposals start from the recorded proposals."""
    report = Report(f"{model} {tag}")
    batch, sizes, scales, problem = read_case(directory, tag, facts)
    if problem:
        report.failures.append(problem)
        return report.close()
    golden = np.load(directory / model / f"golden_{tag}.npz")
    branches = network.backbone(batch)
    levels = network.neck(branches)
    outputs = [network.rpn_head(level) for level in levels]
    report.error("input", sampled_error(batch, golden, "input"), TOLERANCES["input"])
    for i, level in enumerate(levels):
        height, width = level.shape[2:]
        maps = {"fpn": level}
        if i < len(branches):
            maps["backbone"] = branches[i]
        for name, values in zip(("rpn_cls", "rpn_reg"), outputs[i], strict=True):
            maps[name] = values.reshape(len(level), height, width, -1).permute(0, 3, 1, 2)
        for name, values in maps.items():
            report.error(name, sampled_error(values, golden, f"{name}.{i}"), TOLERANCES[name])
    proposals = network.choose_proposals(outputs, network.anchors(levels), sizes)
    end_to_end = network.find(levels, [boxes for boxes, _ in proposals], sizes, scales)
    for i in range(len(batch)):
        prefix = f"img{i}." if len(batch) > 1 else ""
        recorded = {key.removeprefix(prefix): golden[key] for key in golden if key.startswith(prefix)}
        expected = recorded["proposals.bboxes"]
        report.share("proposals", share_found(proposals[i][0].numpy(), expected, [0.05] * 4), PROPOSALS_FOUND)
        own = [level[i : i + 1] for level in levels]
        start = torch.from_numpy(expected)
        check_boxes(report, network, own, start, sizes[i : i + 1], recorded)
        if isinstance(network, MaskRCNN):
            shape = tuple(facts["mask_image_shape"][1:])
            check_masks(report, network, own, scales[i], shape, recorded)
        staged = network.find(own, [start], sizes[i : i + 1], scales[i : i + 1])[0]
        expected = detection_rows(recorded["det.bboxes"], recorded["det.scores"], recorded["det.labels"])
        for name, found in (("detections", staged), ("end_to_end", end_to_end[i])):
            rows = detection_rows(*found[:3])
            report.share(name, share_found(rows, expected, [0.05] * 4 + [1e-3, 0]), DETECTIONS_FOUND)
        rows = detection_rows(*staged[:3])
        people = expected[expected[:, 5] == PERSON, :5]
        recorded_people = np.column_stack([recorded["person.bboxes"], recorded["person.scores"]])
        report.share("people", float(np.array_equal(people, recorded_people.astype(np.float64))), 1.0)
        found_people = rows[rows[:, 5] == PERSON, :5]
        report.share("people", share_found(found_people, people, [0.05] * 4 + [1e-3]), DETECTIONS_FOUND)
    return report.close()


def check_boxes(
    report: Report,
    network: FasterRCNN,
    levels: list[Tensor],
    proposals: Tensor,
    size: Tensor,
    recorded: dict[str, Array],
) -> None:
    """Check RoI level, pooled features and box head outputs of the recorded proposals."""
    if "proposals.roi_level" in recorded:
        same = pyramid_level(proposals, 4).numpy() == recorded["proposals.roi_level"]
        report.share("roi_level", float(same.mean()), 1.0)
    features = network.roi_features(levels, stack_rois([proposals]))
    difference = np.abs(features[:8].numpy() - recorded["roi_feats8"]).max()
    report.error("roi", float(difference), ROI_FEATURES)
    if isinstance(network, CascadeRCNN):
        check_stages(report, network, levels, size, recorded)
    else:
        logits, offsets = network.roi_head["bbox_head"](features)
        for name, values in (("head.cls", logits), ("head.reg", offsets.flatten(1))):
            report.error("head", float(np.abs(values[:64].numpy() - recorded[name + "64"]).max()), HEAD)
            report.error("head", sampled_error(values, recorded, name), HEAD)


def check_stages(
    report: Report, network: CascadeRCNN, levels: list[Tensor], size: Tensor, recorded: dict[str, Array]
) -> None:
    """Check each stage of a cascade from its recorded boxes; offsets are compared by their resulting boxes."""
    for i in range(len(STAGE_STDS)):
        rois = stack_rois([torch.from_numpy(recorded[f"stage{i}.rois64"])])
        logits, boxes = network.refine(i, levels, rois, size)
        report.error("head", float(np.abs(logits.numpy() - recorded[f"stage{i}.cls64"]).max()), HEAD)
        offsets = torch.from_numpy(recorded[f"stage{i}.reg64"])[:, None]
        expected = move_rois(rois, offsets, STAGE_STDS[i], size)
        report.error("stage_boxes", float((boxes - expected).abs().max()), 0.05)
        if i + 1 < len(STAGE_STDS):
            after = torch.from_numpy(recorded[f"stage{i + 1}.rois64"])
            report.error("stage_boxes", float((boxes[:, 0] - after).abs().max()), 0.05)


def check_masks(
    report: Report,
    network: MaskRCNN,
    levels: list[Tensor],
    scale: Tensor,
    shape: tuple[int, int],
    recorded: dict[str, Array],
) -> None:
    """Check the masks of the recorded detections: features, logits, area and centre in the original image."""
    boxes = torch.from_numpy(recorded["mask.rois"])
    labels = torch.from_numpy(recorded["mask.roi_labels"]).long()
    features = network.mask_features(levels, stack_rois([boxes]))
    report.error("mask_features", sampled_error(features, recorded, "mask.feats"), ROI_FEATURES)
    logits = network.roi_head["mask_head"](features)
    report.error("mask_logits", sampled_error(logits, recorded, "mask.logits"), HEAD)
    own = logits[torch.arange(len(labels)), labels]
    difference = np.abs(own[:16].numpy() - recorded["mask.logits_own_class16"]).max()
    report.error("mask_logits", float(difference), HEAD)
    masks = paste_masks(own.sigmoid(), boxes * scale.repeat(2), *shape).numpy()
    area = masks.sum(axis=(1, 2))
    for name, sums, expected in (
        ("area", area, recorded["mask.area"]),
        ("centre_x", (masks * np.arange(shape[1])).sum(axis=(1, 2)), recorded["mask.sum_x"]),
        ("centre_y", (masks * np.arange(shape[0])[:, None]).sum(axis=(1, 2)), recorded["mask.sum_y"]),
    ):
        # Pixels at the threshold may differ: up to one, or one in a thousand.
        unit = 1 if name == "area" else max(shape)
        error = np.abs(sums - expected) / np.maximum(recorded["mask.area"] * 1e-3, 1) / unit
        report.share("mask_" + name, float((error <= 1).mean()), MASKS_FOUND)


def check_model(directory: Path, model: str, only: Sequence[str] = ()) -> int:
    """Check every recorded input of one network, or those in `only`; returns the number of failed cases."""
    named = re.fullmatch(r"(\w+)_rcnn_(w\d+)\w*", model)
    if named is None or named[1] not in NETWORKS or named[2] not in WIDTHS:
        print(f"{model}: FAIL unknown network")
        return 1
    kind, width = named.groups()
    facts = json.loads((directory / model / "meta.json").read_text())
    network = NETWORKS[kind](WIDTHS[width]).eval()
    report = Report(f"{model} keys")
    problem = load_pseudo_weights(network, facts["keys"], facts["weights_sha256"])
    parameters = sum(p.numel() for p in network.parameters())
    report.measures["parameters"] = parameters
    report.failures += [problem] if problem else []
    if parameters != facts["total_params"]:
        report.failures.append(f"{parameters} parameters, expected {facts['total_params']}")
    failures = report.close()
    if problem:
        return failures
    for file in sorted((directory / model).glob("golden_*.npz")):
        tag = file.stem.removeprefix("golden_")
        if tag in only or not only:
            failures += check_case(network, directory, model, tag, facts["golden"][tag])
    return failures


def check(directory: Path) -> int:
    """Check a folder like ../shared/goldens/detector; returns 1 if a case is out of tolerance or none exist, else 0."""
    models = sorted(facts.parent.name for facts in directory.glob("*/meta.json"))
    units = (directory / "unit" / "unit.json").exists()
    if not models and not units:
        print(f"{directory}: FAIL no recorded numbers")
        return 1
    failures = detector_steps.check(directory / "unit") if units else 0
    return int(failures + sum(check_model(directory, model) for model in models) > 0)
