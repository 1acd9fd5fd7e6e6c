#!/usr/bin/env bash
# Hours of market time at speed, with faults: does anything grow, get lost or come twice?
#
#   bash scripts/soak.sh                             2 hours of market time, 60 times as fast: 2 minutes and the calm after them
#   SOAK_HOURS=24 SOAK_SPEED=60 bash scripts/soak.sh 24 minutes
#
# Bot and emulator run under Compose by themselves and not from .venv: what may grow is the container as it is deployed,
# with its limits and its read-only root. Replies get lost, come late or as errors, events get lost, come twice or in the
# wrong order, sockets die, and the exchange closes once. Afterwards the market stands still, and all must be level:
# memory flat, every execution booked once, no order without its intent, the audit chain whole, exit code 0.
# What fails is named: failed_check=…, exit 1. Exit 2: wrong usage, or real secrets in the environment.
set -euo pipefail

# shellcheck source=scripts/check_stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/check_stack.sh"

hours=${SOAK_HOURS:-2} speed=${SOAK_SPEED:-60}
if (($#)); then
    echo "usage: [SOAK_HOURS=2] [SOAK_SPEED=60] bash $0" >&2
    exit 2
fi
if [[ ! $hours =~ ^[1-9][0-9]{0,4}$ ]]; then
    echo "$0: SOAK_HOURS=$hours: give a whole number from 1 to 99999" >&2
    exit 2
fi
if [[ ! $speed =~ ^([1-9][0-9]{0,2}|1000)$ ]]; then
    echo "$0: SOAK_SPEED=$speed: give a whole number from 1 to 1000" >&2
    exit 2
fi
seconds=$((hours * 3600 / speed))

soak() {
    check_stack_build || return
    check_stack_up || return
    echo "soak_seconds=$seconds market_hours=$hours speed=$speed"
    compose exec -T bot python - "$seconds" <"$check_root/scripts/soak_check.py" || return
    stop_cleanly || return
    # The daemon is gone: what it left must hold by itself.
    if ! compose run --rm --no-deps -T bot gmobot state verify; then
        echo 'failed_check=state.broken the database or the audit log'
        return 1
    fi
}

stop_cleanly() {
    local bot code
    bot=$(compose ps -q bot)
    if [[ $(docker inspect -f '{{.RestartCount}}' "$bot") != 0 ]]; then
        echo 'failed_check=bot.restarted'
        return 1
    fi
    compose stop bot >"$check_work/stop.log" 2>&1 || { cat "$check_work/stop.log"; return 1; }
    code=$(docker inspect -f '{{.State.ExitCode}}' "$bot")
    if [[ $code != 0 ]]; then
        echo "failed_check=bot.exit_code $code"
        return 1
    fi
}

# A strategy that trades all the time, so that there is something to lose.
check_speed=$speed
check_params='{fast: 2, slow: 5, rsi_period: 3, rsi_overbought: 100.0, atr_period: 5, stop_atr: 1.5, take_profit_atr: 3.0}'
trap check_stack_remove EXIT
trap 'exit 130' INT TERM
check_stack_prepare soak
if ! soak; then
    check_stack_diagnostics
    exit 1
fi
echo 'soak=ok'
