# Sourced by the scripts beside it: the state of a deployment, and the steps that change the live version.
#
# state/blue and state/green hold the digests that the two colours run, state/live the colour that is live, state/proxy the
# settings that the proxy reads when it starts, state/history a line for each version that went live: time and digest.
# shellcheck shell=bash

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" || exit
# Containers read files here as other users than their owner.
umask 022

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
# Ends before anything is begun, because the arguments or the settings are wrong.
refuse() { say "$*"; exit 2; }

[ -f .env ] || refuse 'there is no .env here; run setup.sh first'
set -a
# shellcheck disable=SC1091  # made by setup.sh
. ./.env
set +a
for setting in SITE IMAGE ENVIRONMENT; do
    [ -n "${!setting:-}" ] || refuse "$setting is missing in .env; setup.sh shows what belongs there"
done
case ${PROXY:-caddy} in caddy | nginx) ;; *) refuse "PROXY in .env is '$PROXY'; it must be caddy or nginx" ;; esac
case ${BACKUPS:-here} in here | elsewhere) ;; *) refuse "BACKUPS in .env is '$BACKUPS'; it must be here or elsewhere" ;; esac
mkdir -p state/proxy state/log

# Lets only one run at a time proceed; a second one waits. The lock ends with the process, however that ends.
take_lock() {
    exec 9>state/lock
    flock --nonblock 9 && return 0
    say 'another run is at work; waiting for it to end'
    flock --wait "${LOCK_WAIT:-900}" 9 || refuse 'the other run has not ended in time; look at the newest file in state/log'
}

# Prints the content of a file of state/, or nothing.
remembered() { cat "state/$1" 2>/dev/null || true; }
# Writes a file of state/ completely or not at all, because the disk may be full.
remember() { printf '%s\n' "$2" >"state/$1.new" && mv "state/$1.new" "state/$1"; }

has_profile() { [[ ,${COMPOSE_PROFILES:-}, == *,"$1",* ]]; }
other_than() { if [ "$1" = blue ]; then echo green; else echo blue; fi; }
is_digest() { [[ $1 =~ ^sha256:[0-9a-f]{64}$ ]]; }

# Prints the image of a colour for docker compose.
image_of() {
    local digest
    digest=$(remembered "$1")
    if [ -n "$digest" ]; then echo "$IMAGE@$digest"; else echo candlewick-none; fi
}

# Prints the version that was live before $1 was live for the first time, so that a second rollback never goes forward.
version_before() {
    awk -v current="$1" '$2 == current { exit } { before = $2 } END { print before }' state/history 2>/dev/null || true
}

# Prints the last five versions that were live.
versions_to_keep() { tac state/history | awk '!seen[$2]++ && ++count <= 5 { print $2 }'; }

# `up` without names starts everything that should run, including the live version. Other commands ignore services whose profile
# is not active, even if they are named (docker/compose#9986), so they get all profiles. The lock is closed for docker, because
# a process that docker leaves running would keep holding it.
compose() {
    local profiles=${COMPOSE_PROFILES:-}
    if [ "${1:-}" = up ]; then profiles+=,$(remembered live); else profiles+=,blue,green,migrate; fi
    COMPOSE_PROFILES=$profiles BLUE_IMAGE=$(image_of blue) GREEN_IMAGE=$(image_of green) docker compose "$@" 9>&-
}

start() { compose up --detach --no-deps "$1"; }
stop() { compose stop "$1"; }

# Prints the state of a service's container, and the result of its health check.
health_of() {
    local container
    container=$(compose ps --all --quiet "$1" 2>/dev/null | head -n 1) || true
    [ -n "$container" ] || { echo missing; return; }
    docker inspect --format '{{.State.Status}}{{if .State.Health}} {{.State.Health.Status}}{{end}}' "$container" ||
        echo unknown
}

wait_until_healthy() {
    local deadline=$((SECONDS + ${HEALTHY_WITHIN:-60})) health
    while health=$(health_of "$1"); [ "$health" != 'running healthy' ]; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            say "$1 is not healthy within ${HEALTHY_WITHIN:-60} s ($health); its last lines:"
            compose logs --no-color --tail 20 "$1" >&2 || true
            return 1
        fi
        sleep 1
    done
}

# Sends new requests to a colour. Requests in progress end where they are.
point_proxy_at() {
    local reload attempt
    # Caddy reads upstream.env when it starts, and nginx reads upstream.conf.
    remember proxy/upstream.env "CANDLEWICK_UPSTREAM=$1:8000" && remember proxy/upstream.conf "server $1:8000;" || return 1
    case ${PROXY:-caddy} in
        caddy) reload=(--env "CANDLEWICK_UPSTREAM=$1:8000" proxy caddy reload --config /etc/caddy/Caddyfile) ;;
        nginx) reload=(proxy nginx -s reload) ;;
    esac
    compose up --detach --no-deps proxy || return 1
    # A proxy that has only just started accepts no commands yet. (In a trap, a bare return would repeat the failure before it.)
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        compose exec -T "${reload[@]}" && return 0
        [ "$attempt" -eq 10 ] || sleep "${RELOAD_PAUSE:-1}"
    done
    say "the proxy could not be switched to $1"
    return 1
}

# Checks through the proxy, as clients reach it, that a colour works and is the version that it should be.
smoke() {
    local digest revision deadline=$((SECONDS + ${REACHABLE_WITHIN:-90})) port=${HTTPS_PORT:-443} address=${PUBLISH:-127.0.0.1} url
    [ "$address" != 0.0.0.0 ] || address=127.0.0.1
    url=https://$SITE
    [ "$port" = 443 ] || url+=:$port
    digest=$(remembered "$1")
    revision=$(docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' \
        "$IMAGE@$digest") || return 1
    # Getting the first certificate takes a while. Only the smoke test below checks whether it is trusted.
    until curl --silent --insecure --output /dev/null --max-time 3 --resolve "$SITE:$port:$address" "$url/health/live"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            say "$url has no certificate yet or does not answer at all"
            return 1
        fi
        sleep 1
    done
    ENVIRONMENT=$ENVIRONMENT EXPECT_REVISION=$revision SMOKE_RESOLVE=$address \
        MT5_API_KEY_FILE=secrets/mt5_api_key INTERNAL_API_TOKEN_FILE=secrets/internal_api_token ./smoke.sh "$url"
}

# Restores the state that the last finished run left: the live colour runs, the proxy points to it, and the other colour does
# not run. This repairs what an interrupted run left behind, for instance after a reboot.
settle() {
    local live idle
    live=$(remembered live)
    [ -n "$live" ] || return 0
    idle=$(other_than "$live")
    if [ "$(health_of "$live")" != 'running healthy' ]; then
        say "$live was live and is not running as it should; starting it"
        start "$live" && wait_until_healthy "$live" || return 1
    fi
    # Only the proxy knows where it points; if it points there already, this changes nothing.
    point_proxy_at "$live" || return 1
    case $(health_of "$idle") in missing | exited* | created*) ;; *) stop "$idle" ;; esac
}
