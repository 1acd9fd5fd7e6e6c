#!/usr/bin/env bash
# The container, for real: installs Docker where it is missing, starts a daemon where none answers (and leaves
# it running), makes the base image, runs tests/e2e/test_docker.py. Needs root on Debian, and make setup before.
# To be run, or sourced for docker_e2e.
set -euo pipefail

docker_e2e() {
    local root
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    docker_e2e_install
    docker_e2e_daemon
    eval "$("$root/.ci/base_image.sh")"
    (cd "$root" && .venv/bin/python -m pytest -m e2e tests/e2e/test_docker.py "$@")
}

docker_e2e_install() {
    local program missing=()
    for program in dockerd:docker.io docker-compose:docker-compose debootstrap:debootstrap shellcheck:shellcheck; do
        command -v "${program%%:*}" >/dev/null || missing+=("${program##*:}")
    done
    if ((${#missing[@]})); then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" iptables
    fi
}

docker_e2e_daemon() {
    local log=/var/log/dockerd.log
    if docker info >/dev/null 2>&1; then return; fi
    nohup setsid dockerd >"$log" 2>&1 </dev/null &
    for _ in {1..60}; do
        if docker info >/dev/null 2>&1; then return; fi
        sleep 0.5
    done
    tail -n 20 "$log" >&2
    echo 'dockerd does not answer' >&2
    return 1
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then docker_e2e "$@"; fi
