#!/usr/bin/env bats
# Tests of deploy/rollout.sh with a fake remote.sh and smoke.sh, whose answers each test prepares.

A=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
B=sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    cp "$BATS_TEST_DIRNAME/../../deploy/rollout.sh" .
    # Both record their arguments and end as the next line of their file of answers says. It has the exit code and, for
    # remote.sh, the digest that is live from then on.
    cat >remote.sh <<'FAKE'
#!/usr/bin/env bash
cd "$(dirname "$0")"
echo "remote $*" >>calls
read -r code live <remote.answers
sed -i 1d remote.answers
[ -z "$live" ] || echo "$live" >live
[ "$1" != status ] || [ "$code" = 255 ] || printf 'live: blue %s\nhistory:\n' "$(cat live)"
exit "$code"
FAKE
    cat >smoke.sh <<'FAKE'
#!/usr/bin/env bash
cd "$(dirname "$0")"
echo "smoke $*" >>calls
read -r code <smoke.answers
sed -i 1d smoke.answers
exit "$code"
FAKE
    chmod +x remote.sh smoke.sh
    echo "$A" >live
    : >calls
    export SITE=candles.example.com PAUSE=0 ATTEMPTS=3
}

answers() { [ "$#" -eq 0 ] || printf '%s\n' "$@"; }
calls() { diff <(printf '%s\n' "$@") calls; }
# Succeeds if every prepared answer was used.
all_asked() { [ ! -s remote.answers ] && [ ! -s smoke.answers ]; }

@test "a version that answers is live" {
    answers 0 "0 $B" >remote.answers
    answers 0 >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 0 ]
    calls 'remote status' "remote deploy $B" 'smoke --public https://candles.example.com'
}

@test "a version that the host has rolled back is not checked from outside" {
    answers 0 1 >remote.answers
    answers >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 1 ]
    [[ $output == *"serves the previous version: $A"* ]]
    calls 'remote status' "remote deploy $B"
}

@test "a host that could not go back needs somebody" {
    answers 0 3 >remote.answers
    answers >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 3 ]
    [[ $output == *'somebody has to look now'* ]]
}

@test "a request that the host refuses begins nothing" {
    answers 0 2 >remote.answers
    answers >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 2 ]
    all_asked
}

@test "a version that fails only from outside is rolled back to the recorded one" {
    answers 0 "0 $B" "0 $A" >remote.answers
    answers 1 1 1 0 >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 1 ]
    [[ $output == *"went back: candles.example.com serves $A"* ]]
    calls 'remote status' "remote deploy $B" 'smoke --public https://candles.example.com' \
        'smoke --public https://candles.example.com' 'smoke --public https://candles.example.com' \
        "remote rollback $A" 'smoke --public https://candles.example.com'
}

@test "a check that fails once is repeated before a rollback" {
    answers 0 "0 $B" >remote.answers
    answers 1 0 >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 0 ]
    all_asked
}

@test "a rollback that fails, too, needs somebody" {
    answers 0 "0 $B" 1 >remote.answers
    answers 1 1 1 >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 3 ]
    [[ $output == *'GOING BACK FAILED, TOO'* ]]
    all_asked
}

@test "a restored version that fails from outside needs somebody" {
    answers 0 "0 $B" "0 $A" >remote.answers
    answers 1 1 1 1 1 1 >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 3 ]
    all_asked
}

@test "the first version of a host has no version to go back to" {
    echo nothing >live
    answers 0 "0 $B" 2 >remote.answers
    answers 1 1 1 >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 3 ]
    [ "$(grep -c '^remote rollback$' calls)" -eq 1 ]
}

@test "after a broken connection the host is asked, and the new version is live" {
    answers 0 255 "0 $B" 0 >remote.answers
    answers 0 >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 0 ]
    calls 'remote status' "remote deploy $B" 'remote settle' 'remote status' 'smoke --public https://candles.example.com'
}

@test "after a broken connection the host is asked, and the previous version is live" {
    answers 0 255 0 0 >remote.answers
    answers >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 1 ]
    all_asked
}

@test "a connection that breaks again is tried again" {
    answers 0 255 255 "0 $B" 255 0 0 >remote.answers
    answers 0 >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 0 ]
    all_asked
}

@test "a connection that stays broken needs somebody" {
    answers 0 255 255 255 255 >remote.answers
    answers >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 3 ]
    all_asked
}

@test "a host that does not settle needs somebody" {
    answers 0 255 3 >remote.answers
    answers >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 3 ]
    all_asked
}

@test "a host that cannot be reached gets no request" {
    answers 255 >remote.answers
    answers >smoke.answers
    run ./rollout.sh deploy "$B"
    [ "$status" -eq 2 ]
    calls 'remote status'
}

@test "a requested rollback is checked from outside, too" {
    answers 0 "0 $B" >remote.answers
    answers 0 >smoke.answers
    run ./rollout.sh rollback
    [ "$status" -eq 0 ]
    calls 'remote status' 'remote rollback' 'smoke --public https://candles.example.com'
}

@test "a requested rollback to a version that fails from outside needs somebody and is not undone" {
    answers 0 "0 $B" >remote.answers
    answers 1 1 1 >smoke.answers
    run ./rollout.sh rollback "$B"
    [ "$status" -eq 3 ]
    [ "$(grep -c '^remote rollback' calls)" -eq 1 ]
}

@test "a rollback that is interrupted before it changed anything has failed" {
    answers 0 255 0 0 >remote.answers
    answers >smoke.answers
    run ./rollout.sh rollback
    [ "$status" -eq 1 ]
    all_asked
}

@test "a rollback that is interrupted after it changed the version has succeeded" {
    answers 0 255 "0 $B" 0 >remote.answers
    answers 0 >smoke.answers
    run ./rollout.sh rollback
    [ "$status" -eq 0 ]
    all_asked
}

@test "an invalid request is refused before the host is asked" {
    answers >remote.answers
    for request in '' deploy 'deploy latest' "deploy $A extra" "deploy $A;reboot" settle 'rollback sha256:12'; do
        # shellcheck disable=SC2086  # words of a request
        run ./rollout.sh $request
        [ "$status" -eq 2 ]
    done
    [ ! -s calls ]
}
