#!/bin/bash
# Every GPU of this host, one process each. Killed processes are started again, and the run goes on from its newest
# whole checkpoint: the folder must be named.
set -euo pipefail

torchrun --standalone --nproc-per-node "${GPUS:-gpu}" --max-restarts 3 \
  -m rooflight train cnn --data bundled --batch 512 --checkpoint-every 100 --out "${RUN:-runs/one-host}" "$@"
