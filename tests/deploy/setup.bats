#!/usr/bin/env bats
# Tests of setup.sh, which makes what a host needs before its first deployment.

load host

make_host() { "$HOST/deploy/setup.sh" candles.example.com you@example.com ghcr.io/you/candlewick "$@"; }

@test "it makes settings and secrets, and prints where the keys are" {
    rm "$HOST/deploy/.env"
    run -0 make_host
    says 'secrets/mt5_api_key'
    says 'deploy.sh sha256:'
    cd "$HOST/deploy"
    grep -qx 'ENVIRONMENT=production' .env
    equal "$(stat -c %a secrets)" 700
    for secret in postgres_password database_password mt5_api_key internal_api_token grafana_password; do
        [[ $(cat "secrets/$secret") =~ ^[0-9a-f]{64}$ ]]
        # Containers run as other users.
        equal "$(stat -c %a "secrets/$secret")" 644
    done
    equal "$(sort -u secrets/*_* | wc -l)" 6
    equal "$(cat secrets/database_url)" \
        "postgres://candlewick:$(cat secrets/database_password)@database:5432/candlewick?sslmode=disable"
    # No secret is shown.
    [[ $output != *"$(cat secrets/mt5_api_key)"* ]]
}

@test "a second call changes nothing" {
    rm "$HOST/deploy/.env"
    make_host staging
    before=$(cd "$HOST/deploy" && sha256sum .env candlewick.env secrets/*)
    run -0 make_host production
    says '.env exists and stays as it is'
    equal "$(cd "$HOST/deploy" && sha256sum .env candlewick.env secrets/*)" "$before"
}

@test "it makes every file and variable that the compose file needs" {
    rm "$HOST/deploy/.env"
    make_host
    cd "$HOST/deploy"
    shipped=$BATS_TEST_DIRNAME/../../deploy/docker-compose.prod.yml
    sed -n 's|^ *file: \(secrets/.*\)|\1|p' "$shipped" >secrets-asked-for
    while read -r secret; do [ -s "$secret" ]; done <secrets-asked-for
    sed -n 's/.*[$]{\([A-Z_]*\):?.*/\1/p' "$shipped" | sort -u >variables-asked-for
    while read -r variable; do grep -q "^$variable=." .env; done <variables-asked-for
    equal "$(wc -l <secrets-asked-for) $(wc -l <variables-asked-for)" '7 4'
}

@test "invalid values are refused" {
    rm "$HOST/deploy/.env"
    run -2 "$HOST/deploy/setup.sh"
    run -2 "$HOST/deploy/setup.sh" https://candles.example.com you@example.com ghcr.io/you/candlewick
    says 'SITE must be a host name'
    run -2 "$HOST/deploy/setup.sh" candles.example.com you ghcr.io/you/candlewick
    says 'EMAIL must be an address for the certificate authority'
    run -2 "$HOST/deploy/setup.sh" candles.example.com you@example.com "ghcr.io/you/candlewick@$(digest 1)"
    says 'without tag or digest'
    run -2 "$HOST/deploy/setup.sh" candles.example.com you@example.com ghcr.io/you/candlewick:1.2
    says 'without tag or digest'
    run -2 make_host development
    [ ! -e "$HOST/deploy/.env" ]
}
