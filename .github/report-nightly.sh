#!/usr/bin/env bash
# Reports that the nightly run failed: comments on the open issue about it or opens one, and posts to NOTIFY_WEBHOOK_URL.
#   report-nightly.sh TEXT
set -euo pipefail
cd "$(dirname "$0")/.."

export TITLE='The nightly run fails'
number=$(gh issue list --state open --limit 1000 --json number,title --jq 'map(select(.title == env.TITLE))[0].number // empty')
if [ -n "$number" ]; then
    gh issue comment "$number" --body "$1"
else
    gh issue create --title "$TITLE" --body "$1"
fi
deploy/notify.sh "$TITLE: $1"
