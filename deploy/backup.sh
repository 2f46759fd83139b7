#!/usr/bin/env bash
# Backs up candlewick's database while the service runs.
#   backup.sh            makes one backup now
#   backup.sh --nightly  makes one each day at BACKUP_AT until it is stopped, and one at the start if the newest is older than a
#                        day, or would be too old for --check before the next one
#   backup.sh --check    succeeds if the newest backup is younger than 26 hours
# Environment variables:
#   DATABASE_URL, or a file DATABASE_URL_FILE, as for the service: postgres://… or sqlite://PATH
#   BACKUP_DIR        the folder for backups
#   BACKUP_KEEP_DAYS  the number of days after which a backup is deleted; 14 if unset. The newest always stays.
#   BACKUP_AT         the time of the nightly backup, in UTC; 02:30 if unset
# A backup is named candlewick-YYYYMMDDTHHMMSSZ.dump (Postgres) or .db (SQLite). It gets that name only when it is complete, has
# been read back and is on the disk; its checksum is in a file beside it. This script needs sqlite3 or PostgreSQL's client
# programs, at least of the server's version. restore.sh restores a backup.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=database.sh
. "$(dirname "$(readlink -f "$0")")/database.sh"

usage() { refuse 'usage: backup.sh [--nightly | --check]'; }

readonly DAY=1440
# A day, and time for a slow backup.
readonly LATE=$((26 * 60))
# Seconds until the next attempt after a failed backup, and seconds to wait for another backup that is running.
readonly RETRY=900 LOCK_WAIT=3600

# Succeeds if a complete backup was made in the last $1 minutes.
has_backup_since() {
    [ -n "$(find "$folder" -maxdepth 1 -type f '(' -name 'candlewick-*Z.dump' -o -name 'candlewick-*Z.db' ')' -mmin "-$1")" ]
}

# Ends with the error output $1 of a program, and with advice if the disk is full.
failed() {
    printf '%s\n' "$1" >&2
    case $1 in
        *'No space left'* | *'is full'* | *'Disk quota'*)
            die "the disk of $folder is full; nothing was kept. Free some space, or lower BACKUP_KEEP_DAYS"
            ;;
        *) die "no backup was made: $2" ;;
    esac
}

# Prints pg_dump's arguments for both tables, the record of changes and the history of signals, as the login's search path finds
# them, and for all partitions of the closed candles, none of which pg_dump includes by itself. The names are quoted, so that
# pg_dump does not take them for patterns.
tables_to_dump() {
    ask_postgres "set lock_timeout = '60s';
        select format('--table=%I.%I', nspname, relname)
        from pg_class c join pg_namespace n on n.oid = relnamespace
        where c.oid in ('market_data_candles'::regclass, 'market_data_live_candles'::regclass, to_regclass('market_data_changes'),
                to_regclass('research_signals'))
            or c.oid in (select relid from pg_partition_tree('market_data_candles'))
        order by 1"
}

backup_postgres() {
    local kind
    # The rows of a hypertable are in tables that inherit from it, which pg_dump would silently omit.
    kind=$(ask_postgres "select case
        when exists (select from pg_extension where extname = 'timescaledb') or exists (
            select from pg_inherits join pg_class on pg_class.oid = inhparent
            where inhparent = to_regclass('market_data_candles') and relkind = 'r') then 'rows'
        when exists (select from pg_extension where extname = 'citus') then 'citus'
        else 'dump' end") || die 'no backup was made: the database cannot be asked; psql said why above'
    # One connection to each server of a cluster, so that both tables of a server are read from one snapshot.
    [ "$kind" != citus ] || export PGOPTIONS="${PGOPTIONS:-} -c citus.max_adaptive_executor_pool_size=1"
    if [ "$kind" = rows ]; then copy_rows "$1"; else dump_tables "$1"; fi
    counts=$(count_dumped "$1") || die 'no backup was made: the file that was written cannot be read to its end'
}

dump_tables() {
    local listed tables errors
    listed=$(tables_to_dump) || die 'no backup was made: the tables of candlewick could not be found; psql said why above'
    mapfile -t tables <<<"$listed"
    # Dumps all of them from one snapshot. The rows name the table and not its partitions, so that a
    # restore can put them into other partitions. pg_dump fails if row-level security would hide rows from the login.
    errors=$(pg_dump --format=custom --encoding=UTF8 --no-password --lock-wait-timeout=60s --strict-names \
        --load-via-partition-root "${tables[@]}" --file="$1" 2>&1) ||
        failed "$errors" 'pg_dump said why above; log in as the owner of the tables, who can read all rows of both and their partitions'
    [ -z "$errors" ] || printf '%s\n' "$errors" >&2
    # The dump would lack the rows of a partition that was created after the first listing and before pg_dump's.
    [ "$(tables_to_dump)" = "$listed" ] ||
        die 'no backup was made: a partition of market_data_candles came or went meanwhile; start another one'
}

# Writes the rows of both tables, of the record of changes and of the history of signals from one snapshot, as compressed COPY
# statements. It fails if row-level security would hide rows from the login.
copy_rows() {
    local errors
    errors=$({ psql -X -q -w -A -t -v ON_ERROR_STOP=1 <<'SQL' | gzip >"$1"; } 2>&1
set statement_timeout = 0;
set idle_in_transaction_session_timeout = 0;
set lock_timeout = '60s';
set client_encoding = 'UTF8';
set datestyle = 'ISO, YMD';
set row_security = off;
begin isolation level repeatable read read only;
select string_agg(quote_ident(attname), ', ' order by attnum) filter (where attrelid = 'market_data_candles'::regclass) as closed,
       string_agg(quote_ident(attname), ', ' order by attnum)
           filter (where attrelid = 'market_data_live_candles'::regclass) as forming
from pg_attribute
where attrelid in ('market_data_candles'::regclass, 'market_data_live_candles'::regclass)
  and attnum > 0 and not attisdropped and attgenerated = '' \gset
\qecho COPY market_data_live_candles (:forming) FROM stdin;
copy (select :forming from market_data_live_candles) to stdout;
\qecho '\\.'
\qecho COPY market_data_candles (:closed) FROM stdin;
copy (select :closed from market_data_candles) to stdout;
\qecho '\\.'
select to_regclass('market_data_changes') is not null as has_changes \gset
\if :has_changes
\qecho COPY market_data_changes (id, at, actor, kind, symbol, timeframe, first, last, candles, reason, detail) FROM stdin;
copy (select id, at, actor, kind, symbol, timeframe, first, last, candles, reason, detail from market_data_changes) to stdout;
\qecho '\\.'
\endif
select to_regclass('research_signals') is not null as has_signals \gset
\if :has_signals
\qecho COPY research_signals (symbol, timeframe, candle, close, signal, score, votes, previous, follows, at) FROM stdin;
copy (select symbol, timeframe, candle, close, signal, score, votes, previous, follows, at from research_signals) to stdout;
\qecho '\\.'
\endif
commit;
SQL
    ) || failed "$errors" 'psql said why above; log in as the owner of the tables, who can read all rows of both'
    [ -z "$errors" ] || printf '%s\n' "$errors" >&2
}

backup_sqlite() {
    local errors
    [ -f "$sqlite_file" ] || die "there is no SQLite file $sqlite_file; set DATABASE_URL as the service has it"
    # Takes a snapshot while the service may be writing.
    errors=$(ask_sqlite "$sqlite_file" "vacuum into '${1//\'/\'\'}'" 2>&1) ||
        failed "$errors" 'sqlite3 said why above'
    counts=$(count_sqlite "$1") || die 'no backup was made: the file that SQLite wrote is damaged, or not a database of candlewick'
}

make_backup() {
    local extension=dump started=$SECONDS name sum
    [ "$store" = postgres ] || extension=db
    # Locks the folder itself, so that no lock file is left behind.
    exec 9<"$folder"
    if ! flock -n 9; then
        say 'another backup is being made; waiting for it to end'
        timeout "$LOCK_WAIT" flock 9 || die "no backup was made: another one did not end within $LOCK_WAIT s; find out what holds it up"
    fi
    umask 077
    # Deletes the files of a backup that was killed.
    rm -f -- "$folder"/candlewick-*.partial*
    name=candlewick-$(date -u +%Y%m%dT%H%M%SZ).$extension
    # Waits if there is already a backup of this second.
    while [ -e "$folder/$name" ]; do
        sleep 0.2
        name=candlewick-$(date -u +%Y%m%dT%H%M%SZ).$extension
    done
    partial=$folder/$name.partial
    trap 'rm -f -- "$partial"* "${partial%.partial}.sha256"' EXIT
    "backup_$store" "$partial"
    # Writes the checksum in the format of sha256sum, because SQLite would not notice a digit that the disk has changed.
    { sum=$(checksum "$partial") && printf '%s  %s\n' "$sum" "$name" >"$folder/$name.sha256" &&
        to_disk "$partial" "$folder/$name.sha256"; } ||
        die "no backup was made: $folder could not be flushed to its disk"
    mv -- "$partial" "$folder/$name"
    to_disk "$folder"
    trap - EXIT
    find "$folder" -maxdepth 1 -type f -name 'candlewick-*Z.*' ! -name "$name*" -mmin "+$((keep_days * DAY))" \
        -exec rm -f -- {} +
    say "$folder/$name: ${counts% *} closed and ${counts#* } forming candles, $(wc -c <"$folder/$name" | tr -d ' ') bytes," \
        "$((SECONDS - started)) s"
}

# Prints the seconds until BACKUP_AT.
until_backup_time() {
    local now left
    now=$(date -u +%s)
    left=$(((10#${at%:*} * 60 + 10#${at#*:}) * 60 - now % 86400))
    echo "$((left > 0 ? left : left + 86400))"
}

# Waits $1 seconds by the wall clock, which goes on while the machine is suspended.
wait_for() {
    local end now
    end=$(($(date -u +%s) + $1))
    while now=$(date -u +%s) && [ "$now" -lt "$end" ]; do
        sleep "$((end - now < 60 ? end - now : 60))" &
        wait "$!"
    done
}

nightly() {
    local pause young job
    # Puts each backup into its own process group, so that the trap ends everything that it has started.
    set -m
    trap 'trap - TERM INT; for job in $(jobs -p); do kill -TERM -- "-$job" 2>/dev/null || true; done; exit 0' TERM INT
    # No backup at the start if the newest still passes --check when the next one is due.
    pause=$(until_backup_time)
    young=$((LATE - pause / 60))
    has_backup_since "$((young < DAY ? young : DAY))" || pause=0
    while :; do
        wait_for "$pause"
        (make_backup) &
        if wait "$!"; then
            pause=$(until_backup_time)
        else
            say "trying again in $RETRY s"
            pause=$RETRY
        fi
    done
}

[ $# -le 1 ] || usage
case ${1:-} in '' | --nightly | --check) ;; *) usage ;; esac
folder=${BACKUP_DIR:-} keep_days=${BACKUP_KEEP_DAYS:-14} at=${BACKUP_AT:-02:30}
[ -n "$folder" ] || refuse 'BACKUP_DIR is not set; name the folder for backups'
[ -d "$folder" ] || refuse "BACKUP_DIR names $folder, which is not a folder; make it first"
[[ $keep_days =~ ^[1-9][0-9]{0,3}$ ]] || refuse 'BACKUP_KEEP_DAYS must be a number of days from 1 to 9999'
[[ $at =~ ^([01][0-9]|2[0-3]):[0-5][0-9]$ ]] || refuse 'BACKUP_AT must be a time of day in UTC, such as 02:30'

if [ "${1:-}" = --check ]; then
    has_backup_since "$LATE" || die "there is no backup in $folder that was made in the last 26 hours"
    exit 0
fi
[ -w "$folder" ] || refuse "BACKUP_DIR names $folder, which this user cannot write to"
read_database_url
if [ "$store" = postgres ]; then needs psql pg_dump pg_restore gzip; else needs sqlite3; fi
needs flock
if [ "${1:-}" = --nightly ]; then nightly; else make_backup; fi
