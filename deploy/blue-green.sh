# Sourced by the scripts beside it: what a deployment is made of, and how the live version changes.
#
# state/blue and state/green hold the digests that the two run, state/live which of them is live, state/proxy what the proxy
# is told when it starts, state/history a line for each version that went live: time and digest.
# shellcheck shell=bash

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" || exit
# What containers read here belongs to other users than theirs.
umask 022

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
# The call or the settings are wrong, and nothing is begun.
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

# One at a time: who comes second waits. The lock ends with the process, however that ends.
take_lock() {
    exec 9>state/lock
    flock --nonblock 9 && return 0
    say 'another run is at work; waiting for it to end'
    flock --wait "${LOCK_WAIT:-900}" 9 || refuse 'the other run has not ended in time; look at the newest file in state/log'
}

# What stands in a file of state/, or nothing.
remembered() { cat "state/$1" 2>/dev/null || true; }
# Whole or not at all: a disk may be full.
remember() { printf '%s\n' "$2" >"state/$1.new" && mv "state/$1.new" "state/$1"; }

has_profile() { [[ ,${COMPOSE_PROFILES:-}, == *,"$1",* ]]; }
other_than() { if [ "$1" = blue ]; then echo green; else echo blue; fi; }
is_digest() { [[ $1 =~ ^sha256:[0-9a-f]{64}$ ]]; }

# The image that a colour runs, as docker compose is told it.
image_of() {
    local digest
    digest=$(remembered "$1")
    if [ -n "$digest" ]; then echo "$IMAGE@$digest"; else echo candlewick-none; fi
}

# The version that was live before $1 ever was, so that going back twice never leads forth.
version_before() {
    awk -v current="$1" '$2 == current { exit } { before = $2 } END { print before }' state/history 2>/dev/null || true
}

# The last five versions that were live.
versions_to_keep() { tac state/history | awk '!seen[$2]++ && ++count <= 5 { print $2 }'; }

# `up` without names starts what should run, the live version included. Other commands pass over services of profiles that
# are not active, even if they are named (docker/compose#9986). Without the lock, which what docker leaves running would hold.
compose() {
    local profiles=${COMPOSE_PROFILES:-}
    if [ "${1:-}" = up ]; then profiles+=,$(remembered live); else profiles+=,blue,green,migrate; fi
    COMPOSE_PROFILES=$profiles BLUE_IMAGE=$(image_of blue) GREEN_IMAGE=$(image_of green) docker compose "$@" 9>&-
}

start() { compose up --detach --no-deps "$1"; }
stop() { compose stop "$1"; }

# Whether a service's container is running, and well as its own health check sees it.
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

# Sends new requests to a colour. Those that are under way end where they are.
point_proxy_at() {
    local reload attempt
    # Read by Caddy when it starts, and by nginx.
    remember proxy/upstream.env "CANDLEWICK_UPSTREAM=$1:8000" && remember proxy/upstream.conf "server $1:8000;" || return 1
    case ${PROXY:-caddy} in
        caddy) reload=(--env "CANDLEWICK_UPSTREAM=$1:8000" proxy caddy reload --config /etc/caddy/Caddyfile) ;;
        nginx) reload=(proxy nginx -s reload) ;;
    esac
    compose up --detach --no-deps proxy || return 1
    # A proxy that has only just been started takes no orders yet. (In a trap, a bare return would repeat the failure before it.)
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        compose exec -T "${reload[@]}" && return 0
        [ "$attempt" -eq 10 ] || sleep "${RELOAD_PAUSE:-1}"
    done
    say "the proxy cannot be told to use $1"
    return 1
}

# Asks a colour through the proxy, as clients do, whether it is what it should be and works.
smoke() {
    local digest revision deadline=$((SECONDS + ${REACHABLE_WITHIN:-90})) port=${HTTPS_PORT:-443} address=${PUBLISH:-127.0.0.1} url
    [ "$address" != 0.0.0.0 ] || address=127.0.0.1
    url=https://$SITE
    [ "$port" = 443 ] || url+=:$port
    digest=$(remembered "$1")
    revision=$(docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' \
        "$IMAGE@$digest") || return 1
    # The first certificate takes its time. Whether it is to be trusted is not asked here, but below.
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

# Puts things as the last finished run left them: whoever was live is running, the proxy points there, the other one is not
# running. A run that was cut off, by a reboot for instance, leaves a mess that this cleans.
settle() {
    local live idle
    live=$(remembered live)
    [ -n "$live" ] || return 0
    idle=$(other_than "$live")
    if [ "$(health_of "$live")" != 'running healthy' ]; then
        say "$live was live and is not running as it should; starting it"
        start "$live" && wait_until_healthy "$live" || return 1
    fi
    # Where the proxy points, only the proxy knows; to one that points there already this changes nothing.
    point_proxy_at "$live" || return 1
    case $(health_of "$idle") in missing | exited* | created*) ;; *) stop "$idle" ;; esac
}
