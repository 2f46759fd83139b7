#!/usr/bin/env bats
# Tests of the scripts that make a release: its notes, tags and binaries, and the smoke test of its image.
bats_require_minimum_version 1.5.0

A=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
B=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
JOINED=sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    mkdir -p scripts bin digests
    cp "$BATS_TEST_DIRNAME"/../../scripts/{release-notes,publish-image,version} scripts/
    cat >Cargo.toml <<'TOML'
[package]
name = "candlewick"
version = "1.2.0"
[dependencies]
other = { version = "3" }
[package.metadata]
version = "9.9.9"
TOML
    cat >CHANGELOG.md <<'MARKDOWN'
# Changelog

## Unreleased

- Not yet.

## [1.2.0] - 2026-01-31

### Added

- A thing.

## 1.1.0

- Before.
MARKDOWN
    cat >bin/docker <<'FAKE'
#!/usr/bin/env bash
echo "$*" >>calls
[ "$3" != inspect ] || echo "$JOINED"
FAKE
    chmod +x bin/docker
    export PATH=$PWD/bin:$PATH JOINED GITHUB_SHA=0123 GITHUB_REF_TYPE=branch GITHUB_REF_NAME=main
    touch "digests/$A" "digests/$B"
}

@test "the notes of a version are those below its heading" {
    run scripts/release-notes v1.2.0
    [ "$status" -eq 0 ]
    [ "$output" = $'### Added\n\n- A thing.' ]
}

@test "a heading may lack brackets and date" {
    sed -i 's/1\.2\.0/1.1.0/' Cargo.toml
    run scripts/release-notes v1.1.0
    [ "$output" = '- Before.' ]
}

@test "a tag that is not Cargo.toml's version is refused" {
    for tag in v1.1.0 1.2.0 v9.9.9 v1.2.0-rc.1; do
        run scripts/release-notes "$tag"
        [ "$status" -eq 1 ]
        [[ $output == *"the tag is $tag, but Cargo.toml's version is 1.2.0"* ]]
    done
}

@test "a version without notes in CHANGELOG.md is refused" {
    sed -i 's/^version = "1\.2\.0"/version = "1.3.0"/' Cargo.toml
    run scripts/release-notes v1.3.0
    [ "$status" -eq 1 ]
    [[ $output == *'CHANGELOG.md has no notes'* ]]
    printf '\n## 1.3.0\n\n' >>CHANGELOG.md
    run scripts/release-notes v1.3.0
    [ "$status" -eq 1 ]
}

@test "an image of main has the tags of its commit and of the branch" {
    run --separate-stderr scripts/publish-image ghcr.io/you/candlewick digests
    [ "$status" -eq 0 ]
    [ "$output" = "$JOINED" ]
    diff calls - <<CALLS
buildx imagetools create --tag ghcr.io/you/candlewick:sha-0123 --tag ghcr.io/you/candlewick:main ghcr.io/you/candlewick@sha256:$A ghcr.io/you/candlewick@sha256:$B
buildx imagetools inspect ghcr.io/you/candlewick:sha-0123 --format {{.Manifest.Digest}}
CALLS
}

@test "a version has the tags of its number and latest, a pre-release only that of its number" {
    GITHUB_REF_TYPE=tag GITHUB_REF_NAME=v1.2.0 run scripts/publish-image i digests
    grep -Fq -- '--tag i:1.2.0 --tag i:latest i@' calls
    GITHUB_REF_TYPE=tag GITHUB_REF_NAME=v1.3.0-rc.1 run scripts/publish-image i digests
    grep -Fq -- '--tag i:1.3.0-rc.1 i@' calls
}

@test "a file that is not named after a digest is not published" {
    touch digests/latest
    run scripts/publish-image i digests
    [ "$status" -eq 1 ]
    [ ! -e calls ]
}

@test "an image without a digest is a failure" {
    JOINED='' run scripts/publish-image i digests
    [ "$status" -eq 1 ]
}

# A fake docker whose image holds a binary that names the platform it was asked for.
docker_with_an_image() {
    cat >bin/docker <<'FAKE'
#!/usr/bin/env bash
echo "$*" >>calls
case $1 in
    create) echo "$4" >platform; echo container ;;
    cp) cp platform "$3" ;;
esac
FAKE
    cp "$BATS_TEST_DIRNAME/../../scripts/package" scripts/
    touch LICENSE README.md
}

@test "Linux binaries come from the image, each from its own platform" {
    docker_with_an_image
    scripts/package x86_64-unknown-linux-gnu "i@$JOINED"
    scripts/package aarch64-unknown-linux-gnu "i@$JOINED"
    for pair in x86_64:amd64 aarch64:arm64; do
        name=candlewick-1.2.0-${pair%:*}-unknown-linux-gnu
        tar -xzf "target/dist/$name.tar.gz"
        [ "$(cat "$name/candlewick")" = "linux/${pair#*:}" ]
        [ -f "$name/LICENSE" ]
    done
    # Otherwise the second binary would be the first one again.
    [ "$(grep -c "^image rm --force i@$JOINED\$" calls)" -eq 2 ]
}

@test "an image that fails its smoke test prints its log and leaves nothing running" {
    cp "$BATS_TEST_DIRNAME/../../scripts/smoke-image" scripts/
    mkdir deploy
    cat >deploy/smoke.sh <<'FAKE'
#!/usr/bin/env bash
echo "$EXPECT_REVISION $MT5_API_KEY $ENVIRONMENT $*" >asked
exit "$SMOKE"
FAKE
    chmod +x deploy/smoke.sh
    cat >bin/docker <<'FAKE'
#!/usr/bin/env bash
echo "$*" >>calls
case " $* " in *' cp '*) echo 'MT5_API_KEY=generated' >"${@: -1}" ;; *' logs '*) echo 'the log' ;; esac
FAKE
    # The page of the image answers, unless PAGE is curl's exit code.
    cat >bin/curl <<'FAKE'
#!/usr/bin/env bash
exit "${PAGE:-0}"
FAKE
    chmod +x bin/curl
    REVISION=0123 SMOKE=1 run scripts/smoke-image
    [ "$status" -eq 1 ]
    [[ $output == *'the log'* ]]
    [ "$(cat asked)" = '0123 generated staging http://127.0.0.1:8000' ]
    [[ $(tail -n 1 calls) == *' down --volumes' ]]
    REVISION=0123 SMOKE=0 PAGE=7 run scripts/smoke-image
    [ "$status" -eq 7 ]
    [[ $output == *'the log'* ]]
    REVISION=0123 SMOKE=0 run scripts/smoke-image
    [ "$status" -eq 0 ]
    [[ $output != *'the log'* ]]
}
