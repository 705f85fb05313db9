#!/usr/bin/env bash
# Gradescope runs this once, as root, to make the container in which every submission is graded.
set -euo pipefail
apt-get update -qq
apt-get install -y -qq python3 python3-venv
python3 -m venv /autograder/venv
/autograder/venv/bin/pip install -qq --no-deps --extra-index-url https://download.pytorch.org/whl/cpu \
    "$(cat /autograder/source/torch.txt)"
/autograder/venv/bin/pip install -qq /autograder/source
