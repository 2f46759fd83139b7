-- Turns an existing table market_data_candles with its candles into the first partition of a new, partitioned table of that
-- name. The second command adds the other partitions. Run both as the table's owner, while no candlewick uses the database:
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f docs/postgres-partition-existing.sql
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -v first_year=2027 -f docs/postgres-partitioned.sql
-- Replace 2027 with the first year after your newest candle, in this file and in the second command. No candle is copied;
-- attaching reads the table once.

begin;
lock table market_data_candles;
alter table market_data_candles rename to candles_until_2027;
alter index market_data_candles_pkey rename to candles_until_2027_pkey;
create table market_data_candles (
    like candles_until_2027 including defaults including indexes
) partition by range ("timestamp");
alter sequence market_data_candles_id_seq owned by market_data_candles.id;
create schema candlewick_partitions;
alter table candles_until_2027 set schema candlewick_partitions;
alter table market_data_candles attach partition candlewick_partitions.candles_until_2027
    for values from (minvalue) to ('2027-01-01 00:00:00+00');
commit;
