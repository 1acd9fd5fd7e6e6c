#!/usr/bin/env bash
# Runs a command where Docker answers and the images to start from are known:
#
#   .ci/with_docker.sh .venv/bin/python -m pytest -m docker tests/e2e
#
# Installs Docker where it is missing and starts a daemon where none answers; a daemon that was started here is ended
# here, with whatever still ran in it. Needs root on Debian.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here log=/var/log/dockerd.log
daemon='' command=''

install_docker() {
    local program missing=()
    for program in dockerd:docker.io docker-compose:docker-compose debootstrap:debootstrap iptables:iptables; do
        command -v "${program%%:*}" >/dev/null || missing+=("${program##*:}")
    done
    if ((${#missing[@]})); then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
}

start_docker() {
    if docker info >/dev/null 2>&1; then return; fi
    setsid dockerd >"$log" 2>&1 </dev/null &
    daemon=$!
    for _ in {1..120}; do
        if docker info >/dev/null 2>&1; then return; fi
        sleep 0.5
    done
    tail -n 20 "$log" >&2
    echo 'dockerd does not answer' >&2
    return 1
}

# What a run that was cut off had put up would be found by the next one. Named as only checks name theirs: NAME and a process.
remove_stacks() {
    local own='^/?gmobot-[a-z]+-[0-9]+[_-]'
    docker ps -aq --filter "name=$own" | xargs -r docker rm -f
    docker network ls -q --filter "name=$own" | xargs -r docker network rm
    docker images -q 'gmobot:check-*' | xargs -r docker rmi -f
}

end_docker() {
    if [[ -n $daemon ]]; then
        remove_stacks >/dev/null 2>&1 || true
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" || true
    fi
}

install_docker
trap end_docker EXIT
trap 'if [[ -n $command ]]; then kill "$command" 2>/dev/null && wait "$command"; fi; exit 130' INT TERM
start_docker
eval "$("$here/base_image.sh")"
# Beside this shell, which can end it only so.
"$@" &
command=$!
wait "$command"
