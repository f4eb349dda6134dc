"""Measure a pose net on the dev split with ground-truth boxes: OKS-AR on COCO people, PCK@0.2 on LSPET.

python scripts/measure_pose.py --data ../shared/data/train [--weights FILE.safetensors] [--size 256x192]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from posetrack_detectors.crops import centre_and_scale, crop_person
from posetrack_detectors.heatmaps import decode_heatmaps, flip_back
from training_data import MEAN, STD, Person, PictureStore, people_with_keypoints

BODY_SIGMAS = (0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)
SIGMAS = np.array([0.026, 0.079, 0.079, 0.035, 0.035, *BODY_SIGMAS, 0.025, 0.025])
LEFT_SHOULDER, RIGHT_HIP = 5, 12


def predict(
    network: torch.nn.Module,
    store: PictureStore,
    people: list[Person],
    size: tuple[int, int],
    *,
    flip: bool,
    batch: int = 32,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Keypoints (N, 19, 2) in picture pixels and scores (N, 19) of the people in their ground-truth boxes."""
    device = next(network.parameters()).device
    found, heights = [], []
    for start in range(0, len(people), batch):
        group = people[start : start + batch]
        places = [centre_and_scale(person.box, size[0] / size[1]) for person in group]
        centres, scales = (np.stack(column) for column in zip(*places, strict=True))
        crops = np.stack(
            [
                crop_person(store.image(p.picture), c, s, size)
                for p, c, s in zip(group, centres, scales, strict=True)
            ]
        )
        x = torch.from_numpy((crops.astype(np.float32) - MEAN) / STD).permute(0, 3, 1, 2).to(device)
        with torch.no_grad():
            heatmaps = network(x).float().cpu().numpy()
            if flip:
                turned = network(x.flip(3)).float().cpu().numpy()
                heatmaps = (heatmaps + flip_back(turned, tuple(store.flip))) / 2
        keypoints, scores = decode_heatmaps(heatmaps, centres, scales)
        found.append(keypoints)
        heights.append(scores)
    return np.concatenate(found), np.concatenate(heights)


def oks(person: Person, keypoints: NDArray[Any]) -> float:
    """Object keypoint similarity over the human-labelled keypoints; area = 0.53 x box."""
    known = person.measured & (person.weights > 0)
    width, height = person.box[2:] - person.box[:2]
    squared = ((person.keypoints - keypoints) ** 2).sum(axis=1)[known]
    return float(np.exp(-squared / (2 * (2 * SIGMAS[known]) ** 2 * 0.53 * width * height)).mean())


def measure(
    network: torch.nn.Module,
    store: PictureStore,
    size: tuple[int, int],
    *,
    flip: bool = False,
    every: int = 1,
) -> dict[str, float]:
    """OKS-AR on COCO dev people, PCK@0.2 and @0.5 of the torso (left shoulder to right hip) on LSPET dev people.

    `every` takes each n-th LSPET person only, for a quick look during training.
    """
    people = [person for person in people_with_keypoints(store, least=1) if person.measured.any()]
    lspet = [person for person in people if person.source == "lspet"]
    people = [person for person in people if person.source != "lspet"] + lspet[::every]
    keypoints, _ = predict(network, store, people, size, flip=flip)
    similarities, distances = [], []
    for person, found in zip(people, keypoints, strict=True):
        if person.source.startswith("coco"):
            similarities.append(oks(person, found))
        elif person.source == "lspet" and person.measured[[LEFT_SHOULDER, RIGHT_HIP]].all():
            torso = np.linalg.norm(person.keypoints[LEFT_SHOULDER] - person.keypoints[RIGHT_HIP])
            error = np.linalg.norm(person.keypoints - found, axis=1)[person.measured]
            distances.append(error / max(torso, 1.0))
    errors = np.concatenate(distances)
    recall = [(np.array(similarities) > threshold).mean() for threshold in np.arange(0.5, 0.96, 0.05)]
    return {
        "coco_people": len(similarities),
        "coco_oks_ar": round(float(np.mean(recall)), 4),
        "coco_oks_mean": round(float(np.mean(similarities)), 4),
        "lspet_people": len(distances),
        "lspet_pck20": round(float((errors < 0.2).mean()), 4),
        "lspet_pck50": round(float((errors < 0.5).mean()), 4),
    }


def parse_size(text: str) -> tuple[int, int]:
    """'256x192' (height x width, as papers write it) to (width, height)."""
    height, width = (int(number) for number in text.split("x"))
    return width, height


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--weights", type=Path, help="default: the embedded weights")
    parser.add_argument("--size", type=parse_size, default=(192, 256), metavar="HxW")
    options = parser.parse_args()
    from posetrack_detectors.hrnet import COMPACT, fold_batch_norms
    from posetrack_detectors.pose_hrnet import PoseHRNet
    from safetensors.torch import load_file

    network = PoseHRNet(COMPACT, 19)
    embedded = Path(__file__).parents[1] / "posetrack_app/embedded/pose.safetensors"
    weights = load_file(options.weights or embedded)
    network.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    fold_batch_norms(network.eval())
    store = PictureStore(options.data, "dev", options.cache)
    for flip in (False, True):
        print(json.dumps({"flip": flip, **measure(network, store, options.size, flip=flip)}))


if __name__ == "__main__":
    main()
