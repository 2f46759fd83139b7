#!/usr/bin/env bash
# Checks that a deployed candlewick works, from its host or from anywhere, within half a minute.
#   smoke.sh [--public] URL
# URL is where clients reach the service, such as https://candles.example.com. Each check prints a line, "ok" or "FAIL". All
# checks run, and the exit code is 1 if one fails. On staging the script posts a candle of the symbol CANDLEWICK_SMOKE, always
# with the same prices; on production it writes nothing. With --public it makes only the checks that need no key.
#   ENVIRONMENT         staging or production
#   MT5_API_KEY, INTERNAL_API_TOKEN   the service's keys, of which the first is used; or MT5_API_KEY_FILE and
#                       INTERNAL_API_TOKEN_FILE with files that hold them
#   EXPECT_REVISION     the commit that should be serving
#   SMOKE_RESOLVE       the address of the host of URL, for a host that checks its own proxy
#   SMOKE_CA            a file with the certificate to trust
#   SMOKE_PLAIN_PORT    the port on which plain HTTP is refused; 80 where URL is on port 443
set -euo pipefail

say() { printf 'smoke: %s\n' "$*" >&2; }
refuse() { say "$*"; exit 2; }
usage() { refuse 'usage: smoke.sh [--public] https://HOST[:PORT]'; }

public=''
while [ $# -gt 0 ]; do
    case $1 in
        --public) public=yes ;;
        -*) usage ;;
        *) [ -z "${url:-}" ] || usage; url=${1%/} ;;
    esac
    shift
done
[[ ${url:-} =~ ^(https?)://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)(:([0-9]+))?$ ]] || usage
scheme=${BASH_REMATCH[1]} host=${BASH_REMATCH[2]} port=${BASH_REMATCH[4]}
[ -n "$port" ] || { if [ "$scheme" = https ]; then port=443; else port=80; fi; }
command -v curl >/dev/null || refuse 'the program curl is needed but is not on the PATH'

# Prints the first key of variable $1 or of the file that $1_FILE names, without the key's name.
first_key() {
    local file=$1_FILE list=${!1:-}
    if [ -n "${!file:-}" ]; then
        [ -z "$list" ] || refuse "$1 and $file are both set; keep one of them"
        list=$(cat -- "${!file}") || refuse "$file names a file that cannot be read"
    fi
    list=${list%%,*}
    read -r list <<<"${list#*:}" || true
    [ -n "$list" ] || refuse "$1 is not set; set it to the service's, or use --public"
    printf '%s' "$list"
}

key='' token='' writes=''
if [ -z "$public" ]; then
    case ${ENVIRONMENT:-} in
        staging) writes=yes ;;
        production) ;;
        *) refuse 'ENVIRONMENT must be staging or production' ;;
    esac
    key=$(first_key MT5_API_KEY)
    token=$(first_key INTERNAL_API_TOKEN)
fi
unset MT5_API_KEY INTERNAL_API_TOKEN

# Time limits in seconds: for all checks, for one request, for a body that pauses.
readonly WHOLE=28 ONE=5 SLOW=15
readonly CANDLES=/api/v1/candles
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
curl=(curl -q --silent --show-error --globoff --http1.1)
[ -z "${SMOKE_CA:-}" ] || curl+=(--cacert "$SMOKE_CA")
# Connects to the host's own address directly, not through a proxy for outgoing requests.
[ -z "${SMOKE_RESOLVE:-}" ] || curl+=(--noproxy '*')

# Prints the credential of $1 as a line of curl's configuration. curl reads it from a pipe, because everybody on the machine can
# read a command line.
credential() {
    local header
    case $1 in
        nobody) return ;;
        terminal) header="X-API-KEY: $key" ;;
        chart) header="X-Internal-Token: $token" ;;
        stranger) header='X-API-KEY: smoke-test-of-a-wrong-key' ;;
    esac
    header=${header//\\/\\\\}
    printf 'header = "%s"\n' "${header//\"/\\\"}"
}

# request NAME SECONDS WHO URL [OPTION…] makes one request. It puts the answer into NAME.head and NAME.body, and prints the
# status or why there is none.
request() {
    local name=$1 seconds=$2 who=$3 address=$4 at=() answered
    shift 4
    [[ $address =~ ^[a-z]+://(.*):([0-9]+)/ ]]
    [ -z "${SMOKE_RESOLVE:-}" ] || at=(--resolve "${BASH_REMATCH[1]}:${BASH_REMATCH[2]}:$SMOKE_RESOLVE")
    : >"$work/$name.head"
    : >"$work/$name.body"
    if "${curl[@]}" ${at[@]+"${at[@]}"} --max-time "$seconds" --config <(credential "$who") --write-out '%{http_code}' \
        --dump-header "$work/$name.head" --output "$work/$name.body" "$@" "$address" >"$work/$name.status" \
        2>"$work/$name.error"; then
        cat "$work/$name.status"
    else
        answered=$(tr -d '\r\n' <"$work/$name.error")
        printf 'no answer (%s)' "${answered:-curl ended}"
    fi
}

# ask WHO PATH [OPTION…] makes a request and puts the status into $status. If the service is busy or limits the rate (503, 429),
# it waits for Retry-After and tries once more.
ask() {
    local who=$1 path=$2 attempt left wait
    shift 2
    for attempt in 1 2; do
        left=$((WHOLE - SECONDS))
        if [ "$left" -le 0 ]; then
            status="no answer (the $WHOLE s for all checks are over)"
            return
        fi
        status=$(request answer "$((left < ONE ? left : ONE))" "$who" "$scheme://$host:$port$path" "$@")
        wait=$(header retry-after)
        if [ "$attempt" = 2 ] || ! [[ $status =~ ^(429|503)$ && $wait =~ ^[0-9]{1,2}$ ]] ||
            [ "$wait" -ge "$((WHOLE - SECONDS))" ]; then
            return
        fi
        sleep "$wait"
    done
}

# Prints the value of header $1 in the last answer.
header() {
    LC_ALL=C awk -v wanted="$1:" 'tolower($1) == wanted { sub(/^[^:]*:[ \t]*/, ""); sub(/[ \t\r]*$/, ""); print; exit }' \
        "$work/answer.head"
}
body() { LC_ALL=C tr -cd '[:print:]' <"$work/answer.body"; }
# Prints the text of field $1 in the last body.
field() { body | sed -nE "s/.*\"$1\":\"([^\"]*)\".*/\1/p"; }

made=0 failed=0
ok() { made=$((made + 1)); printf 'ok    %s\n' "$1"; }
# $1 is what was checked, $2 what was expected.
fail() {
    local came=${3:-$status $(body)}
    made=$((made + 1)) failed=$((failed + 1))
    printf 'FAIL  %s: expected %s; got %.300s\n' "$1" "$2" "$came"
}
# answers WHAT STATUS [CODE] checks the status of the last answer, and the code of a problem.
answers() {
    if [ "$status" = "$2" ] && [ "$(field code)" = "${3:-}" ]; then ok "$1"; else fail "$1" "$2${3:+ $3}"; fi
}
is_body() { if [ "$status" = "$2" ] && [ "$(body)" = "$3" ]; then ok "$1"; else fail "$1" "$2 $3"; fi; }

is_unauthorized() { [ "$status" = 401 ] && [ "$(field detail)" = 'Invalid or missing API Key' ]; }

# Checks the headers of the last answer, which $1 describes.
headers() {
    local missing='' cache
    [ "$(header x-content-type-options)" = nosniff ] || missing+=', X-Content-Type-Options: nosniff'
    [ "$(header content-security-policy)" = "default-src 'none'; frame-ancestors 'none'" ] ||
        missing+=', the Content-Security-Policy that allows nothing'
    [ "$(header referrer-policy)" = no-referrer ] || missing+=', Referrer-Policy: no-referrer'
    cache=$(header cache-control)
    [[ $cache == no-store || $cache == 'private, no-cache' ]] || missing+=', Cache-Control: no-store or private, no-cache'
    [ "$scheme" = http ] || [[ $(header strict-transport-security) =~ max-age=[1-9] ]] || missing+=', Strict-Transport-Security'
    [[ $(header server) != *[0-9]* ]] || missing+=', a Server header without a version'
    if [ -z "$missing" ]; then
        ok "the headers of $1"
    else
        fail "the headers of $1" "${missing#, }" "$status $(tr -cd '[:print:]\n' <"$work/answer.head" | tr '\n' ' ')"
    fi
}

# Sends a body that pauses for longer than the service waits, while the other checks run. The body continues in the end, because
# Caddy passes the refusal on only then.
slow_body() {
    local started=$SECONDS status
    status=$(request slow "$SLOW" "$1" "$scheme://$host:$port$CANDLES" --request POST --header 'Expect:' --upload-file . \
        < <({ printf ' '; sleep 7; printf ' '; } 2>/dev/null))
    printf '%s in %s s' "$status" "$((SECONDS - started))" >"$work/slow.result"
    case $status in
        # Without a key, the service refuses before it waits for the body.
        408) ;;
        401) [ "$1" = nobody ] ;;
        # Some proxies close the connection without an answer.
        *'timed out'*) false ;;
        'no answer'*) [ "$((SECONDS - started))" -lt "$SLOW" ] ;;
        *) false ;;
    esac
}

ask nobody /health
is_body '/health says ok' 200 '{"status":"ok"}'
if [[ $status == 'no answer'* ]]; then
    say "nothing more was asked, because $url does not answer"
    exit 1
fi
headers 'a 200'
who=nobody
[ -n "$public" ] || who=terminal
slow_body "$who" &
slow=$!

ask nobody "$CANDLES?symbol=CANDLEWICK_SMOKE&timeframe=M1"
if is_unauthorized; then
    ok 'reading without a key is refused'
else
    fail 'reading without a key is refused' '401 "Invalid or missing API Key"'
fi
headers 'a 401'
ask nobody "$CANDLES" --data '{"candles":'
answers 'without a key, not even a malformed body is read' 401 unauthorized
ask stranger "$CANDLES" --data '{"candles":[]}'
if is_unauthorized; then
    ok 'a wrong key is refused'
# This address has tried too many wrong keys, perhaps in somebody else's requests; this key was refused all the same.
elif [ "$status" = 429 ] && [ "$(field code)" = rate_limited ]; then
    ok 'a wrong key is refused, because this address has tried too many'
else
    fail 'a wrong key is refused' '401 "Invalid or missing API Key"'
fi
ask nobody /no-such-route
answers 'an unknown route answers with a problem' 404 not_found
headers 'a 404'
if [ "$(header content-type)" = application/problem+json ]; then
    ok 'a problem is application/problem+json'
else
    fail 'a problem is application/problem+json' 'that Content-Type' "$(header content-type)"
fi
ask nobody /metrics
answers '/metrics is not public' 404 not_found
ask nobody "$CANDLES" --header 'Origin: https://smoke-test.invalid'
answers 'pages of other origins are refused' 403 foreign_origin

plain_port=${SMOKE_PLAIN_PORT:-}
[ "$scheme:$port" != https:443 ] || plain_port=${plain_port:-80}
if [ "$scheme" = http ]; then
    echo "skip  plain HTTP is refused: $url is plain HTTP itself"
elif [ -z "$plain_port" ]; then
    echo "skip  plain HTTP is refused: $url is not on port 443; SMOKE_PLAIN_PORT names the port"
else
    status=$(request answer "$ONE" nobody "http://$host:$plain_port$CANDLES")
    if [ "$status" = 403 ] && [ -z "$(header location)" ]; then
        ok "plain HTTP on port $plain_port is refused and not redirected"
    elif [[ $status == 'no answer'*[Cc]onnect* ]]; then
        ok "plain HTTP on port $plain_port gets no connection"
    else
        fail "plain HTTP on port $plain_port is refused and not redirected" 403 "$status $(header location) $(body)"
    fi
fi

if [ -z "$public" ]; then
    ask chart /api/v1/health/detailed
    revision=$(field revision)
    if [ "$status" != 200 ] || [ -z "$(field version)" ]; then
        fail 'the service reports its version' '200 with a version'
    elif [ "${EXPECT_REVISION:-$revision}" != "$revision" ]; then
        fail 'the revision is the one that was deployed' "$EXPECT_REVISION" "$revision"
    else
        ok "version $(field version), revision $revision"
    fi
    ask terminal "$CANDLES?symbol=CANDLEWICK_SMOKE&timeframe=M1"
    answers 'an ingest key cannot read' 403 wrong_scope
    ask chart "$CANDLES" --data '{"candles":[]}'
    answers 'a read token cannot post' 403 wrong_scope
    ask terminal "$CANDLES" --data '{"candles":'
    answers 'a malformed body is refused' 400 malformed
    ask terminal "$CANDLES" --header 'Content-Length: 2147483648' --header 'Expect:' --data ' '
    answers 'a body of 2 GiB is refused before it is sent' 413 too_large
    ask terminal "$CANDLES" --data '{"candles":[]}'
    answers 'the ingest key is right: an empty batch is looked at' 422 invalid_values
    ask chart "$CANDLES?symbol=CANDLEWICK_SMOKE&timeframe=M1&limit=1"
    if [ "$status" = 200 ] && [[ $(body) =~ ^\[.*\]$ ]]; then
        ok 'the read token is right: candles are read'
    else
        fail 'the read token is right: candles are read' '200 with an array'
    fi
fi

if [ -n "$writes" ]; then
    # Two smoke tests within one minute post the same candle.
    minute=$(($(date -u +%s) / 60 * 60 - 120))
    prices='"open":1.08500,"high":1.08650,"low":-0.000010,"close":1.08620,"volume":1200'
    batch='{"candles":[{"symbol":"CANDLEWICK_SMOKE","timeframe":"M1","timestamp":'$minute','$prices',"complete":true}]}'
    counts() { body | sed -nE 's/.*"records_received":([0-9]+),"records_added":([0-9]+),"records_duplicate":([0-9]+).*/\1,\2,\3/p'; }
    ask terminal "$CANDLES" --data "$batch"
    if [ "$status" = 201 ] && [[ $(counts) =~ ^1,(1,0|0,1)$ ]]; then
        ok 'a candle is stored'
    else
        fail 'a candle is stored' '201 with 1 received that is added or a duplicate'
    fi
    ask terminal "$CANDLES" --data "$batch"
    if [ "$status" = 201 ] && [ "$(counts)" = 1,0,1 ]; then
        ok 'posted again, it is a duplicate'
    else
        fail 'posted again, it is a duplicate' '201 with 1 received that is a duplicate'
    fi
    ask chart "$CANDLES?symbol=CANDLEWICK_SMOKE&timeframe=M1&from=$minute&to=$minute"
    is_body 'it is read with the digits with which it was posted' 200 "[{\"timestamp\":${minute}000,$prices}]"
fi

what='a body that pauses is given up'
if wait "$slow"; then
    ok "$what: $(<"$work/slow.result")"
else
    fail "$what" "408, or the connection's end" "$(<"$work/slow.result")"
fi

echo "$made checks in $SECONDS s, $failed failed"
[ "$failed" -eq 0 ]
