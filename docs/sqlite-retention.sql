-- Deletes up to 5,000 closed candles of one timeframe that are older than :age from a SQLite file, and prints their number. It
-- finds them by the key. Run it until it prints 0: each run is short, so that no post waits for long. The command is in
-- docs/operations/retention.md.
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
