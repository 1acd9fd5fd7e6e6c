#!/usr/bin/env bash
# Go or No-Go, on the day: the table of docs/operations.md from top to bottom. The first thing that does not hold decides.
#
#   bash scripts/go_nogo.sh    last line: GO, exit 0, or NO-GO stage=… reason=…, exit 1
#
#   release_check   scripts/release_check.sh
#   smoke_repeat    SMOKE_REPEAT_COUNT=3 scripts/smoke_live_daemon.sh
#   secrets         gmo_api_key and gmo_api_secret are there, nobody else may read them; so is discord_webhook_url, if it is there
#   health, metrics, run_progress, run_complete
#                   of the running production stack, which is only read: monitor_status active, or reconnecting for no longer
#                   than it may; run_complete.json is of the latest run
#
# Everything that was said goes into var/artifacts/go_nogo-TIME.log too. Variables, as for docker-compose.yml: HEALTH_PORT,
# GMOBOT_VAR, GMOBOT_SECRETS, from the environment or .env. Exit 2: wrong usage, or nothing can be written there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What alerts: as long as that, a connection may take to come back.
readonly reconnecting_seconds=300

if (($#)); then
    echo "usage: bash $0" >&2
    exit 2
fi

# setting NAME DEFAULT: as Compose would see it, the environment before .env.
setting() {
    local value=${!1:-}
    if [[ -z $value && -r .env ]]; then value=$(sed -n "s/^$1=//p" .env | tail -n 1); fi
    printf '%s' "${value:-$2}"
}

no_go() {
    echo "NO-GO stage=$1 reason=$2"
    exit 1
}

check_script() {
    local stage=$1 script=$2 failed said
    echo "== $stage"
    said=$(mktemp)
    # The stack's own settings are none of the checks': those refuse real secrets, and find a port of their own.
    if env -u GMO_API_KEY -u GMO_API_SECRET -u DISCORD_WEBHOOK_URL -u GMOBOT_CONTROL_TOKEN \
        -u GMOBOT_NOTIFY_URLS -u GMOBOT_HEARTBEAT_URL -u HEALTH_PORT bash "scripts/$script" 2>&1 | tee "$said"; then
        rm "$said"
        return
    fi
    failed=$(sed -n -E 's/^(failed_stage|failed_iteration)=(.*)$/\1_\2/p' "$said" | tail -n 1)
    rm "$said"
    failed=${failed:-failed}
    no_go "$stage" "${failed// /_}"
}

check_secret() {
    local path mode
    path=$(setting GMOBOT_SECRETS ./secrets)/$1
    if [[ ! -f $path ]]; then no_go secrets "missing_$1"; fi
    if [[ ! -r $path ]]; then no_go secrets "unreadable_$1"; fi
    if [[ -z $(tr -d '[:space:]' <"$path") ]]; then no_go secrets "empty_$1"; fi
    # As the operations document writes it where the real one belongs.
    if [[ $(<"$path") == '<'*'>' ]]; then no_go secrets "placeholder_$1"; fi
    mode=$(stat -L -c %a "$path")
    if ((8#$mode & 8#007)); then no_go secrets "mode_${mode}_$1"; fi
    echo "$1: there, mode $mode"
}

check_running_stack() {
    local failed said
    echo '== health, metrics, run_progress, run_complete'
    if said=$(HEALTH_PORT=$(setting HEALTH_PORT 9754) .venv/bin/python scripts/smoke_check.py 15 \
        --artifacts "$artifacts" --reconnecting-seconds "$reconnecting_seconds" --any-decision 2>&1); then
        echo 'they hold'
        return
    fi
    echo "$said"
    failed=$(sed -n 's/^failed_check=\([^ ]*\).*/\1/p' <<<"$said" | head -n 1)
    no_go "${failed%%.*}" "${failed#*.}"
}

go_nogo() {
    check_script release_check release_check.sh
    SMOKE_REPEAT_COUNT=3 check_script smoke_repeat smoke_live_daemon.sh
    echo '== secrets'
    check_secret gmo_api_key
    check_secret gmo_api_secret
    if [[ -e $(setting GMOBOT_SECRETS ./secrets)/discord_webhook_url ]]; then check_secret discord_webhook_url; fi
    check_running_stack
    echo GO
}

artifacts=$(setting GMOBOT_VAR ./var)/artifacts
log=$artifacts/go_nogo-$(date -u +%Y%m%dT%H%M%SZ).log
if ! mkdir -p "$artifacts" || ! : >"$log"; then
    echo "$0: $log cannot be written; check who owns $artifacts" >&2
    exit 2
fi
(go_nogo) 2>&1 | tee "$log"
