"""Labels of every format become the same records; unlabelled keypoints are not treated as missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.labels import KEYPOINTS, MIRRORED, SIGMAS
from small_sets import HEIGHT, WIDTH, write_coco_set

from posetrack_app.core.errors import InputError
from posetrack_app.core.skeletons import COCO, POSETRACK
from posetrack_app.models.training.coco_labels import HIDDEN_WEIGHT, read_coco, read_image
from posetrack_app.models.training.data import read_training_data
from posetrack_app.models.training.posetrack_labels import read_posetrack
from posetrack_app.models.training.shard_labels import SHARES, read_shards


def test_the_outputs_are_those_of_posetrack_and_the_eyes() -> None:
    assert (*POSETRACK.keypoints, "left_eye", "right_eye") == KEYPOINTS
    assert (*POSETRACK.mirrored, 18, 17) == MIRRORED
    assert tuple(SIGMAS) == (*POSETRACK.sigmas, *COCO.sigmas[1:3])


def test_coco_keypoints_get_their_outputs(tmp_path: Path) -> None:
    file = write_coco_set(tmp_path)
    [person] = read_coco(file)[0].people
    flat = np.array(json.loads(file.read_text())["annotations"][0]["keypoints"]).reshape(17, 3)
    for name in COCO.keypoints:
        coco, output = COCO.keypoints.index(name), KEYPOINTS.index(name)
        weight = {0: 0.0, 1: HIDDEN_WEIGHT, 2: 1.0}[int(flat[coco, 2])]
        assert person.weights[output] == weight
        assert person.measured[output] == (weight > 0)
        np.testing.assert_array_equal(person.keypoints[output], flat[coco, :2])
    for name in ("head_top", "head_bottom"):
        assert person.weights[KEYPOINTS.index(name)] == 0


def test_crowds_and_other_categories(tmp_path: Path) -> None:
    box = {"image_id": 0, "bbox": [1, 1, 30, 60]}
    file = write_coco_set(
        tmp_path,
        annotations=[
            {**box, "category_id": 1, "iscrowd": 1},
            {**box, "category_id": 1},
            {**box, "category_id": 18},
        ],
        categories=[{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
    )
    people = read_coco(file)[0].people
    assert [person.ignore for person in people] == [True, False]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": None}, "no list 'images'"),
        ({"annotations": {}}, "no list 'annotations'"),
        ({"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}, "no category 'person'"),
        ({"categories": [{"id": 1, "name": "person", "keypoints": ["tail"]}]}, "unknown keypoint names"),
        (
            {"annotations": [{"image_id": 0, "category_id": 1}]},
            r"annotations\[0\].*neither 'bbox' nor keypoints",
        ),
        ({"annotations": [{"category_id": 1, "bbox": [0, 0, 9, 9]}]}, r"annotations\[0\].*image_id"),
        (
            {
                "annotations": [
                    {"image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9], "keypoints": [1, 2, 2]}
                ]
            },
            "'keypoints' has 3 numbers",
        ),
        (
            {"annotations": [{"image_id": 0, "category_id": 1, "bbox": [0, 0, float("nan"), 9]}]},
            r"annotations\[0\].*NaN or infinite",
        ),
        ({"annotations": ["x"]}, r"annotations\[0\] cannot be used"),
        ({"categories": ["person"]}, "'categories' must be a list"),
        ({"categories": 7.5}, "'categories' must be a list"),
        ({"categories": [{"id": 1, "name": "person", "keypoints": 17}]}, "must be a list of names"),
        ({"images": [{"id": 0, "file_name": "000.png"}]}, r"images\[0\].*height"),
        (
            {"images": [{"id": 0, "file_name": "000.png", "height": HEIGHT, "width": WIDTH}] * 2},
            r"images\[1\].*its id 0 is used twice",
        ),
        ({"images": [], "annotations": []}, "lists no images"),
        ({"annotations": [{"image_id": 0, "category_id": 1, "bbox": None}]}, "neither 'bbox' nor keypoints"),
        (
            {"images": [{"id": 0, "file_name": "a.png", "height": 9, "width": 9}]},
            "give the folder of the images",
        ),
    ],
)
def test_invalid_coco_files_are_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    file = write_coco_set(tmp_path, **changes)
    with pytest.raises(InputError, match=words):
        read_coco(file)


def test_a_coco_folder_is_trained_on_train_and_measured_on_val(tmp_path: Path) -> None:
    for split, count in (("train2017", 4), ("val2017", 2)):
        file = write_coco_set(tmp_path / split, count)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        file.rename(tmp_path / "annotations" / f"person_keypoints_{split}.json")
        for image in (tmp_path / split / "images").iterdir():
            image.rename(tmp_path / split / image.name)
    data = read_training_data([tmp_path], "pose")
    assert (len(data.train), len(data.dev)) == (4, 2)
    assert data.train[1].read().shape == (HEIGHT, WIDTH, 3)


def test_one_file_is_split_the_same_way_every_time(tmp_path: Path) -> None:
    file = write_coco_set(tmp_path, 60)
    data = read_training_data([file], "pose")
    assert (len(data.train), len(data.dev)) == (57, 3)
    assert not {p.name for p in data.train} & {p.name for p in data.dev}
    again = read_training_data([file], "detector")
    assert [p.name for p in again.dev] == [p.name for p in data.dev]


def test_nothing_to_train_on(tmp_path: Path) -> None:
    box = {"image_id": 0, "category_id": 1, "bbox": [1, 1, 30, 60]}
    file = write_coco_set(tmp_path, annotations=[box])
    assert read_training_data([file], "detector").train
    with pytest.raises(InputError, match="no person with 4 labelled keypoints"):
        read_training_data([file], "pose")
    with pytest.raises(InputError, match="not a training set"):
        read_training_data([tmp_path], "pose")
    with pytest.raises(InputError, match="no such file"):
        read_training_data([tmp_path / "none"], "pose")


def test_several_data_sets_are_used_together(tmp_path: Path) -> None:
    files = [write_coco_set(tmp_path / name, 40) for name in ("a", "b")]
    data = read_training_data(files, "pose")
    apart = [read_training_data([file], "pose") for file in files]
    assert [image.file for image in data.train] == [image.file for one in apart for image in one.train]
    assert [image.file for image in data.dev] == [image.file for one in apart for image in one.dev]
    assert len(data.dev) == 4
    data = read_training_data(files, "pose", dev=files[0])
    assert (len(data.train), len(data.dev)) == (80, 40)


def write_posetrack(root: Path) -> None:
    """One video with a labelled and an unlabelled frame."""
    file = write_coco_set(root / "images/train/v", 2)
    labels = json.loads(file.read_text())
    for k, image in enumerate(labels["images"]):
        image |= {"file_name": f"images/train/v/images/{k:03}.png", "is_labeled": k == 0}
        image |= {"ignore_regions_x": [[1, 20, 10]], "ignore_regions_y": [[5, 5, 30]]}
    names = POSETRACK.keypoints
    keypoints = [v for k in range(17) for v in (10.0 + k, 20.0 + k, float(names[k] != "left_ear"))]
    person = {
        "image_id": 0,
        "track_id": 1,
        "category_id": 1,
        "keypoints": keypoints,
        "bbox_head": [1, 2, 3, 4],
    }
    labels["annotations"] = [
        person,
        {"image_id": 0, "track_id": 2, "category_id": 1, "bbox_head": [1, 2, 3, 4]},
    ]
    labels["categories"][0]["keypoints"] = list(names)
    (root / "annotations/train").mkdir(parents=True)
    (root / "annotations/train/v.json").write_text(json.dumps(labels))


def test_posetrack_frames_people_and_regions(tmp_path: Path) -> None:
    write_posetrack(tmp_path)
    [image] = read_posetrack(tmp_path, "train")
    assert image.size == (HEIGHT, WIDTH)
    person, region = image.people
    assert (person.weights[:17] > 0).tolist() == [name != "left_ear" for name in POSETRACK.keypoints]
    assert not person.weights[17:].any()
    assert person.box[0] < 10 < 26 < person.box[2]
    assert region.ignore
    np.testing.assert_array_equal(region.box, [1, 5, 20, 30])


def test_images_are_shrunk_with_their_labels_and_decoded_once(tmp_path: Path) -> None:
    labels = read_coco(write_coco_set(tmp_path, 2))
    images = Images(labels, tmp_path / "cache", max_side=80)
    assert not images.decoded
    images.decode()
    assert images.image(0).shape == (60, 80, 3)
    np.testing.assert_allclose(images.boxes(0)[0][0], labels[0].people[0].box / 2, rtol=1e-6)
    again = Images(labels, tmp_path / "cache", max_side=80)
    assert again.decoded
    full = Images(labels, tmp_path / "cache", max_side=512)
    full.decode()
    np.testing.assert_array_equal(full.image(1), labels[1].read())
    assert {file.suffix for file in (tmp_path / "cache").iterdir()} == {".rgb"}


def test_images_with_the_same_names_do_not_share_decoded_pixels(tmp_path: Path) -> None:
    one, other = (read_coco(write_coco_set(tmp_path / name, count)) for name, count in (("a", 2), ("b", 2)))
    Images(one, tmp_path / "cache", max_side=80).decode()
    assert not Images(other, tmp_path / "cache", max_side=80).decoded
    file = one[0].file
    cv2.imwrite(str(file), np.full((HEIGHT, WIDTH, 3), 7, np.uint8))
    corrected = Images(one, tmp_path / "cache", max_side=80)
    assert not corrected.decoded
    corrected.decode()
    assert (corrected.image(0) == 7).all()


def test_two_trainings_may_fill_a_cache_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = read_coco(write_coco_set(tmp_path, 2))
    other = Images(labels, tmp_path / "cache", max_side=80)

    def read_while_the_other_decodes() -> np.ndarray:
        with monkeypatch.context() as patched:
            patched.setattr("os.getpid", lambda: -1)
            other.decode()
        return labels[1].read()

    images = Images(
        [labels[0], replace(labels[1], read=read_while_the_other_decodes)], tmp_path / "cache", max_side=80
    )
    images.decode()
    for index in (0, 1):
        assert images.image(index).any()
        np.testing.assert_array_equal(images.image(index), other.image(index))


def test_dev_images_are_found_beside_their_file_or_in_the_folder_of_images(tmp_path: Path) -> None:
    train_file, dev_file = write_coco_set(tmp_path / "train", 3), write_coco_set(tmp_path / "dev", 2)
    folder = (tmp_path / "train/images").rename(tmp_path / "images")
    data = read_training_data([train_file], "pose", folder, dev_file)
    assert {image.file.parent for image in data.train} == {folder}
    assert {image.file.parent for image in data.dev} == {tmp_path / "dev/images"}
    for image in data.dev:
        image.file.rename(folder / f"dev-{image.name}")
    content = json.loads(dev_file.read_text())
    for entry in content["images"]:
        entry["file_name"] = f"dev-{entry['file_name']}"
    dev_file.write_text(json.dumps(content))
    data = read_training_data([train_file], "pose", folder, dev_file)
    assert {image.file.parent for image in data.dev} == {folder}


@pytest.mark.data
def test_shards(shared: Path) -> None:
    images = read_shards(shared / "data/train", "dev", "pose")
    assert len(images) == 715
    assert images[0].read().shape[:2] == images[0].size
    people = [p for image in images for p in image.people if not p.ignore]
    assert any(((p.weights > 0) & ~p.measured).any() for p in people)


@pytest.mark.data
@pytest.mark.parametrize("task", ["pose", "detector"])
def test_both_sets_of_shards_are_used_together(shared: Path, task: str) -> None:
    folders = [shared / "data/train", shared / "data/train2"]
    data = read_training_data(folders, task)
    assert len(data.dev) == 715 + 136
    assert {"lspet", "coco_val2017_dev", "hd_coco"} <= {image.source for image in data.dev}
    assert set(SHARES[task]) <= {image.source for image in data.train}
    assert data.dev[-1].read().shape[2] == 3


def _photo(path: Path, orientation: int, size: tuple[int, int] = (40, 60)) -> None:
    """A JPEG stored with `size` (height, width), its upper half red, with an EXIF orientation."""
    image = np.zeros((*size, 3), np.uint8)
    image[: size[0] // 2, :, 2] = 255
    _, encoded = cv2.imencode(".jpg", image)
    tag = b"\x12\x01\x03\x00\x01\x00\x00\x00" + bytes([orientation, 0, 0, 0])
    exif = b"Exif\x00\x00" + b"II*\x00\x08\x00\x00\x00" + b"\x01\x00" + tag + bytes(4)
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    jpeg = encoded.tobytes()
    path.write_bytes(jpeg[:2] + segment + jpeg[2:])


def test_a_rotated_photo_is_read_upright_or_as_stored_to_match_its_labels(tmp_path: Path) -> None:
    _photo(tmp_path / "p.jpg", orientation=6)  # rotate to the right: the top becomes the right side
    stored = read_image(tmp_path / "p.jpg", (40, 60))
    assert stored.shape == (40, 60, 3)
    assert stored[5, 30, 0] > 200
    upright = read_image(tmp_path / "p.jpg", (60, 40))
    assert upright.shape == (60, 40, 3)
    assert upright[30, 35, 0] > 200
    assert upright[30, 5, 0] < 50
    smaller = read_image(tmp_path / "p.jpg", (120, 80))  # labelled before it was shrunk
    assert smaller.shape == (60, 40, 3)
    # Upside down: both orientations have the labels' size, and viewers show it upright.
    _photo(tmp_path / "u.jpg", orientation=3)
    assert read_image(tmp_path / "u.jpg", (40, 60))[35, 30, 0] > 200
    with pytest.raises(InputError, match="is 60x40, but its labels are for 60x60"):
        read_image(tmp_path / "p.jpg", (60, 60))
