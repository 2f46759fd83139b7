#!/usr/bin/env bash
# Tells people: notify.sh TEXT… posts {"text":"TEXT…"} to NOTIFY_WEBHOOK_URL, the form that Slack and Mattermost take.
# Where that is not set nothing is sent.
set -euo pipefail

if [ -z "${NOTIFY_WEBHOOK_URL:-}" ]; then
    echo "notify.sh: NOTIFY_WEBHOOK_URL is not set, so nobody is told: $*" >&2
    exit
fi
text=${*//\\/\\\\}
text=${text//\"/\\\"}
text=$(tr '\t\r' '  ' <<<"${text//$'\n'/\\n}")
# The address is a secret, and a command line can be read by everybody on the machine.
curl --silent --show-error --fail --output /dev/null --max-time 20 --retry 3 \
    --config <(printf 'url = "%s"\n' "$NOTIFY_WEBHOOK_URL") --header 'Content-Type: application/json' \
    --data-binary @- <<<"{\"text\":\"$text\"}"
