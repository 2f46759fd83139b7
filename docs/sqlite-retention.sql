-- Deletes up to 5,000 closed candles of one timeframe that are older than a span from a SQLite file, over the key, and prints
-- how many. Called until that is 0, so that no post waits for long; docs/operations/retention.md has the line.
delete from market_data_candles where (symbol, timeframe, timestamp) in (
    with recursive hop(symbol) as (
        select min(symbol) from market_data_candles
        union all
        select (select min(c.symbol) from market_data_candles c where c.symbol > hop.symbol)
        from hop where hop.symbol is not null
    )
    select c.symbol, c.timeframe, c.timestamp
    from hop cross join market_data_candles c on c.symbol = hop.symbol
    where c.timeframe = :timeframe and c.timestamp < unixepoch('now', :age) * 1000
    limit 5000);
select changes();
