-- When the clock may close a forming candle, in epoch milliseconds: null until its end has passed, and the greatest integer
-- where its sender said that it is still forming.
alter table market_data_live_candles add column closes_at integer;
-- A table that was moved aside keeps its indexes, and their names.
drop index if exists market_data_live_candles_closing;
create index market_data_live_candles_closing on market_data_live_candles (closes_at)
    where closes_at < 9223372036854775807;
