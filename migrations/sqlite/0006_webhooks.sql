-- Events for WEBHOOK_URL. A migration that has shipped is never edited: its checksum is stored. Times are epoch milliseconds.

-- A table that is there was restored without the migrations' own table, and its rows stay.
create table if not exists webhook_events (
    -- Made from what happened, so that an event which several processes notice is stored once.
    id text primary key,
    kind text not null,
    -- JSON, as it is sent.
    body text not null,
    created_at integer not null default (cast(unixepoch('subsec') * 1000 as integer)),
    -- The time of the next attempt. An attempt moves it ahead, so that another process tries again if this one dies. Null once
    -- the event was delivered or given up.
    due_at integer default (cast(unixepoch('subsec') * 1000 as integer)),
    attempts integer not null default 0,
    settled_at integer
) strict;
create index if not exists webhook_events_due on webhook_events (due_at) where due_at is not null;
create index if not exists webhook_events_settled on webhook_events (settled_at) where settled_at is not null;
create index if not exists webhook_events_kind on webhook_events (kind, created_at);
