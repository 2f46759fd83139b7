-- Makes a market_data_candles that holds candles the first partition of a partitioned one, for psql, as its owner, while no
-- candlewick runs on it:
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f docs/postgres-partition-existing.sql
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -v first_year=2027 -f docs/postgres-partitioned.sql
-- Put the first year after your newest candle into both, here and on the command line. Nothing is copied; attaching reads the
-- table once.

begin;
lock table market_data_candles;
alter table market_data_candles rename to candles_until_2027;
alter index market_data_candles_pkey rename to candles_until_2027_pkey;
create table market_data_candles (
    like candles_until_2027 including defaults,
    primary key (symbol, timeframe, "timestamp")
) partition by range ("timestamp");
alter sequence market_data_candles_id_seq owned by market_data_candles.id;
create schema candlewick_partitions;
alter table candles_until_2027 set schema candlewick_partitions;
alter table market_data_candles attach partition candlewick_partitions.candles_until_2027
    for values from (minvalue) to ('2027-01-01 00:00:00+00');
commit;
