#!/usr/bin/env bash
# Does the daemon, as it is deployed, come up and trade? Bot and emulator under Compose, by themselves.
#
#   bash scripts/smoke_live_daemon.sh                       exit 0 when all is well
#   bash scripts/smoke_live_daemon.sh --simulate-failure    takes the exchange away: diagnostics, exit 1
#   SMOKE_REPEAT_COUNT=3 bash scripts/smoke_live_daemon.sh  that many times from an empty var/
#
# Exit 2: wrong usage, or real secrets in the environment. Needs Docker, Compose and bash.
set -euo pipefail

# shellcheck source=scripts/check_stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/check_stack.sh"

simulate_failure=false
case "$#:${1:-}" in
    0:) ;;
    1:--simulate-failure) simulate_failure=true ;;
    *) echo "usage: [SMOKE_REPEAT_COUNT=N] bash $0 [--simulate-failure]" >&2; exit 2 ;;
esac
repeat=${SMOKE_REPEAT_COUNT:-1}
if [[ ! $repeat =~ ^[1-9][0-9]{0,3}$ ]]; then
    echo "$0: SMOKE_REPEAT_COUNT=$repeat: give a whole number from 1 to 9999" >&2
    exit 2
fi

run_once() {
    local began
    if ((iteration == 1)); then check_stack_build || return; fi
    began=$SECONDS
    check_stack_up || return
    echo "healthy after $((SECONDS - began)) s"
    check_stack_verify 60 || return
    if $simulate_failure; then
        echo 'taking the exchange away'
        compose stop exchange >/dev/null 2>&1
        check_stack_verify 10 || return
    fi
}

trap check_stack_remove EXIT
trap 'exit 130' INT TERM
check_stack_prepare smoke
for ((iteration = 1; iteration <= repeat; iteration++)); do
    if ! run_once; then
        echo "failed_iteration=$iteration/$repeat"
        check_stack_diagnostics
        exit 1
    fi
    check_stack_down
    echo "passed_iteration=$iteration/$repeat"
done
