"""Compare the detectors with numbers recorded from the official implementation; one line a case.

python scripts/goldens_detector.py ../shared/goldens/detector

The folder's format and tolerances are described in its README.md. Its own code is not run: the pseudo-weights'
formula is written down here again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import goldens_detector_units
import numpy as np
import torch
from golden_report import Report, draw, sampled_error, share_found
from numpy.typing import NDArray
from posetrack_detectors import faster_rcnn
from posetrack_detectors.boxes import pyramid_level
from posetrack_detectors.cascade_rcnn import STAGE_STDS, CascadeRCNN
from posetrack_detectors.faster_rcnn import FasterRCNN, move_rois, stack_rois
from posetrack_detectors.mask_rcnn import MaskRCNN, paste_masks
from posetrack_detectors.person_detector import PERSON, prepare
from torch import Tensor

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
_SHARED = os.environ.get("POSETRACK_SHARED", Path(__file__).resolve().parents[2] / "shared")
SHARED_PICTURES = Path(_SHARED) / "data/images"

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
    """The recorded networks' value of one state-dict key."""
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
    """Fill `network`; returns what differs from the recorded keys, shapes and digest, empty if nothing."""
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
    return "" if sums.hexdigest() == digest else "pseudo-weights have another sha256"


def detection_rows(boxes: Any, scores: Any, labels: Any) -> Array:
    """(N, 6): box, score, label."""
    columns = [np.asarray(boxes), np.asarray(scores)[:, None], np.asarray(labels)[:, None]]
    return np.concatenate(columns, axis=1).astype(np.float64)


def read_case(directory: Path, tag: str, facts: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor, str]:
    """Input (N, 3, H, W), sizes, scales as `FasterRCNN.forward` takes them, and what is wrong with the pictures.

    Inputs without a picture are seeded by their tag; pictures are known by what they look like when resized.
    """
    if not all("resized_bgr_hwc_uint8_sha256" in one for one in facts["preproc"]):
        shape = tuple(facts["input"]["shape"])
        pictures = torch.from_numpy(draw(f"input:{tag}", shape).astype(np.float32))
        sizes = torch.tensor([one["img_shape"][::-1] for one in facts["preproc"]], dtype=torch.float32)
        return pictures, sizes, torch.ones(shape[0], 2), ""
    folders = [directory / "images", directory.resolve().parents[1] / "data/images", SHARED_PICTURES]
    images = []
    for one in facts["preproc"]:
        image = find_picture(folders, one)
        if image is None:
            return *[torch.zeros(0)] * 3, f"a picture of {one['ori_shape']} is not in {folders[1]}"
        images.append(image)
    pictures, sizes, scales = prepare(images, faster_rcnn.W18, torch.device("cpu"))
    wanted = [list(reversed(one["img_shape"])) for one in facts["preproc"]]
    return (
        pictures,
        sizes,
        scales,
        "" if sizes.tolist() == wanted else f"resized to {sizes.tolist()}, not {wanted}",
    )


def find_picture(folders: list[Path], facts: dict[str, Any]) -> Array | None:
    """The RGB picture that resizes to the recorded pixels."""
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
    """Every recorded stage of one input; stages behind the proposals are fed with the recorded ones."""
    report = Report(f"{model} {tag}")
    pictures, sizes, scales, problem = read_case(directory, tag, facts)
    if problem:
        report.failures.append(problem)
        return report.close()
    golden = np.load(directory / model / f"golden_{tag}.npz")
    branches = network.backbone(pictures)
    levels = network.neck(branches)
    outputs = [network.rpn_head(level) for level in levels]
    report.error("input", sampled_error(pictures, golden, "input"), TOLERANCES["input"])
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
    whole = network.find(levels, [boxes for boxes, _ in proposals], sizes, scales)
    for i in range(len(pictures)):
        prefix = f"img{i}." if len(pictures) > 1 else ""
        recorded = {key.removeprefix(prefix): golden[key] for key in golden if key.startswith(prefix)}
        wanted = recorded["proposals.bboxes"]
        report.share("proposals", share_found(proposals[i][0].numpy(), wanted, [0.05] * 4), PROPOSALS_FOUND)
        own = [level[i : i + 1] for level in levels]
        start = torch.from_numpy(wanted)
        check_boxes(report, network, own, start, sizes[i : i + 1], recorded)
        if isinstance(network, MaskRCNN):
            shape = tuple(facts["mask_image_shape"][1:])
            check_masks(report, network, own, scales[i], shape, recorded)
        staged = network.find(own, [start], sizes[i : i + 1], scales[i : i + 1])[0]
        wanted = detection_rows(recorded["det.bboxes"], recorded["det.scores"], recorded["det.labels"])
        for name, found in (("detections", staged), ("end_to_end", whole[i])):
            rows = detection_rows(*found[:3])
            report.share(name, share_found(rows, wanted, [0.05] * 4 + [1e-3, 0]), DETECTIONS_FOUND)
        rows = detection_rows(*staged[:3])
        people = wanted[wanted[:, 5] == PERSON, :5]
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
    """RoI level, pooled features and box head outputs of the recorded proposals."""
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
    """Each stage of a cascade from its recorded boxes; offsets by the boxes that they lead to."""
    for i in range(len(STAGE_STDS)):
        rois = stack_rois([torch.from_numpy(recorded[f"stage{i}.rois64"])])
        logits, boxes = network.refine(i, levels, rois, size)
        report.error("head", float(np.abs(logits.numpy() - recorded[f"stage{i}.cls64"]).max()), HEAD)
        offsets = torch.from_numpy(recorded[f"stage{i}.reg64"])[:, None]
        wanted = move_rois(rois, offsets, STAGE_STDS[i], size)
        report.error("stage_boxes", float((boxes - wanted).abs().max()), 0.05)
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
    """Silhouettes of the recorded detections: features, logits, area and centre in the original picture."""
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
    for name, sums, wanted in (
        ("area", area, recorded["mask.area"]),
        ("centre_x", (masks * np.arange(shape[1])).sum(axis=(1, 2)), recorded["mask.sum_x"]),
        ("centre_y", (masks * np.arange(shape[0])[:, None]).sum(axis=(1, 2)), recorded["mask.sum_y"]),
    ):
        # A pixel whose value is just at the threshold may turn: up to one, or one in a thousand.
        unit = 1 if name == "area" else max(shape)
        error = np.abs(sums - wanted) / np.maximum(recorded["mask.area"] * 1e-3, 1) / unit
        report.share("mask_" + name, float((error <= 1).mean()), MASKS_FOUND)


def check_model(directory: Path, model: str, only: Sequence[str] = ()) -> int:
    """Every recorded input of one network, or those named in `only`; how many cases failed."""
    named = re.fullmatch(r"(\w+)_rcnn_(w\d+)\w*", model)
    if named is None or named[1] not in NETWORKS or named[2] not in WIDTHS:
        print(f"{model}: FAIL no network of ours is called so")
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
        report.failures.append(f"{parameters} parameters, not {facts['total_params']}")
    failures = report.close()
    if problem:
        return failures
    for file in sorted((directory / model).glob("golden_*.npz")):
        tag = file.stem.removeprefix("golden_")
        if tag in only or not only:
            failures += check_case(network, directory, model, tag, facts["golden"][tag])
    return failures


def check(directory: Path) -> int:
    """Check all of a folder like ../shared/goldens/detector; one line a case, 1 if any is out of tolerance, else 0."""
    models = sorted(facts.parent.name for facts in directory.glob("*/meta.json"))
    units = (directory / "unit" / "unit.json").exists()
    if not models and not units:
        print(f"{directory}: FAIL nothing is recorded here")
        return 1
    failures = goldens_detector_units.check(directory / "unit") if units else 0
    return int(failures + sum(check_model(directory, model) for model in models) > 0)


if __name__ == "__main__":
    sys.exit(check(Path(sys.argv[1])))
