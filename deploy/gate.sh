#!/usr/bin/env bash
# Runs a request of a deployment key, which may do nothing else here. Its line in ~/.ssh/authorized_keys of the user who
# deploys:
#   restrict,command="/opt/candlewick/deploy/gate.sh" ssh-ed25519 AAAA… staging
# Requests: deploy sha256:DIGEST | rollback [sha256:DIGEST] | settle | status
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=blue-green.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/blue-green.sh"

# Runs a command in its own session, so that it continues when the connection breaks. Its output is kept in a log, and shown for
# as long as the connection lasts.
run() {
    local log code=0
    log=state/log/$(date -u +%Y%m%dT%H%M%SZ)-$$.log
    : >"$log"
    setsid "$@" >"$log" 2>&1 </dev/null &
    local pid=$!
    tail --lines +1 --follow --pid "$pid" "$log" &
    wait "$pid" || code=$?
    # tail checks once a second whether there is more to show.
    wait $! || true
    find state/log -name '*.log' -mtime +90 -delete
    exit "$code"
}

status() {
    local live
    live=$(remembered live)
    echo "live: ${live:-nothing} $([ -z "$live" ] || remembered "$live")"
    echo "history:"
    tail -n 5 state/history 2>/dev/null || true
    compose ps
}

read -ra request <<<"${SSH_ORIGINAL_COMMAND:-$*}"
case "${#request[@]} ${request[0]:-}" in
    '2 deploy' | '2 rollback') is_digest "${request[1]}" && run "./${request[0]}.sh" "${request[1]}" ;;
    '1 rollback') run ./rollback.sh ;;
    '1 settle') run ./deploy.sh --settle ;;
    '1 status') status; exit ;;
esac
say 'requests are: deploy sha256:DIGEST | rollback [sha256:DIGEST] | settle | status'
exit 2
