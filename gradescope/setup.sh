#!/usr/bin/env bash
# Gradescope runs this once, as root, to make the container in which every submission is graded.
set -euo pipefail
apt-get update -qq
apt-get install -y -qq python3 python3-venv
python3 -m venv /autograder/venv
# Without CUDA, where that is to be had. The options are words of their own, so they stand without quotes.
# shellcheck disable=SC2046
/autograder/venv/bin/pip install -qq $(python3 /autograder/source/torch_index.py) \
    "$(cat /autograder/source/torch.txt)"
/autograder/venv/bin/pip install -qq /autograder/source
