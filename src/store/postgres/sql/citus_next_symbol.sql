select c.symbol::text from market_data_candles c where c.symbol > $1 order by c.symbol limit 1
