#!/usr/bin/env bash
# Train the embedded weights: bash scripts/weights/train_embedded.sh DATA...
# With --measure before DATA it does not train, but calibrates the weights in posetrack_app/models/embedded, chooses the
# thresholds and prints the tables of the model card.
set -euo pipefail
cd "$(dirname "$0")/../.."
only_measure=
if [ "${1:-}" = --measure ]; then
    only_measure=yes
    shift
fi
data=()
for set in "$@"; do data+=(--data "$set"); done
cache=${CACHE:-runs/cache} # decoded images, 3.1 GB
embedded=posetrack_app/models/embedded
weights=scripts/weights
train() { python -m posetrack_app train "$@" "${data[@]}" --cache "$cache"; }
if [ -z "$only_measure" ]; then
    # One thread each on two shared cores; a machine of its own sees more samples in the same time. Small crops first: an
    # hour on a core is enough for four times as many of 128x96 as of 256x192. All but the last four runs of the pose
    # network and the last five of the detector used AdamW as the only optimizer.
    train pose --network hrnet-compact --out runs/pose-1 --size 256x192 --small-first 0.5 --minutes 29
    train pose --network hrnet-compact --out runs/pose-2 --init runs/pose-1/pose.safetensors \
        --size 128x96 --batch 64 --minutes 75 --rate 1.5e-3
    train pose --network hrnet-compact --out runs/pose-3 --init runs/pose-2/pose.safetensors \
        --size 160x128 --batch 48 --minutes 44 --rate 9e-4
    train pose --network hrnet-compact --out runs/pose-4 --init runs/pose-3/pose.safetensors \
        --size 160x128 --batch 48 --minutes 105 --rate 1.3e-3
    # Twice the blocks, because the shallow network stopped improving. The new blocks start as the identity.
    train pose --network hrnet-compact-deep --out runs/pose-5 --init runs/pose-4/pose.safetensors \
        --size 160x128 --batch 48 --minutes 100 --rate 1.5e-3
    # A new seed, so that the crops of the previous run are not repeated.
    train pose --network hrnet-compact-deep --out runs/pose-6 --init runs/pose-5/pose.safetensors \
        --size 160x128 --batch 48 --minutes 95 --rate 1.5e-3 --seed 6
    train pose --network hrnet-compact-deep --out runs/pose-7 --init runs/pose-6/pose.safetensors \
        --size 160x128 --batch 48 --minutes 116 --rate 1.5e-3 --seed 7
    # The original run cut people off at the image edge from minute 20 on only.
    train pose --network hrnet-compact-deep --out runs/pose-8 --init runs/pose-7/pose.safetensors \
        --size 160x128 --batch 48 --minutes 118 --rate 1.5e-3 --seed 8
    # On a GPU (an H200), together with the last two runs of the detector. The original run was paused twice for them, 3.3
    # minutes in all, and had no close-ups of heads and limbs.
    train pose --network hrnet-compact-deep --out runs/pose-9 --init runs/pose-8/pose.safetensors --epochs 100000 \
        --size 192x160 --batch 512 --minutes 10.9 --rate 3e-3 --seed 9 --compile
    train detector --network faster-rcnn-compact --out runs/detector-1 --init runs/pose-1/pose.safetensors --side 256 --minutes 26
    train detector --network faster-rcnn-compact --out runs/detector-2 --init runs/detector-1/detector.safetensors \
        --side 256 --minutes 63 --rate 8e-4
    train detector --network faster-rcnn-compact --out runs/detector-3 --init runs/detector-2/detector.safetensors \
        --side 256 --minutes 105 --rate 1e-3
    train detector --network faster-rcnn-compact --out runs/detector-4 --init runs/detector-3/detector.safetensors \
        --side 256 --minutes 110 --rate 1e-3
    # Twice the blocks here too. The original run was stopped at minute 20 (of 110, seed 1) and continued for 93.
    train detector --network faster-rcnn-compact-deep --out runs/detector-5 \
        --init runs/detector-4/detector.safetensors --side 256 --minutes 113 --rate 1e-3 --seed 6
    train detector --network faster-rcnn-compact-deep --out runs/detector-6 \
        --init runs/detector-5/detector.safetensors --side 256 --minutes 116 --rate 1e-3 --seed 7
    # On a CPU, with the everyday people of the second data set; the mean with its start is better than either.
    train pose --network hrnet-compact-deep --out runs/pose-10 --init runs/pose-9/pose.safetensors \
        --size 192x160 --batch 32 --minutes 128 --rate 1e-3 --seed 11
    python $weights/average_weights.py runs/pose-9/pose.safetensors runs/pose-10/pose.safetensors \
        --out "$embedded/pose.safetensors"
    # The mean of the last two detectors is better than either.
    python $weights/average_weights.py runs/detector-5/detector.safetensors runs/detector-6/detector.safetensors \
        --out runs/detector-56.safetensors
    train detector --network faster-rcnn-compact-deep --out runs/detector-7 --init runs/detector-56.safetensors \
        --side 256 --minutes 118 --rate 1e-3 --seed 8
    python $weights/average_weights.py runs/detector-56.safetensors runs/detector-7/detector.safetensors \
        runs/detector-7/detector.safetensors --out runs/detector-567.safetensors
    # On the GPU.
    train detector --network faster-rcnn-compact-deep --out runs/detector-8 --init runs/detector-567.safetensors \
        --side 320 --batch 32 --epochs 100000 --minutes 12.1 --rate 1.5e-3 --seed 9
    train detector --network faster-rcnn-compact-deep --out runs/detector-9 --init runs/detector-567.safetensors \
        --side 320 --batch 32 --epochs 100000 --minutes 10.1 --rate 1.5e-3 --seed 10
    python $weights/average_weights.py runs/detector-8/detector.safetensors runs/detector-9/detector.safetensors \
        --out "$embedded/detector.safetensors"
fi
python $weights/measure_ranges.py "${data[@]}" --cache "$cache"
python $weights/calibrate_pose.py "${data[@]}" --cache "$cache" --svg docs/calibration.svg --write
python $weights/choose_thresholds.py "${data[@]}" --cache "$cache" --write
python $weights/measure_pose.py "${data[@]}" --cache "$cache"
python $weights/measure_detector.py "${data[@]}" --cache "$cache"
(cd "$embedded" && sha256sum -- *.safetensors > SHA256SUMS && cat SHA256SUMS)
