#!/usr/bin/env bash
# Makes what a host needs before its first deployment: .env, candlewick.env, secrets/ and backups/. Existing files stay.
#   setup.sh SITE EMAIL IMAGE [staging|production]
#   setup.sh candles.example.com you@example.com ghcr.io/you/candlewick
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'setup.sh: %s\n' "$*" >&2; }
usage() { sed -n '3,4p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' >&2; exit 2; }
[ "$#" -eq 3 ] || [ "$#" -eq 4 ] || usage
site=$1 email=$2 image=$3 environment=${4:-production}
[[ $site =~ ^[a-z0-9.-]+$ ]] || { say "SITE must be a host name in lower case, without https://; it is '$site'"; exit 2; }
[[ $email =~ ^[^[:space:]@]+@[^[:space:]@]+$ ]] || { say "EMAIL must be an address for the certificate authority; it is '$email'"; exit 2; }
[[ $image =~ ^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$ ]] || { say "IMAGE must be a repository without tag or digest; it is '$image'"; exit 2; }
[[ $environment =~ ^(staging|production)$ ]] || usage

make() {
    if [ -e "$1" ]; then
        say "$1 exists and stays as it is; edit the file to change it"
        cat >/dev/null
    else
        cat >"$1.new"
        mv "$1.new" "$1"
        say "made $1"
    fi
}
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

umask 022
mkdir -p backups certificates secrets state/proxy
# Containers run as other users and have to read the secrets; the folder keeps everybody else out.
chmod 0700 secrets

make .env <<ENV
# Settings of this host, for docker compose and the scripts beside it.
SITE=$site
# An e-mail address for the certificate authority, or "/certificates/fullchain.pem /certificates/privkey.pem" for files in
# certificates/ here that root owns. SMOKE_CA names a certificate to trust if no authority has signed them.
TLS="$email"
ENVIRONMENT=$environment
IMAGE=$image
# postgres: the database of the compose file. monitoring: Prometheus, Alertmanager and Grafana. web: the page of clients/web.
COMPOSE_PROFILES=postgres
COMPOSE_FILE=docker-compose.prod.yml
PROXY=caddy
# here: the container "backup" makes a backup every night and before migrations. elsewhere: you make them.
BACKUPS=here
BACKUP_USER=$(id -u):$(id -g)
BACKUP_KEEP_DAYS=14
# Also: PUBLISH, the address whose ports 80 and 443 are served (0.0.0.0); HTTPS_PORT and HTTP_PORT; EDGE_NET, the first three
# numbers of the containers' network (10.77.31); BACKUP_AT, in UTC (02:30); BACKUP_FOLDER (./backups); DATABASE_MEMORY (1g);
# CONSOLE_FROM, the addresses that may open the console if candlewick.env has CONSOLE_ENABLED=true (0.0.0.0/0 ::/0);
# WEB_TOKEN_FILE and WEB_CA, the page's read token (secrets/internal_api_token) and an authority that it trusts.
ENV
make candlewick.env <<'ENV'
# Variables of the service beyond those that the compose file sets: RATE_LIMIT_INGEST, ALLOWED_ORIGINS, SENTRY_DSN, …
# `docker run --rm IMAGE --help` lists all of them. Changes take effect with the next deployment.
ENV
random | make secrets/postgres_password
random | make secrets/database_password
random | make secrets/mt5_api_key
random | make secrets/internal_api_token
random | make secrets/grafana_password
# The network between service and database never leaves this host, and the database's image does not speak TLS.
for url in database_url database_owner_url; do
    make "secrets/$url" <<URL
postgres://candlewick:$(cat secrets/database_password)@database:5432/candlewick?sslmode=disable
URL
done

cat >&2 <<NEXT

Terminals post with the key in             $PWD/secrets/mt5_api_key
The chart's server reads with the token in $PWD/secrets/internal_api_token

Next, deploy an image by the digest that the release workflow shows:
  $PWD/deploy.sh sha256:…
NEXT
