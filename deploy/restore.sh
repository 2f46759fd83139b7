#!/usr/bin/env bash
# Restores a backup of backup.sh into an empty database.
#   restore.sh FILE
# DATABASE_URL, or a file DATABASE_URL_FILE, names the database as for the service: postgres://… or sqlite://PATH.
#   Postgres: run `candlewick migrate` first, which makes the tables, so that their access rights come from the release that will
#   serve them. All rows come in one transaction, so the tables stay empty until it ends, whatever happens.
#   SQLite: there must be no file yet.
# Existing data is never overwritten.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=database.sh
. "$(dirname "$(readlink -f "$0")")/database.sh"

[[ $# -eq 1 && $1 != -* ]] || refuse 'usage: restore.sh FILE'
backup=$1
[[ -f $backup && -r $backup ]] || refuse "$backup is not a file that can be read"
read_database_url

if [ -f "$backup.sha256" ]; then
    read -r expected _ <"$backup.sha256" || true
    [ "$expected" = "$(checksum "$backup")" ] ||
        die "$backup is damaged: it does not have the checksum in $backup.sha256; nothing was touched. Take another one"
else
    say "there is no $backup.sha256, so only the content of the file can be checked"
fi

# Prints the statements for psql: one transaction, which is committed only if every row has been read from the backup.
statements() {
    cat <<'SQL'
\set VERBOSITY terse
set statement_timeout = 0;
set idle_in_transaction_session_timeout = 0;
set lock_timeout = '30s';
set client_encoding = 'UTF8';
begin;
lock table market_data_candles, market_data_live_candles in share row exclusive mode;
do $$ begin
    if exists (select 1 from market_data_candles) or exists (select 1 from market_data_live_candles) then
        raise exception 'the tables are no longer empty';
    end if;
    -- A release without a history of signals has no such table, and its backups have no such rows.
    if to_regclass('research_signals') is not null then
        lock table research_signals in share row exclusive mode;
        if exists (select 1 from research_signals) then
            raise exception 'the table research_signals holds signals already';
        end if;
    end if;
end $$;
SQL
    dumped_rows "$backup" || return
    cat <<SQL
do \$\$
declare
    id_sequence text;
begin
    if (select count(*) from market_data_candles) <> ${counts% *}
        or (select count(*) from market_data_live_candles) <> ${counts#* } then
        raise exception 'the tables do not hold the rows of the backup';
    end if;
    if exists (
        select from pg_attribute
        where attrelid = 'market_data_candles'::regclass and attname = 'id' and not attisdropped
    ) then
        id_sequence := pg_get_serial_sequence('market_data_candles', 'id');
        -- The next candle's id comes after those that were restored.
        if id_sequence is not null then
            perform setval(id_sequence, max(id)) from market_data_candles having max(id) is not null;
        end if;
    end if;
    if to_regclass('market_data_changes_id_seq') is not null then
        perform setval('market_data_changes_id_seq', max(id)) from market_data_changes having max(id) is not null;
    end if;
end
\$\$;
commit;
SQL
}

restore_postgres() {
    local found errors
    needs psql pg_restore gzip
    starts_with "$backup" "$PG_DUMP" || starts_with "$backup" "$GZIP" ||
        die "$backup is not a dump of a Postgres database, but DATABASE_URL names a Postgres database"
    if starts_with "$backup" "$PG_DUMP"; then
        errors=$(pg_restore --list -- "$backup" 2>&1 >/dev/null) || true
        [[ $errors != *'unsupported version'* ]] ||
            die "$backup was made by a newer pg_dump; nothing was touched. Restore with PostgreSQL's programs of at least its version"
    fi
    counts=$(count_dumped "$backup") || die "$backup is damaged, or not a backup of candlewick; nothing was touched. Take another one"
    found=$(ask_postgres "select to_regclass('market_data_candles') is not null
        and to_regclass('market_data_live_candles') is not null") || die 'the database cannot be reached; nothing was touched'
    [ "$found" = t ] || die 'the database has no tables yet; run "candlewick migrate" on it, then this again'
    found=$(ask_postgres 'select exists (select 1 from market_data_candles) or exists (select 1 from market_data_live_candles)') ||
        die 'the tables cannot be read; nothing was touched'
    [ "$found" = f ] || die 'the database holds candles already; nothing was touched. Restore into an empty one'
    statements | psql -X -q -w -o /dev/null -v ON_ERROR_STOP=1 ||
        die 'nothing was restored, and the tables are as they were; psql said why above. The login must own the tables'
}

restore_sqlite() {
    local target=$sqlite_file folder file
    needs sqlite3
    starts_with "$backup" 'SQLite format 3' || die "$backup is not a SQLite database, but DATABASE_URL names one"
    for file in "$target" "$target-wal" "$target-shm" "$target-journal"; do
        [ ! -e "$file" ] || die "$file is there already; nothing was touched. Stop the service and move it away first"
    done
    folder=$(dirname -- "$target")
    partial=$target.restoring.$$
    # Deletes the files of a restore that was killed.
    rm -f -- "$target".restoring.*
    umask 077
    trap 'rm -f -- "$partial"' EXIT
    cp -- "$backup" "$partial" || die "$folder cannot be written, or its disk is full; nothing was restored"
    counts=$(count_sqlite "$partial") || die "$backup is damaged, or not a backup of candlewick; nothing was restored. Take another one"
    # The service may run as another user than the one who restores.
    [ "$(id -u)" -ne 0 ] || chown --reference="$folder" -- "$partial"
    to_disk "$partial"
    # Unlike a rename, a link never replaces a file that somebody else has put there.
    ln -- "$partial" "$target" || die "$target could not be put into its place; nothing was restored"
    to_disk "$folder"
}

started=$SECONDS
"restore_$store"
say "restored ${counts% *} closed and ${counts#* } forming candles in $((SECONDS - started)) s; start the service on it"
