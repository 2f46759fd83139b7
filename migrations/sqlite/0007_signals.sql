-- The history of signals, and what the webhook remembers. A migration that has shipped is never edited: its checksum is stored.
-- Times are epoch milliseconds.

-- Tables that are there were restored without the migrations' own table, and their rows stay.
create table if not exists research_signals (
    symbol text not null,
    timeframe text not null,
    -- Opening time of the closed candle at which the signal became this one.
    candle integer not null,
    -- The close of the candle with the digits of its series.
    close text not null,
    -- buy, sell or hold.
    signal text not null,
    score real not null,
    -- JSON.
    votes text not null,
    -- The signal before; null in the first row of a series.
    previous text,
    at integer not null default (cast(unixepoch('subsec') * 1000 as integer)),
    primary key (symbol, timeframe, candle)
) strict;
create index if not exists research_signals_candle on research_signals (candle, symbol, timeframe);
create index if not exists research_signals_at on research_signals (at);

-- The times up to which the webhook has events, by the kind of what they are about: changes, signals or jobs.
create table if not exists webhook_marks (
    kind text primary key not null,
    known_to integer not null
) strict;
-- Events about changes are stored since the migration before this one.
insert into webhook_marks (kind, known_to)
select 'changes', max(created_at) from webhook_events where kind in ('candles.corrected', 'candles.deleted')
having max(created_at) is not null
on conflict (kind) do nothing;

-- The last event about each watched feed.
create table if not exists webhook_feeds (
    symbol text not null,
    timeframe text not null,
    -- False once the feed is fresh again.
    is_stale integer not null,
    -- The time at which the newest candle was stored, if there was one.
    received integer,
    -- The number of events about the feed.
    events integer not null,
    primary key (symbol, timeframe)
) strict;

create index if not exists research_jobs_finished on research_jobs (finished_at) where finished_at is not null;
