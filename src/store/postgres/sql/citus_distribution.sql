-- managed: how many of our tables Citus manages.
-- fits: whether both are distributed by hash of the symbol and share their placement.
select count(*) as managed,
       count(*) = 2 and bool_and(partmethod = 'h')
       and bool_and(column_to_column_name(logicalrelid, partkey) = 'symbol')
       and count(distinct colocationid) = 1 as fits
from pg_dist_partition
where logicalrelid in (to_regclass('market_data_candles'), to_regclass('market_data_live_candles'))
