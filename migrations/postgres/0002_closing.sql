-- When the clock may close a forming candle: null until its end has passed, and infinity where its sender said that it is
-- still forming. Few rows are in the index at a time, so that updates of all others stay within their page.
alter table market_data_live_candles add column if not exists closes_at timestamptz;
-- A table that was moved aside keeps its indexes, and their names.
drop index if exists market_data_live_candles_closing;
create index market_data_live_candles_closing on market_data_live_candles (closes_at)
    where closes_at < 'infinity';
