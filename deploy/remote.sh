#!/usr/bin/env bash
# Sends a request to gate.sh on a host, as the workflows do:
#   remote.sh deploy sha256:DIGEST | rollback [sha256:DIGEST] | settle | status
# SSH_HOST and SSH_USER name the host and the login, SSH_KEY holds the private key itself, and SSH_KNOWN_HOSTS the host's public
# keys, as ssh-keyscan prints them; SSH_PORT is 22 if unset. Exit codes are deploy.sh's; 255: the connection failed or broke.
set -euo pipefail
: "${SSH_HOST:?}" "${SSH_USER:?}" "${SSH_KEY:?}" "${SSH_KNOWN_HOSTS:?is empty: an unknown host is never trusted}"

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s\n' "$SSH_KEY" >"$work/key"
printf '%s\n' "$SSH_KNOWN_HOSTS" >"$work/known_hosts"

code=0
ssh -T -i "$work/key" -p "${SSH_PORT:-22}" -o BatchMode=yes -o IdentitiesOnly=yes -o ConnectTimeout=20 \
    -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$work/known_hosts" \
    -o ServerAliveInterval=15 -o ServerAliveCountMax=4 "$SSH_USER@$SSH_HOST" "$*" || code=$?
[ "$code" -ne 255 ] || printf '%s\n' "remote.sh: no connection to $SSH_HOST, or it broke. A run that had begun continues there:" \
    'remote.sh: it ends with the new version live, or with the previous one. Send "settle" to learn which.' >&2
exit "$code"
