insert into market_data_newest_candles (timeframe, "timestamp")
select timeframe, max("timestamp") from market_data_candles
where "timestamp" >= timestamptz '0001-01-01 00:00Z' and "timestamp" < timestamptz '10000-01-01 00:00Z'
  and timeframe in ('M1', 'M2', 'M3', 'M4', 'M5', 'M6', 'M10', 'M12', 'M15', 'M20', 'M30',
                    'H1', 'H2', 'H3', 'H4', 'H6', 'H8', 'H12', 'D1', 'W1', 'MN1')
group by timeframe;
