"""Write posetrack_app/models/published_weights.json from the recorded facts in ../shared/goldens.

python scripts/weights/make_weights_registry.py ../shared/goldens
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[2] / "posetrack_app/models/published_weights.json"
DATASETS = {"CocoDataset": "coco", "MpiiDataset": "mpii", "PoseTrack18Dataset": "posetrack18"}
AUTHORS = "https://github.com/leoxiaobin/deep-high-resolution-net.pytorch"
HOST = "https://download.openmmlab.com/"
# The buckets of the two projects, to which their README files linked in 2020, for files of that time. Only the
# SHA-256 makes them safe to try; whether they still reply could not be checked where this was written.
BUCKETS = {
    "mmdetection/": ("https://open-mmlab.s3.ap-northeast-2.amazonaws.com/", "20200731"),
    "mmpose/top_down/": ("https://openmmlab.oss-cn-hangzhou.aliyuncs.com/", "20200930"),
}
MERGE = "mmpose/v1/body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-aic-256x192-merge"
CORRECTED = {
    # Superseded in August 2023; the recorded configurations are older.
    "hrnet-w32-coco-256x192-merge": (f"{HOST}{MERGE}-a9ea6d77_20230818.pth", "AP 75.6 COCO val2017"),
}
# From the authors' README and the papers' tables: COCO val2017 AP with detected boxes, MPII PCKh@0.5.
AUTHORS_COCO = {
    ("hrnet-w32", "256x192"): 74.4, ("hrnet-w32", "384x288"): 75.8,
    ("hrnet-w48", "256x192"): 75.1, ("hrnet-w48", "384x288"): 76.3,
    ("resnet-50", "256x192"): 70.4, ("resnet-50", "384x288"): 72.2,
    ("resnet-101", "256x192"): 71.4, ("resnet-101", "384x288"): 73.6,
    ("resnet-152", "256x192"): 72.0, ("resnet-152", "384x288"): 74.3,
}  # fmt: skip
AUTHORS_MPII = {
    "hrnet-w32": 90.3, "resnet-50": 88.5, "resnet-101": 89.1, "resnet-152": 89.6,
}  # fmt: skip
AUTHORS_SHA256 = {  # of the authors' files, as people who keep copies of them state it
    "pose_hrnet_w32_256x192.pth": "19bc083708bb8d873211e50d85d56344c10290c6e8b564c813fdde09645c4c1c",
    "pose_hrnet_w48_384x288.pth": "95e0fec3194826d5e3f806ea89be68bbb84517b114c3a32b3058c56610b5ef61",
}
POSETRACK_BOXES = "boxes of Cascade R-CNN X101 (score 0.4, OKS NMS 0.9, keypoint visibility 0.2)"


def pose_entry(name: str, network: str, size: tuple[int, int], outputs: int, **facts: Any) -> dict[str, Any]:
    return {
        "name": name,
        "task": "pose",
        "network": network,
        "input": list(size),
        "outputs": outputs,
        **facts,
    }


def mmpose(goldens: Path) -> list[dict[str, Any]]:
    facts = json.loads((goldens / "pose/C_mmpose/configs.json").read_text())
    entries = []
    for config in facts["configs"]:
        dataset = DATASETS.get(config["dataset"])
        models = config["metafile"]
        if dataset is None or config["head_out_channels"] == 19:  # 19: COCO and AI Challenger together
            continue
        url = models[0]["weights"]
        width, height = config["codec"]["input_size"]
        stated = re.search(r"_(\d+x\d+)", url.rpartition("/")[2].replace("coco-", "coco_"))
        if stated and stated.group(1) != f"{height}x{width}":
            print(f"skipped: {config['config']} links to a file for another size, {url}")
            continue
        is_hrnet = config["backbone"] == "HRNet"
        network = f"hrnet-w{config['stage4_channels'][0]}" if is_hrnet else f"resnet-{config['depth']}"
        stem = Path(config["config"]).stem
        variant = re.search(
            r"-(merge)$|_(coarsedropout|gridmask|photometric|fp16|dark|udp-regress|udp)-", stem
        )
        suffix = f"-{next(g for g in variant.groups() if g)}" if variant else ""
        codec = config["codec"]
        decoding = "dark" if codec.get("unbiased") else "quarter"
        if codec["type"] == "UDPHeatmap":
            decoding = "udp-offsets" if codec.get("heatmap_type") == "combined" else "udp"
        name = f"{network}-{dataset}-{height}x{width}{suffix}"
        url, published = CORRECTED.get(name, (url, metric(config, dataset)))
        entries.append(
            pose_entry(
                name,
                network,
                (width, height),
                config["head_out_channels"],
                keypoints=dataset,
                colour="RGB",
                decoding=decoding,
                kernel=codec.get("blur_kernel_size", 11) if decoding != "quarter" else None,
                file=url.rpartition("/")[2],
                url=url,
                mirrors=mirrors(url),
                sha256=digest_in_name(url),
                metric=published,
                licence="Apache-2.0",
                source="mmpose",
            )
        )
    return [*entries, resnet_101_at_384()]


def resnet_101_at_384() -> dict[str, Any]:
    """Of mmpose's first release; the configuration of the second one links to a file for another size."""
    url = f"{HOST}mmpose/top_down/resnet/res101_coco_384x288-8c71bdc9_20200709.pth"
    return pose_entry(
        "resnet-101-coco-384x288",
        "resnet-101",
        (288, 384),
        17,
        keypoints="coco",
        colour="RGB",
        decoding="quarter",
        kernel=None,
        file=url.rpartition("/")[2],
        url=url,
        mirrors=mirrors(url),
        sha256=digest_in_name(url),
        metric="AP 74.8 COCO val2017",
        licence="Apache-2.0",
        source="mmpose",
    )


def mirrors(url: str) -> list[str]:
    """Other addresses of the same file."""
    path = url.removeprefix(HOST)
    date = re.search(r"_(20\d{6})[_.-]", path)
    return [
        bucket + path
        for prefix, (bucket, newest) in BUCKETS.items()
        if path.startswith(prefix) and date and date[1] <= newest
    ]


def digest_in_name(url: str) -> str:
    """The first eight digits of the SHA-256, which mmpose puts at the end of a file's name."""
    found = re.search(r"-([0-9a-f]{8})(_\d{8})?\.pth$", url)
    assert found is not None, url
    return found[1]


def metric(config: dict[str, Any], dataset: str) -> str:
    """The published score, from the table if there is one, because some metafiles describe older runs."""
    if dataset == "coco":
        table = config["tables"][0]["table"] if config["tables"] else None
        share = float(table["AP"]) if table else config["metafile"][0]["results"][0]["metrics"]["AP"]
        return f"AP {100 * share:.1f} COCO val2017"
    results = [model["results"][0]["metrics"] for model in config["metafile"]]
    if dataset == "mpii":
        return f"PCKh {100 * results[0]['Mean']:.1f} MPII val"
    totals = [result["Total"] for result in results]
    if len(totals) == 1:
        return f"AP {totals[0]} PoseTrack18 val, labelled boxes"
    return f"AP {totals[1]} PoseTrack18 val, {POSETRACK_BOXES}; {totals[0]} with labelled boxes"


def authors() -> list[dict[str, Any]]:
    entries = []
    rows: list[tuple[str, str, str, float]] = []
    rows += [(network, size, "coco", ap) for (network, size), ap in AUTHORS_COCO.items()]
    rows += [(network, "256x256", "mpii", pckh) for network, pckh in AUTHORS_MPII.items()]
    for network, size, dataset, score in rows:
        height, width = (int(side) for side in size.split("x"))
        is_hrnet = network.startswith("hrnet")
        template = {"coco": "AP {} COCO val2017", "mpii": "PCKh {} MPII val"}[dataset]
        file = f"pose_{network.replace('-', '_')}_{size}.pth"
        entries.append(
            pose_entry(
                f"{network}-{dataset}-{size}-authors",
                network,
                (width, height),
                17 if dataset == "coco" else 16,
                keypoints=dataset,
                colour="RGB" if is_hrnet else "BGR",
                decoding="quarter",
                kernel=None,
                file=file,
                url=None,
                page=AUTHORS,
                mirrors=[],
                sha256=AUTHORS_SHA256.get(file),
                metric=template.format(score),
                licence="MIT",
                source="authors",
            )
        )
    return entries


def mmdetection(goldens: Path) -> list[dict[str, Any]]:
    entries = []
    for checkpoint in json.loads((goldens / "detector/checkpoints.json").read_text()):
        named = re.match(r"(.+)_hrnetv2p-(w\d+)[-_](.+)_coco$", checkpoint["model"])
        assert named is not None, checkpoint["model"]
        family, width, rest = named.groups()
        network = f"{family}-{width}"
        schedule = (
            rest.replace("gn-head_", "").replace("gn-head", "").replace("4xb4-", "").replace("640-800-", "")
        )
        mask = f", mask AP {checkpoint['mask_ap']}" if checkpoint["mask_ap"] else ""
        entries.append(
            {
                "name": f"{network}-{schedule.strip('-')}",
                "task": "detector",
                "network": network,
                "input": None,
                "outputs": 80,
                "keypoints": None,
                "colour": "RGB",
                "decoding": None,
                "kernel": None,
                "file": checkpoint["file"],
                "url": checkpoint["url"],
                "mirrors": mirrors(checkpoint["url"]),
                "sha256": checkpoint["sha256_first8"],
                "metric": f"box AP {checkpoint['box_ap']} COCO val2017{mask}",
                "licence": "Apache-2.0",
                "source": "mmdetection",
            }
        )
    return entries


def main() -> None:
    goldens = Path(sys.argv[1])
    entries = [*mmpose(goldens), *authors(), *mmdetection(goldens)]
    names = [entry["name"] for entry in entries]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    lines = ",\n".join("  " + json.dumps(entry) for entry in entries)
    TARGET.write_text(f"[\n{lines}\n]\n")
    print(f"{len(entries)} weight files in {TARGET}")


if __name__ == "__main__":
    main()
