#!/usr/bin/env bats

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    notify=$BATS_TEST_DIRNAME/../../deploy/notify.sh
    mkdir bin
    cat >bin/curl <<'FAKE'
#!/usr/bin/env bash
printf '%s\n' "$@" >arguments
while [ "$#" -gt 0 ]; do
    [ "$1" != --config ] || cat "$2" >config
    shift
done
cat >body
exit "${CURL_EXIT:-0}"
FAKE
    chmod +x bin/curl
    export PATH=$PWD/bin:$PATH
}

@test "any text is sent as JSON" {
    NOTIFY_WEBHOOK_URL=https://hooks.example.com/secret run "$notify" 'a "quoted" word,' 'a \ and a
second line'
    [ "$status" -eq 0 ]
    [ "$(python3 -c 'import json; print(json.load(open("body"))["text"])')" = $'a "quoted" word, a \\ and a\nsecond line' ]
}

@test "the address is not on any command line" {
    NOTIFY_WEBHOOK_URL=https://hooks.example.com/secret run "$notify" text
    [ "$(cat config)" = 'url = "https://hooks.example.com/secret"' ]
    run grep -r secret arguments
    [ "$status" -eq 1 ]
}

@test "without an address, nothing is sent and the script succeeds" {
    NOTIFY_WEBHOOK_URL='' run "$notify" text
    [ "$status" -eq 0 ]
    [ ! -e arguments ]
    [[ $output == *'nobody is notified: text'* ]]
}

@test "a message that cannot be delivered is a failure" {
    CURL_EXIT=22 NOTIFY_WEBHOOK_URL=https://hooks.example.com/secret run "$notify" text
    [ "$status" -ne 0 ]
}
