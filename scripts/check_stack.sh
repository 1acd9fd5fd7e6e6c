# shellcheck shell=bash
# A bot and an emulator of their own for the checks, to be sourced: own Compose project, internal network,
# port, var and placeholder secrets. Nothing here can reach production, or a production stack beside it.
#
#   check_stack_prepare NAME    refuse real secrets, make the folders
#   check_stack_build           build the image
#   check_stack_up              start with empty var/, wait until the bot is healthy
#   check_stack_wait            wait until the bot is healthy, after a restart
#   check_stack_verify SECONDS  health, metrics, artifacts, a decision (scripts/smoke_check.py)
#   check_emulator METHOD PATH [BODY]  ask what only the emulator has
#   check_stack_diagnostics     what to send along with a call for help
#   check_stack_down            end it, remove every trace
#   compose …                   docker-compose on this stack

check_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
check_healthy_seconds=${CHECK_HEALTHY_SECONDS:-90}
check_work=
# shellcheck disable=SC2034  # the account's name at the emulator, for scripts that source this
check_key=

compose() {
    local -a program=(docker compose)
    if command -v docker-compose >/dev/null; then program=(docker-compose); fi
    "${program[@]}" -p "$check_project" -f "$check_root/docker-compose.yml" -f "$check_root/deploy/compose.check.yml" "$@"
}

# Placeholders are told from real secrets by how they begin: no key of GMO Coin looks like that.
check_stack_refuse_real_secrets() {
    local name value
    for name in GMO_API_KEY GMO_API_SECRET DISCORD_WEBHOOK_URL GMOBOT_CONTROL_TOKEN GMOBOT_NOTIFY_URLS GMOBOT_HEARTBEAT_URL; do
        value=${!name:-}
        if [[ -n $value && ! $value =~ ^emulator-[a-z0-9-]{1,40}$ ]]; then
            echo "$0: $name is set and is no placeholder (emulator-…); checks never touch real secrets. Run: env -u $name bash $0" >&2
            return 2
        fi
        name=${name}_FILE
        if [[ -n ${!name:-} ]]; then
            echo "$0: $name is set; checks never touch real secrets. Run: env -u $name bash $0" >&2
            return 2
        fi
    done
}

check_stack_prepare() {
    local key secret
    check_stack_refuse_real_secrets || return
    check_project=gmobot-$1-$$
    key=${GMO_API_KEY:-emulator-key} secret=${GMO_API_SECRET:-emulator-secret}
    # shellcheck disable=SC2034
    check_key=$key
    check_work=$(mktemp -d "${TMPDIR:-/tmp}/gmobot-$1-$$.XXXXXX")
    # All that Compose would take from the environment or from .env is said here.
    export COMPOSE_PROFILES=emulator GMOBOT_CONFIG=configs/emulator.yaml
    # A name of its own: another check may be building other code meanwhile.
    export GMOBOT_IMAGE=gmobot:check-$1-$$
    export GMOBOT_VAR=$check_work/var GMOBOT_SECRETS=$check_work/secrets CHECK_ACCOUNT="$key:$secret:JPY=10000000,BTC=0.5"
    export GMO_API_KEY='' GMO_API_SECRET='' DISCORD_WEBHOOK_URL='' GMOBOT_CONTROL_TOKEN='' GMOBOT_NOTIFY_URLS='' GMOBOT_HEARTBEAT_URL=''
    export AUDIT_LOG_MAX_BYTES='' AUDIT_LOG_RETENTION='' GMOBOT_MEMORY=1g GMOBOT_CPUS=1.0
    export CHECK_SPEED=${check_speed:-1} CHECK_PARAMS=${check_params:-{\}}
    export GMOBOT_UID=1000 GMOBOT_GID=1000 HEALTH_PORT
    # What the bot writes must be the caller's to remove; only root may remove everybody's.
    if ((EUID != 0)); then GMOBOT_UID=$(id -u) GMOBOT_GID=$(id -g); fi
    HEALTH_PORT=$(check_free_port)
    mkdir -p "$GMOBOT_SECRETS"
    check_stack_secrets "$key" "$secret"
}

check_stack_build() {
    if ! compose build bot >"$check_work/build.log" 2>&1; then
        tail -n 40 "$check_work/build.log"
        echo 'failed_check=build.failed the image cannot be built'
        return 1
    fi
}

# check_stack_secrets KEY SECRET: placeholders, as the files that the operations document writes.
check_stack_secrets() {
    (
        umask 077
        printf '%s' "$1" >"$GMOBOT_SECRETS/gmo_api_key"
        printf '%s' "$2" >"$GMOBOT_SECRETS/gmo_api_secret"
    )
}

check_free_port() {
    local port
    for port in {19754..19999}; do
        if ! (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

check_stack_up() {
    if ! compose up -d >"$check_work/up.log" 2>&1; then
        cat "$check_work/up.log"
        echo 'failed_check=start.not_started the containers cannot be started'
        return 1
    fi
    check_stack_wait
}

check_stack_wait() {
    local deadline=$((SECONDS + check_healthy_seconds)) bot state
    bot=$(compose ps -a -q bot)
    while state=$(docker inspect -f '{{.State.Status}} {{.State.Health.Status}}' "$bot"); do
        case $state in
            'running healthy') return 0 ;;
            exited* | dead*) echo "failed_check=start.ended the bot ended: $state"; return 1 ;;
        esac
        if ((SECONDS >= deadline)); then
            echo "failed_check=start.unhealthy the bot is not healthy after $check_healthy_seconds s: $state"
            return 1
        fi
        sleep 0.5
    done
    echo 'failed_check=start.ended there is no bot any more'
    return 1
}

check_stack_verify() {
    compose exec -T bot python - "$1" <"$check_root/scripts/smoke_check.py" || return
    # The same two files as the operator finds them, outside.
    if [[ ! -s $GMOBOT_VAR/artifacts/run_progress.json || ! -s $GMOBOT_VAR/artifacts/run_complete.json ]]; then
        echo "failed_check=run_progress.missing not both artifacts are in var/artifacts outside"
        return 1
    fi
}

check_emulator() {
    compose exec -T exchange python - "$@" <"$check_root/scripts/ask_emulator.py"
}

check_stack_diagnostics() {
    local name
    echo '--- docker-compose ps'
    compose ps || true
    echo '--- docker-compose logs --tail=200 bot'
    compose logs --tail=200 bot || true
    for name in run_progress run_complete; do
        echo "--- var/artifacts/$name.json"
        cat "$GMOBOT_VAR/artifacts/$name.json" || true
    done
} 2>&1

check_stack_down() {
    if [[ -n $check_work ]]; then
        compose down --volumes --remove-orphans --timeout 30 >"$check_work/down.log" 2>&1 || cat "$check_work/down.log" >&2
        rm -rf --one-file-system "$GMOBOT_VAR" && mkdir -p "$GMOBOT_VAR"
    fi
}

check_stack_remove() {
    check_stack_down
    if [[ -n $check_work ]]; then
        # What it was built from stays, so that the next one is built in seconds.
        docker rmi --no-prune "$GMOBOT_IMAGE" >/dev/null 2>&1 || true
        rm -rf --one-file-system "$check_work"
    fi
}
