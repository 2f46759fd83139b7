#!/usr/bin/env bash
# Notifies people: notify.sh TEXT… posts {"text":"TEXT…"}, the format of Slack and Mattermost, to NOTIFY_WEBHOOK_URL.
# If that is not set, nothing is sent.
set -euo pipefail

if [ -z "${NOTIFY_WEBHOOK_URL:-}" ]; then
    echo "notify.sh: NOTIFY_WEBHOOK_URL is not set, so nobody is notified: $*" >&2
    exit
fi
text=${*//\\/\\\\}
text=${text//\"/\\\"}
text=$(tr '\t\r' '  ' <<<"${text//$'\n'/\\n}")
# The address is a secret, and everybody on the machine can read a command line.
curl --silent --show-error --fail --output /dev/null --max-time 20 --retry 3 \
    --config <(printf 'url = "%s"\n' "$NOTIFY_WEBHOOK_URL") --header 'Content-Type: application/json' \
    --data-binary @- <<<"{\"text\":\"$text\"}"
