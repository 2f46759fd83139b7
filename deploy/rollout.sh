#!/usr/bin/env bash
# Changes the version on a host and checks it from outside, as clients see it. A new version that fails there is rolled back:
#   rollout.sh deploy sha256:DIGEST
#   rollout.sh rollback [sha256:DIGEST]
# SITE is the host name that clients use; remote.sh lists the variables that lead to the host.
#
# Exit code 0: the version is live and answers from outside. 1: it is not live; the previous version serves. 2: nothing was
# begun. 3: nothing is known to serve, and somebody has to look now.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf 'rollout.sh: %s\n' "$*" >&2; }
# Ends with exit code $1 and the outcome $2, which the workflow's message quotes.
end() {
    say "$2"
    [ -z "${GITHUB_OUTPUT:-}" ] || printf 'outcome=%s\n' "$2" >>"$GITHUB_OUTPUT"
    exit "$1"
}
usage() { sed -n '3,4p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' >&2; exit 2; }

# The number of attempts after a lost connection or a failed check, and the seconds between them, because a single failure need
# not be the new version's fault.
attempts=${ATTEMPTS:-3} pause=${PAUSE:-15}

request=${1:-} digest=${2:-}
case "$# $request" in '2 deploy' | '1 rollback' | '2 rollback') ;; *) usage ;; esac
[ "$#" -eq 1 ] || [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || usage
: "${SITE:?must be the host name that clients use}"

# Prints the digest that is live, or nothing; fails if the host cannot be reached.
live() {
    local said code=0
    said=$("$here/remote.sh" status) || code=$?
    [ "$code" -ne 255 ] || return 1
    sed -nE 's/^live: [a-z]+ (sha256:[0-9a-f]{64})$/\1/p' <<<"$said"
}

# Sends a request. If the connection breaks, the run continues on the host, so this asks how it ended.
order() {
    local code=0 attempt now
    "$here/remote.sh" "$@" || code=$?
    for attempt in $(seq "$attempts"); do
        [ "$code" -eq 255 ] || return "$code"
        say "the connection broke; asking how it ended ($attempt of $attempts)"
        sleep "$pause"
        code=0
        "$here/remote.sh" settle || code=$?
        if [ "$code" -eq 0 ] && now=$(live); then
            # A rollback without a digest must have changed the version.
            if [ -n "${2:-}" ]; then [ "$now" = "$2" ]; else [ "$now" != "$before" ]; fi
            return
        fi
        [ "$code" -eq 255 ] || [ "$code" -eq 0 ] || return 3
        code=255
    done
    return 3
}

look() {
    local attempt
    for attempt in $(seq "$attempts"); do
        "$here/smoke.sh" --public "https://$SITE" && return
        [ "$attempt" -eq "$attempts" ] || sleep "$pause"
    done
    return 1
}

before=$(live) || end 2 "$SITE cannot be reached by ssh; nothing was begun"
say "live on $SITE: ${before:-nothing}"

code=0
order "$request" ${digest:+"$digest"} || code=$?
case $code in
    0) ;;
    1) end 1 "FAILED; $SITE serves the previous version: ${before:-nothing}" ;;
    2) end 2 "$SITE refused the request; nothing was begun" ;;
    *) end 3 "FAILED, and it is not known whether $SITE serves anything: somebody has to look now" ;;
esac
if look; then
    end 0 "$SITE answers from outside as it should"
fi

if [ "$request" = rollback ]; then
    end 3 "went back, but $SITE does not answer from outside as it should: somebody has to look now"
fi
say "the new version does not answer from outside as it should; going back"
back=()
[ -z "$before" ] || [ "$before" = "$digest" ] || back=("$before")
before=$digest
if order rollback ${back[@]+"${back[@]}"} && look; then
    end 1 "FAILED, and went back: $SITE serves ${back[*]:-the previous version}"
fi
end 3 "FAILED, and GOING BACK FAILED, TOO: somebody has to look at $SITE now"
