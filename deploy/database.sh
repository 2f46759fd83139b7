# Sourced by backup.sh and restore.sh: reads DATABASE_URL, and checks backups of the database.
# shellcheck shell=bash

program=$(basename "$0" .sh)
say() { printf '%s: %s\n' "$program" "$*" >&2; }
die() { say "$*"; exit 1; }
# Ends because the arguments or settings are wrong.
refuse() { say "$*"; exit 2; }

needs() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || die "the program $tool is needed but is not on the PATH"
    done
}

# read_database_url sets these for the script that sources this: postgres or sqlite, and the path of a SQLite file.
store='' sqlite_file=''

# Reads DATABASE_URL or the file DATABASE_URL_FILE as the service does. A Postgres address goes into libpq's environment
# variables, because everybody on the machine can read a command line, and libpq and the service spell some parameters
# differently.
# shellcheck disable=SC2034
read_database_url() {
    local url=${DATABASE_URL:-}
    [ -z "$url" ] || [ -z "${DATABASE_URL_FILE:-}" ] || refuse 'DATABASE_URL and DATABASE_URL_FILE are both set; keep one of them'
    if [ -n "${DATABASE_URL_FILE:-}" ]; then
        url=$(cat -- "$DATABASE_URL_FILE") || refuse 'DATABASE_URL_FILE names a file that cannot be read'
    fi
    unset DATABASE_URL
    read -r url <<<"$url" || true
    case $url in
        postgres://* | postgresql://*) store=postgres; read_postgres_url "${url#*://}" ;;
        sqlite://?*) store=sqlite; sqlite_file=$(decoded "${url#sqlite://}") ;;
        '') refuse 'DATABASE_URL is not set; give the address that the service uses, sqlite://PATH or postgres://…' ;;
        *) refuse 'DATABASE_URL must start with sqlite:// or postgres://' ;;
    esac
}

# Undoes percent-encoding.
decoded() { printf '%b' "$(sed -E 's/\\/\\\\/g; s/%([0-9A-Fa-f]{2})/\\x\1/g' <<<"$1")"; }

# $1 is USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS, in which everything except the host is optional.
read_postgres_url() {
    local rest=${1%%#*} authority login='' path='' query='' pair value names_sslmode=''
    [[ $rest != *\?* ]] || { query=${rest#*\?}; rest=${rest%%\?*}; }
    authority=${rest%%/*}
    [[ $rest != */* ]] || path=${rest#*/}
    # A password may contain an @ that was not encoded.
    [[ $authority != *@* ]] || { login=${authority%@*}; authority=${authority##*@}; }
    if [ -n "$login" ]; then
        export PGUSER PGPASSWORD
        PGUSER=$(decoded "${login%%:*}")
        [[ $login != *:* ]] || PGPASSWORD=$(decoded "${login#*:}")
    fi
    # A colon within brackets belongs to an IPv6 address.
    if [[ $authority =~ :([0-9]+)$ ]]; then
        export PGPORT=${BASH_REMATCH[1]}
        authority=${authority%:*}
    fi
    authority=${authority#[}
    [ -z "$authority" ] || { PGHOST=$(decoded "${authority%]}"); export PGHOST; }
    [ -z "$path" ] || { PGDATABASE=$(decoded "$path"); export PGDATABASE; }
    while [ -n "$query" ]; do
        pair=${query%%&*}
        query=${query#"$pair"} query=${query#&}
        value=${pair#*=}
        value=$(decoded "${value//+/ }")
        case ${pair%%=*} in
            sslmode | ssl-mode) export PGSSLMODE=$value; names_sslmode=yes ;;
            sslrootcert | ssl-root-cert | ssl-ca)
                [[ $value != -----BEGIN* ]] || refuse 'sslrootcert in DATABASE_URL must be a file here, not the certificate itself'
                export PGSSLROOTCERT=$value
                ;;
            sslcert | ssl-cert) export PGSSLCERT=$value ;;
            sslkey | ssl-key) export PGSSLKEY=$value ;;
            host) export PGHOST=$value ;;
            hostaddr) export PGHOSTADDR=$value ;;
            port) export PGPORT=$value ;;
            dbname) export PGDATABASE=$value ;;
            user) export PGUSER=$value ;;
            password) export PGPASSWORD=$value ;;
            options) export PGOPTIONS=$value ;;
            # Not needed here.
            application_name | statement-cache-capacity) ;;
            *) refuse "DATABASE_URL holds the parameter ${pair%%=*}, which is not known here; remove it" ;;
        esac
    done
    # Like the service, requires TLS to another machine unless sslmode says otherwise.
    if [ -z "$names_sslmode" ] && [[ ${PGSSLMODE:-prefer} =~ ^(allow|prefer)$ ]]; then
        case ${PGHOSTADDR:-${PGHOST:-/}} in
            /* | localhost | 127.* | ::1) ;;
            *) export PGSSLMODE=require ;;
        esac
    fi
    export PGAPPNAME=candlewick-$program PGCONNECT_TIMEOUT=10
}

# Prints one value or row from Postgres, or its error.
ask_postgres() { psql -X -A -t -q -w -v ON_ERROR_STOP=1 -c "$1"; }

# Prints one value from the SQLite file $1.
ask_sqlite() { sqlite3 -batch -bail -init /dev/null -cmd '.timeout 5000' "$1" "$2"; }

# Succeeds if file $1 starts with $2, in which \0NNN stands for a byte. That identifies its format.
starts_with() { cmp -s -n "$(printf %b "$2" | wc -c)" -- "$1" <(printf %b "$2"); }

# The formats of pg_dump, and of the compressed COPY statements in which backup.sh writes the rows of tables of which pg_dump
# would miss some.
# shellcheck disable=SC2034  # restore.sh uses both
readonly PG_DUMP=PGDMP GZIP='\0037\0213'

# Prints the rows of a backup as COPY statements for our two tables, the record of changes and the history of signals, and nothing
# else that a dump may contain. The statements do not name a schema, so that the rows go to the tables that the service sees. Each
# partition has its own statement. Fails unless both tables are in the backup completely.
dumped_rows() {
    if starts_with "$1" "$GZIP"; then gzip -dc -- "$1"; else pg_restore --data-only --file=- -- "$1"; fi | LC_ALL=C awk '
        inside { print; if ($0 == "\\.") inside = 0; next }
        /^COPY [^ ]*(market_data_(candles|live_candles|changes)|research_signals) \(/ {
            sub(/^COPY ([^ ]*[.])?/, "COPY ")
            print
            inside = 1
            found[$2] = 1
        }
        END { exit inside || !found["market_data_candles"] || !found["market_data_live_candles"] }'
}

# Reads a dump to its end and prints how many closed and forming candles it holds.
count_dumped() {
    dumped_rows "$1" | LC_ALL=C awk '
        !inside { table = $2; inside = 1; next }
        $0 == "\\." { inside = 0; next }
        { rows[table]++ }
        END { print rows["market_data_candles"] + 0, rows["market_data_live_candles"] + 0 }'
}

# Checks all of a SQLite file and prints how many closed and forming candles it holds.
count_sqlite() {
    local answer size
    answer=$(ask_sqlite "$1" "pragma integrity_check(1);
        select page_count * page_size from pragma_page_count, pragma_page_size;
        select (select count(*) from market_data_candles) || ' ' || (select count(*) from market_data_live_candles);") ||
        return
    # Compares the size, because SQLite takes the missing rest of a truncated last page for zeros.
    size=$(wc -c <"$1" | tr -d ' ')
    [[ $answer == "ok"$'\n'"$size"$'\n'* ]] || { printf '%s\n' "$answer" >&2; return 1; }
    printf '%s\n' "${answer##*$'\n'}"
}

# Prints the checksum of file $1 without its name.
checksum() { sha256sum <"$1" | cut -d ' ' -f 1; }

# Flushes the files $@ to the disk.
to_disk() { sync "$@"; }
