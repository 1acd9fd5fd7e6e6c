#!/usr/bin/env bash
# The drill of a key rotation, with placeholders: old -> new by a restart, new -> newer by SIGHUP without one.
#
#   bash scripts/rotate_secrets_check.sh    exit 0: in every phase healthz, metrics and smoke_live_daemon.sh hold, and
#                                           after each switch the emulator saw the new key sign and the old one never again
#
# The account stays the same, as at GMO Coin, where a customer makes a second key and deletes the first. What fails is
# named: failed_phase=…, failed_check=…. No key and no secret is printed. Exit 2: wrong usage, or real secrets in the
# environment. Needs Docker, Compose and bash.
set -euo pipefail

# shellcheck source=scripts/check_stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/check_stack.sh"

if (($#)); then
    echo "usage: bash $0" >&2
    exit 2
fi

readonly names=(old new newer)
declare -A keys secrets
phase=prepare

main() {
    local name
    check_stack_refuse_real_secrets || exit
    for name in "${names[@]}"; do
        keys[$name]=$(placeholder "$name-key") secrets[$name]=$(placeholder "$name-secret")
    done
    export GMO_API_KEY=${keys[old]} GMO_API_SECRET=${secrets[old]}
    check_stack_prepare rotate || return
    check_stack_build || return
    phase=old
    check_stack_up || return
    verify_phase old || return
    phase=new switch=restart
    rotate old new by_restart || return
    phase=newer switch=sighup
    rotate new newer by_sighup || return
}

placeholder() {
    printf 'emulator-%s-%s' "$1" "$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')"
}

# What the operations document asks of each phase, on the rotated bot and by the smoke check itself.
verify_phase() {
    check_stack_verify 60 || return
    echo "phase=$1 healthz=ok metrics=ok artifacts=ok"
    if ! GMO_API_KEY=${keys[$1]} GMO_API_SECRET=${secrets[$1]} SMOKE_REPEAT_COUNT=1 \
        bash "$check_root/scripts/smoke_live_daemon.sh" >"$check_work/smoke.log" 2>&1; then
        cat "$check_work/smoke.log"
        echo 'failed_check=smoke_live_daemon.failed'
        return 1
    fi
    echo "phase=$1 smoke_live_daemon=ok"
}

# rotate FROM TO HOW: a second key at the exchange, new files, the bot takes them; then the first key is deleted.
rotate() {
    local moment
    check_emulator POST /keys "{\"key\": \"${keys[$2]}\", \"secret\": \"${secrets[$2]}\", \"account\": \"$check_key\"}" >/dev/null || return
    check_stack_secrets "${keys[$2]}" "${secrets[$2]}" || return
    "$3" || return
    moment=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
    verify_phase "$2" || return
    only_signs_with "$2" "$moment" || return
    check_emulator DELETE "/keys?key=${keys[$1]}" >/dev/null || return
    check_stack_verify 30 || return
    only_signs_with "$2" "$moment" || return
    echo "phase=$2 switch=$switch old_key_deleted=ok"
}

by_restart() {
    compose restart bot >"$check_work/restart.log" 2>&1 || { cat "$check_work/restart.log"; return 1; }
    check_stack_wait
}

by_sighup() {
    local before deadline=$((SECONDS + 60)) run
    run=$(run_id)
    before=$(secrets_loaded)
    compose kill -s HUP bot >"$check_work/sighup.log" 2>&1 || { cat "$check_work/sighup.log"; return 1; }
    until (($(secrets_loaded) >= before + 2)); do
        if ((SECONDS >= deadline)); then
            echo 'failed_check=rotation.not_taken the bot did not take the new key and secret within 60 s of SIGHUP'
            return 1
        fi
        sleep 1
    done
    if [[ $(run_id) != "$run" ]]; then
        echo 'failed_check=rotation.restarted the bot started anew'
        return 1
    fi
}

run_id() {
    sed -n 's/^ *"run_id": "\(.*\)",$/\1/p' "$GMOBOT_VAR/artifacts/run_progress.json"
}

# Of one run: how often a key or secret was taken over while it was running.
secrets_loaded() {
    compose exec -T bot gmobot audit search --event secret_loaded --json | grep -Ec 'GMO_API_(KEY|SECRET)' || true
}

only_signs_with() {
    local name old=()
    for name in "${names[@]}"; do
        if [[ $name != "$1" ]]; then old+=("${keys[$name]}"); fi
    done
    check_emulator GET /access >"$check_work/access.json" || return
    compose exec -T exchange python -c "$(cat "$check_root/scripts/rotation_check.py")" "$2" "${keys[$1]}" "${old[@]}" <"$check_work/access.json"
}

# Diagnostics may hold what a program said about itself: keys are taken out whatever they are in.
without_secrets() {
    sed -u -E 's/emulator-(old|new|newer)-(key|secret)-[0-9a-f]+/***/g'
}

finish() {
    check_stack_remove
    exec >&3 2>&4
    wait "$filter"
}

exec 3>&1 4>&2 > >(without_secrets) 2>&1
filter=$!
trap finish EXIT
trap 'exit 130' INT TERM
if ! main; then
    echo "failed_phase=$phase"
    check_stack_diagnostics
    exit 1
fi
echo 'rotation=ok'
