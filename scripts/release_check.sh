#!/usr/bin/env bash
# Everything that must hold before a release, in this order; the first stage that fails is named and ends it.
#
#   bash scripts/release_check.sh    exit 0, or failed_stage=… and exit 1
#
#   pre-commit          every hook on every file
#   pytest (quick)      what needs neither Docker nor patience
#   pytest (coverage)   the whole suite without Docker, and the share of branches it runs, which may not fall below the floor
#   smoke_live_daemon   scripts/smoke_live_daemon.sh
#
# Needs make setup, and for the last stage Docker and Compose. Exit 2: wrong usage, or the set-up is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Per cent of statements and branches; what handles money has its own floor of 100: make coverage.
readonly coverage_floor=92

if (($#)); then
    echo "usage: bash $0" >&2
    exit 2
fi
if [[ ! -x .venv/bin/python || ! -x .venv/bin/pre-commit ]]; then
    echo "$0: .venv is missing or incomplete; run: make setup" >&2
    exit 2
fi

stage() {
    local name=$1 began=$SECONDS
    shift
    echo "stage=$name"
    if ! "$@"; then
        echo "failed_stage=$name"
        exit 1
    fi
    echo "passed_stage=$name seconds=$((SECONDS - began))"
}

stage 'pre-commit' .venv/bin/pre-commit run --all-files --show-diff-on-failure
stage 'pytest (quick)' .venv/bin/python -m pytest -q -m 'not slow and not e2e' -n auto --dist loadscope
stage 'pytest (coverage)' .venv/bin/python -m pytest -q -m 'not e2e' -n auto --dist loadscope \
    --cov --cov-branch --cov-report=term:skip-covered --cov-fail-under="$coverage_floor"
stage 'smoke_live_daemon' bash scripts/smoke_live_daemon.sh
echo 'release_check=ok'
