#!/usr/bin/env bash
# Brings a version live on this host, or leaves the one before as it was:
#   deploy.sh sha256:DIGEST     the digest of an image of $IMAGE
#   deploy.sh --previous        the version that was live before
#   deploy.sh --settle          none: repairs what a run that was cut off has left behind, and asks whether all is well
#
# Exit code 0: live and asked. 1: not live; the version before serves, and was asked. 2: nothing was begun, since the call or
# the settings are wrong. 3: nobody knows that anything serves as it should: somebody has to look, now.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=blue-green.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/blue-green.sh"

usage() { sed -n '2,5p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' >&2; exit 2; }

# How far this run has come: what has to be undone if it ends here.
phase=untouched
live='' new='' before=''

# Ends a failed run with what is true of the version before: that it answers as it should, or that nobody knows of any.
end_with_the_version_before() {
    if [ -z "$live" ]; then
        say "$1, and there is no version before this one to go back to. Nothing serves."
        exit 3
    fi
    if smoke "$live" >&2; then
        say "$1. $before serves and answers as it should; the new version is NOT live."
        exit 1
    fi
    say "$1, AND THE VERSION BEFORE DOES NOT ANSWER AS IT SHOULD, EITHER."
    say "$SITE needs somebody now: ./compose.sh ps, ./compose.sh logs $live proxy"
    exit 3
}

undo() {
    case $phase in
        untouched) end_with_the_version_before 'FAILED before anything was changed' ;;
        started)
            stop "$new" || true
            end_with_the_version_before 'FAILED before any request was sent to the new version'
            ;;
        switched)
            say "FAILED after the switch${before:+; going back to $before}"
            if [ -n "$live" ]; then
                start "$live" && wait_until_healthy "$live" && point_proxy_at "$live" && stop "$new"
            else
                stop "$new"
            fi || true
            end_with_the_version_before 'FAILED'
            ;;
    esac
}
on_exit() {
    local code=$?
    [ "$phase" = finished ] && exit "$code"
    trap '' INT TERM
    set +e
    undo
}

[ "$#" -eq 1 ] || usage
digest=$1
[ "$digest" = --settle ] || [ "$digest" = --previous ] || is_digest "$digest" || usage

# A connection that breaks must not end a deployment half-way.
trap '' HUP
take_lock

live=$(remembered live)
[ -z "$live" ] || before=$(remembered "$live")
if [ "$digest" = --previous ]; then
    digest=$(version_before "$before")
    [ -n "$digest" ] || refuse 'state/history knows of no version before this one'
    say "going back to $digest"
elif [ "$digest" = --settle ] && [ -z "$live" ]; then
    refuse 'nothing has been deployed here yet'
fi

trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
settle >&2 || say 'the version that was live does not run as it should'

if [ "$digest" = --settle ] || [ "$digest" = "$before" ]; then
    # There is nothing to undo: whether it answers decides.
    phase=finished
    smoke "$live" >&2 || { say "$before is live and does NOT answer as it should: somebody has to look, now"; exit 3; }
    say "$before is live and answers as it should"
    exit 0
fi

# A version that was here already needs no registry.
if ! docker image inspect "$IMAGE@$digest" >/dev/null 2>&1; then
    say "getting $IMAGE@$digest"
    docker pull --quiet "$IMAGE@$digest" >&2
fi

if has_profile postgres; then
    compose up --detach --no-deps database >&2
    wait_until_healthy database
fi
if [ "${MIGRATE:-yes}" = yes ]; then
    if [ -n "$live" ] && [ "${BACKUPS:-here}" = here ]; then
        compose up --detach --no-deps backup >&2
        if ! compose exec -T backup /opt/candlewick/backup.sh --check >&2; then
            say 'making a backup before the tables may change'
            compose exec -T backup /opt/candlewick/backup.sh >&2
        fi
    elif [ -z "$live" ] && ! has_profile postgres; then
        say 'before this first deployment no backup is made; where DATABASE_URL leads to candles, have one'
    fi
    say 'migrating'
    MIGRATE_IMAGE=$IMAGE@$digest compose run --rm -T --no-deps migrate >&2
fi

new=$(other_than "${live:-green}")
remember "$new" "$digest"
phase=started
say "starting it as $new, beside ${live:-nothing}"
start "$new" >&2
wait_until_healthy "$new"

phase=switched
say "sending requests to $new"
point_proxy_at "$new" >&2
smoke "$new" >&2

# From here on the new version is the one to go back to.
remember live "$new"
phase=finished
printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$digest" >>state/history

# The service does without these.
companions=()
[ "${BACKUPS:-here}" = elsewhere ] || companions+=(backup)
if has_profile monitoring; then companions+=(prometheus alertmanager grafana); fi
for companion in ${companions[@]+"${companions[@]}"}; do
    compose up --detach --no-deps "$companion" >&2 ||
        say "$companion could not be started; see why: ./compose.sh up --detach --no-deps $companion"
done
if [ -n "$live" ]; then
    say "draining $live"
    stop "$live" >&2 || say "$live could not be stopped; stop it by hand: ./compose.sh stop $live"
fi
# What stays, stays for a rollback without the registry.
keep=$(versions_to_keep)
for old in $(docker image ls --digests --format '{{.Digest}}' "$IMAGE"); do
    grep -qxF "$old" <<<"$keep" || docker image rm "$IMAGE@$old" >/dev/null 2>&1 || true
done
say "$digest is live"
