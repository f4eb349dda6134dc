#!/usr/bin/env bash
# The embedded weights, from the training set to the package: bash scripts/train_embedded.sh DATA
# `bash scripts/train_embedded.sh DATA measure` only calibrates, chooses thresholds and prints the model card's tables
# for the weights that lie in posetrack_app/embedded.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1
cache=${CACHE:-runs/cache} # decoded pictures, 3.1 GB
embedded=posetrack_app/embedded
if [ "${2:-}" != measure ]; then
    # One thread each on two shared cores: a machine of its own sees more in the same minutes. The first weights were made
    # in 29 and 26 minutes (`--minutes 29 --small-first 0.5`, `--minutes 26 --side 256`); these go on from there.
    # 128x96 first, as an hour on a core buys four times the crops; 160x128 last, the size of a run.
    python -m posetrack_app train pose --data "$data" --out runs/pose-small --cache "$cache" \
        --init "$embedded/pose.safetensors" --size 128x96 --batch 64 --minutes 75 --rate 1.5e-3
    python -m posetrack_app train pose --data "$data" --out runs/pose --cache "$cache" \
        --init runs/pose-small/pose.safetensors --size 160x128 --batch 48 --minutes 44 --rate 9e-4
    python -m posetrack_app train detector --data "$data" --out runs/detector --cache "$cache" \
        --init "$embedded/detector.safetensors" --minutes 63 --side 256 --batch 16 --rate 8e-4
    cp runs/pose/pose.safetensors runs/detector/detector.safetensors "$embedded/"
fi
python scripts/calibrate_pose.py --data "$data" --cache "$cache" --svg docs/calibration.svg
python scripts/choose_thresholds.py --data "$data" --cache "$cache" --write
python scripts/measure_pose.py --data "$data" --cache "$cache"
python scripts/measure_detector.py --data "$data" --cache "$cache"
(cd "$embedded" && sha256sum -- *.safetensors > SHA256SUMS && cat SHA256SUMS)
