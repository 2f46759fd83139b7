#!/usr/bin/env bash
# Brings a version live on this host, or leaves the one before as it was:
#   deploy.sh sha256:DIGEST     the digest of an image of $IMAGE
#   deploy.sh --previous        the version that was live before
#   deploy.sh --settle          none: repairs what a run that was cut off has left behind, and asks whether all is well
#
# Exit code 0: live and asked. 1: not live; the version before serves, and was asked. 2: nothing was begun, since the call is
# wrong. 3: not live, and the version before does not answer as it should either: somebody has to look, now.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { sed -n '2,5p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' >&2; exit 2; }

# How far this run has come: what has to be undone if it ends here.
phase=untouched
live='' new='' before=''

undo() {
    case $phase in
        untouched)
            say 'FAILED. Nothing has changed.'
            exit 1
            ;;
        started)
            stop "$new" || true
            say "FAILED before any request was sent to the new version. ${live:-Nothing} serves as before."
            exit 1
            ;;
        switched)
            if [ -z "$live" ]; then
                stop "$new" || true
                say 'FAILED, and there is no version before this one to go back to. Nothing serves.'
                exit 3
            fi
            say "FAILED after the switch; going back to $before"
            if start "$live" && wait_until_healthy "$live" && point_proxy_at "$live" && smoke "$live"; then
                stop "$new" || true
                say "went back: $before serves and answers as it should. The new version is NOT live."
                exit 1
            fi
            say "GOING BACK FAILED, TOO. $SITE needs somebody now: ./compose.sh ps, ./compose.sh logs $live proxy"
            exit 3
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
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

live=$(remembered live)
[ -z "$live" ] || before=$(remembered "$live")
settle || say 'the version that was live does not run as it should'
if [ "$digest" = --previous ]; then
    digest=$(version_before "$before")
    [ -n "$digest" ] || fail 'state/history knows of no version before this one'
    say "going back to $digest"
fi

if [ "$digest" = --settle ] || [ "$digest" = "$before" ]; then
    [ -n "$live" ] || fail 'nothing has been deployed here yet'
    # Whether it answers decides; there is nothing to undo.
    smoke "$live" || { say "$before is live and does NOT answer as it should"; phase=finished; exit 3; }
    say "$before is live and answers as it should"
    phase=finished
    exit 0
fi

say "getting $IMAGE@$digest"
docker pull --quiet "$IMAGE@$digest" >&2

if has_profile postgres; then
    compose up --detach --no-deps database >&2
    wait_until_healthy database
fi
if [ "${MIGRATE:-yes}" = yes ]; then
    if [ -n "$live" ]; then
        compose up --detach --no-deps backup >&2
        if ! compose exec -T backup /opt/candlewick/backup.sh --check >&2; then
            say 'making a backup before the tables may change'
            compose exec -T backup /opt/candlewick/backup.sh >&2
        fi
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
printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$digest" >>state/history
phase=finished

# The service does without these.
companions=(backup)
if has_profile monitoring; then companions+=(prometheus alertmanager grafana); fi
for companion in "${companions[@]}"; do
    compose up --detach --no-deps "$companion" >&2 ||
        say "$companion could not be started; see why: ./compose.sh up --detach --no-deps $companion"
done
if [ -n "$live" ]; then
    say "draining $live"
    stop "$live" >&2 || say "$live could not be stopped; stop it by hand: ./compose.sh stop $live"
fi
# The images of the last five versions stay for a rollback without the registry.
for old in $(awk '{ print $2 }' state/history | tac | awk '!seen[$0]++' | tail -n +6); do
    docker image rm "$IMAGE@$old" >/dev/null 2>&1 || true
done
say "$digest is live"
