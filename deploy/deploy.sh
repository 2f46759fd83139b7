#!/usr/bin/env bash
# Makes a version live on this host, or leaves the previous version as it was:
#   deploy.sh sha256:DIGEST     the digest of an image of $IMAGE
#   deploy.sh --previous        the version that was live before
#   deploy.sh --settle          no new version: repairs what an interrupted run left behind, and runs the smoke test
#
# Exit code 0: the version is live and passed the smoke test. 1: it is not live; the previous version serves and passed the
# smoke test. 2: nothing was begun, because the arguments or the settings are wrong. 3: nothing is known to serve as it should,
# and somebody has to look now.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=blue-green.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/blue-green.sh"

usage() { sed -n '2,5p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' >&2; exit 2; }

# The progress of this run, which decides what has to be undone if it ends here.
phase=untouched
live='' new='' before=''

# Ends a failed run with a report on the previous version: it passed the smoke test, it failed, or there is none.
end_with_the_version_before() {
    if [ -z "$live" ]; then
        say "$1, and there is no version before this one to go back to. Nothing serves."
        exit 3
    fi
    if smoke "$live" >&2; then
        say "$1. $before serves and answers as it should; the new version is NOT live."
        exit 1
    fi
    say "$1, AND THE PREVIOUS VERSION DOES NOT ANSWER AS IT SHOULD, EITHER."
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
    [ -n "$digest" ] || refuse 'state/history lists no version before this one'
    say "going back to $digest"
elif [ "$digest" = --settle ] && [ -z "$live" ]; then
    refuse 'nothing has been deployed here yet'
fi

trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
settle >&2 || say 'the version that was live does not run as it should'

if [ "$digest" = --settle ] || [ "$digest" = "$before" ]; then
    # There is nothing to undo, so the smoke test decides.
    phase=finished
    smoke "$live" >&2 || { say "$before is live and does NOT answer as it should: somebody has to look now"; exit 3; }
    say "$before is live and answers as it should"
    exit 0
fi

# An image that is already on this host needs no registry.
if ! docker image inspect "$IMAGE@$digest" >/dev/null 2>&1; then
    say "pulling $IMAGE@$digest"
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
        say 'no backup is made before this first deployment; make one yourself if DATABASE_URL leads to a database with candles'
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

# From here on, a failed run goes back to the new version.
remember live "$new"
phase=finished
printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$digest" >>state/history

# The service runs without these, so a failure is only reported.
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
# Keeps the images of recent versions, so that a rollback needs no registry.
keep=$(versions_to_keep)
for old in $(docker image ls --digests --format '{{.Digest}}' "$IMAGE"); do
    grep -qxF "$old" <<<"$keep" || docker image rm "$IMAGE@$old" >/dev/null 2>&1 || true
done
say "$digest is live"
