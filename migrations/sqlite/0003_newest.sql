-- Opening times of the newest closed candles by timeframe, for their age in the metrics. The service keeps it up to date now and
-- then, so that no look at the candles is needed. A migration that has shipped is never edited: its checksum is stored.

-- One that is there is left of candles that were dropped, since this runs once.
drop table if exists market_data_newest_candles;

create table market_data_newest_candles (
    timeframe text not null primary key,
    timestamp integer not null
) strict, without rowid;

-- Hops over the key from symbol to symbol and from timeframe to timeframe, which costs by the number of series.
insert into market_data_newest_candles (timeframe, timestamp)
with recursive symbols(symbol) as (
    select min(symbol) from market_data_candles
    union all
    select (select min(c.symbol) from market_data_candles c where c.symbol > symbols.symbol)
    from symbols where symbols.symbol is not null
), series(symbol, timeframe) as (
    select symbol, (select min(c.timeframe) from market_data_candles c where c.symbol = symbols.symbol)
    from symbols where symbol is not null
    union all
    select symbol, (
        select min(c.timeframe) from market_data_candles c
        where c.symbol = series.symbol and c.timeframe > series.timeframe)
    from series where timeframe is not null
)
select timeframe, max(newest)
from (
    select timeframe, (
        select max(c.timestamp) from market_data_candles c
        where c.symbol = s.symbol and c.timeframe = s.timeframe and c.timestamp < 253402300800000) as newest
    from series s
    where timeframe in ('M1', 'M2', 'M3', 'M4', 'M5', 'M6', 'M10', 'M12', 'M15', 'M20', 'M30',
                        'H1', 'H2', 'H3', 'H4', 'H6', 'H8', 'H12', 'D1', 'W1', 'MN1')
)
where newest is not null
group by timeframe;
