"""Labels of every format become the same records; what nobody labelled is not taken for absent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from posetrack_detectors.training.labels import KEYPOINTS, MIRRORED, SIGMAS
from posetrack_detectors.training.pictures import Pictures
from small_sets import HEIGHT, WIDTH, write_coco_set

from posetrack_app.errors import InputError
from posetrack_app.skeleton import COCO, POSETRACK
from posetrack_app.training.coco_labels import HIDDEN_WEIGHT, read_coco, read_picture
from posetrack_app.training.data import read_training_data
from posetrack_app.training.posetrack_labels import read_posetrack
from posetrack_app.training.shard_labels import read_shards


def test_our_outputs_are_posetrack_and_the_eyes() -> None:
    assert (*POSETRACK.keypoints, "left_eye", "right_eye") == KEYPOINTS
    assert (*POSETRACK.mirrored, 18, 17) == MIRRORED
    assert tuple(SIGMAS) == (*POSETRACK.sigmas, *COCO.sigmas[1:3])


def test_coco_keypoints_find_their_places(tmp_path: Path) -> None:
    file = write_coco_set(tmp_path)
    [person] = read_coco(file)[0].people
    flat = np.array(json.loads(file.read_text())["annotations"][0]["keypoints"]).reshape(17, 3)
    for name in COCO.keypoints:
        theirs, ours = COCO.keypoints.index(name), KEYPOINTS.index(name)
        weight = {0: 0.0, 1: HIDDEN_WEIGHT, 2: 1.0}[int(flat[theirs, 2])]
        assert person.weights[ours] == weight
        assert person.measured[ours] == (weight > 0)
        np.testing.assert_array_equal(person.keypoints[ours], flat[theirs, :2])
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
        ({"categories": [{"id": 1, "name": "person", "keypoints": ["tail"]}]}, "none of its keypoints"),
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
            r"annotations\[0\].*not all finite",
        ),
        ({"annotations": ["x"]}, r"annotations\[0\] cannot be used"),
        ({"categories": ["person"]}, "'categories' must be a list"),
        ({"categories": 7.5}, "'categories' must be a list"),
        ({"categories": [{"id": 1, "name": "person", "keypoints": 17}]}, "must be a list of names"),
        ({"images": [{"id": 0, "file_name": "000.png"}]}, r"images\[0\].*height"),
        (
            {"images": [{"id": 0, "file_name": "000.png", "height": HEIGHT, "width": WIDTH}] * 2},
            r"images\[1\].*its id 0 is that of another picture",
        ),
        ({"images": [], "annotations": []}, "lists no pictures"),
        ({"annotations": [{"image_id": 0, "category_id": 1, "bbox": None}]}, "neither 'bbox' nor keypoints"),
        ({"images": [{"id": 0, "file_name": "a.png", "height": 9, "width": 9}]}, "--images"),
    ],
)
def test_coco_files_that_cannot_be_used_say_why(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    file = write_coco_set(tmp_path, **changes)
    with pytest.raises(InputError, match=words):
        read_coco(file)


def test_a_coco_tree_trains_on_train_and_measures_on_val(tmp_path: Path) -> None:
    for split, count in (("train2017", 4), ("val2017", 2)):
        file = write_coco_set(tmp_path / split, count)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        file.rename(tmp_path / "annotations" / f"person_keypoints_{split}.json")
        for picture in (tmp_path / split / "images").iterdir():
            picture.rename(tmp_path / split / picture.name)
    data = read_training_data(tmp_path, "pose")
    assert (len(data.train), len(data.dev)) == (4, 2)
    assert data.train[1].read().shape == (HEIGHT, WIDTH, 3)


def test_one_file_is_parted_the_same_way_every_time(tmp_path: Path) -> None:
    file = write_coco_set(tmp_path, 60)
    data = read_training_data(file, "pose")
    assert (len(data.train), len(data.dev)) == (57, 3)
    assert not {p.name for p in data.train} & {p.name for p in data.dev}
    again = read_training_data(file, "detector")
    assert [p.name for p in again.dev] == [p.name for p in data.dev]


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    box = {"image_id": 0, "category_id": 1, "bbox": [1, 1, 30, 60]}
    file = write_coco_set(tmp_path, annotations=[box])
    assert read_training_data(file, "detector").train
    with pytest.raises(InputError, match="nobody with 4 labelled keypoints"):
        read_training_data(file, "pose")
    with pytest.raises(InputError, match="is no set to train on"):
        read_training_data(tmp_path, "pose")
    with pytest.raises(InputError, match="no such file"):
        read_training_data(tmp_path / "none", "pose")


def write_posetrack(root: Path) -> None:
    """One video with a labelled frame and one that is not."""
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
    [picture] = read_posetrack(tmp_path, "train")
    assert picture.size == (HEIGHT, WIDTH)
    person, region = picture.people
    assert (person.weights[:17] > 0).tolist() == [name != "left_ear" for name in POSETRACK.keypoints]
    assert not person.weights[17:].any()
    assert person.box[0] < 10 < 26 < person.box[2]
    assert region.ignore
    np.testing.assert_array_equal(region.box, [1, 5, 20, 30])


def test_pictures_are_shrunk_with_their_labels_and_decoded_once(tmp_path: Path) -> None:
    labels = read_coco(write_coco_set(tmp_path, 2))
    pictures = Pictures(labels, tmp_path / "cache", longest=80)
    assert not pictures.decoded
    pictures.decode()
    assert pictures.image(0).shape == (60, 80, 3)
    np.testing.assert_allclose(pictures.boxes(0)[0][0], labels[0].people[0].box / 2, rtol=1e-6)
    again = Pictures(labels, tmp_path / "cache", longest=80)
    assert again.decoded
    full = Pictures(labels, tmp_path / "cache", longest=512)
    full.decode()
    np.testing.assert_array_equal(full.image(1), labels[1].read())
    assert {file.suffix for file in (tmp_path / "cache").iterdir()} == {".rgb"}


def test_pictures_of_the_same_names_do_not_share_decoded_pixels(tmp_path: Path) -> None:
    one, other = (
        read_coco(write_coco_set(tmp_path / name, pictures)) for name, pictures in (("a", 2), ("b", 2))
    )
    Pictures(one, tmp_path / "cache", longest=80).decode()
    assert not Pictures(other, tmp_path / "cache", longest=80).decoded
    file = one[0].file
    cv2.imwrite(str(file), np.full((HEIGHT, WIDTH, 3), 7, np.uint8))
    corrected = Pictures(one, tmp_path / "cache", longest=80)
    assert not corrected.decoded
    corrected.decode()
    assert (corrected.image(0) == 7).all()


def test_a_cache_that_two_trainings_fill_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = read_coco(write_coco_set(tmp_path, 2))
    other = Pictures(labels, tmp_path / "cache", longest=80)

    def read_while_the_other_decodes() -> np.ndarray:
        with monkeypatch.context() as patched:
            patched.setattr("os.getpid", lambda: -1)
            other.decode()
        return labels[1].read()

    pictures = Pictures(
        [labels[0], replace(labels[1], read=read_while_the_other_decodes)], tmp_path / "cache", longest=80
    )
    pictures.decode()
    for index in (0, 1):
        assert pictures.image(index).any()
        np.testing.assert_array_equal(pictures.image(index), other.image(index))


def test_dev_pictures_lie_beside_their_file_or_in_images(tmp_path: Path) -> None:
    train_file, dev_file = write_coco_set(tmp_path / "train", 3), write_coco_set(tmp_path / "dev", 2)
    pictures = (tmp_path / "train/images").rename(tmp_path / "pictures")
    data = read_training_data(train_file, "pose", pictures, dev_file)
    assert {picture.file.parent for picture in data.train} == {pictures}
    assert {picture.file.parent for picture in data.dev} == {tmp_path / "dev/images"}
    for picture in data.dev:
        picture.file.rename(pictures / f"dev-{picture.name}")
    content = json.loads(dev_file.read_text())
    for image in content["images"]:
        image["file_name"] = f"dev-{image['file_name']}"
    dev_file.write_text(json.dumps(content))
    data = read_training_data(train_file, "pose", pictures, dev_file)
    assert {picture.file.parent for picture in data.dev} == {pictures}


@pytest.mark.data
def test_our_shards(shared: Path) -> None:
    pictures = read_shards(shared / "data/train", "dev", "pose")
    assert len(pictures) == 715
    assert pictures[0].read().shape[:2] == pictures[0].size
    taught = [p for picture in pictures for p in picture.people if not p.ignore]
    assert any(((p.weights > 0) & ~p.measured).any() for p in taught)


def _photo(path: Path, orientation: int, size: tuple[int, int] = (40, 60)) -> None:
    """A JPEG of `size` (height, width) as stored, red above; EXIF says how to turn it."""
    image = np.zeros((*size, 3), np.uint8)
    image[: size[0] // 2, :, 2] = 255
    _, encoded = cv2.imencode(".jpg", image)
    tag = b"\x12\x01\x03\x00\x01\x00\x00\x00" + bytes([orientation, 0, 0, 0])
    exif = b"Exif\x00\x00" + b"II*\x00\x08\x00\x00\x00" + b"\x01\x00" + tag + bytes(4)
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    jpeg = encoded.tobytes()
    path.write_bytes(jpeg[:2] + segment + jpeg[2:])


def test_a_phone_picture_is_turned_where_it_was_labelled_upright(tmp_path: Path) -> None:
    _photo(tmp_path / "p.jpg", orientation=6)  # to be turned to the right: what is above comes to the right
    stored = read_picture(tmp_path / "p.jpg", (40, 60))
    assert stored.shape == (40, 60, 3)
    assert stored[5, 30, 0] > 200
    upright = read_picture(tmp_path / "p.jpg", (60, 40))
    assert upright.shape == (60, 40, 3)
    assert upright[30, 35, 0] > 200
    assert upright[30, 5, 0] < 50
    smaller = read_picture(tmp_path / "p.jpg", (120, 80))  # labelled before it was made smaller
    assert smaller.shape == (60, 40, 3)
    _photo(
        tmp_path / "u.jpg", orientation=3
    )  # stored upside down, of one size either way: viewers show it turned
    assert read_picture(tmp_path / "u.jpg", (40, 60))[35, 30, 0] > 200
    with pytest.raises(InputError, match="is 60x40, but its labels are for 60x60"):
        read_picture(tmp_path / "p.jpg", (60, 60))
