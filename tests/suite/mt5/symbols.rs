//! Several symbols, and the names under which their candles are stored.

use super::*;

#[apply(both_store_kinds)]
fn symbols_keep_their_names_unless_renamed(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let mut feed = feed;
        let symbols = ["EURUSD.m=EURUSD.icm", "XAUUSD+", "#AAPL", "BTC&USD", "US30.cash = US 30%", "Gold\"€\\", "JPN"];
        let mut markets = Vec::new();
        for (symbol, digits) in symbols.iter().zip([5, 2, 2, 8, 1, 3, 0]) {
            for (timeframe, seconds) in [("M1", 60), ("H1", 3600), ("D1", 86_400)] {
                let symbol = symbol.replace(" = ", "=");
                let last = BROKER_NOW - BROKER_NOW % seconds;
                markets.push(Market::new(&symbol, timeframe, digits).with_bars(30, seconds, last));
            }
        }
        for market in &markets {
            feed.show(market);
        }
        feed.input("Symbols", format!(" {} ;; ", symbols.join(" ; ")));
        feed.input("Timeframes", "period_m1, H1,d1");
        feed.init();
        feed.advance(60);
        let wanted: Vec<_> = markets.iter().flat_map(|market| closed(market, ALL)).collect();
        let live: Vec<_> = markets.iter().flat_map(forming).collect();
        feed.verify(feed.stored().await, &wanted, &live);
        assert!(feed.terminal.comment.contains("EURUSD.m as EURUSD.icm H1: live"), "{}", feed.terminal.comment);
        // The EA asks the service for the names under which it posted. So it finds what is stored, and posts each
        // series only once.
        let posts = feed.posts().len();
        feed.terminal.tell("deinit 9");
        feed.init();
        feed.advance(60);
        assert_eq!(feed.posts().len(), posts + markets.len());
        feed.verify(feed.stored().await, &wanted, &live);
    });
}

#[apply(both_store_kinds)]
fn an_unknown_symbol_does_not_block_the_others(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(50));
        feed.show(&market);
        feed.input("Symbols", "GBPUSD,EURUSD");
        feed.init();
        feed.advance(60);
        assert_eq!(feed.terminal.logged("GBPUSD M1: the broker has no such symbol; write it as Market Watch does"), 1);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        let late = Market::new("GBPUSD", "M1", 5).with_bars(50, 60, BROKER_NOW);
        feed.show(&late);
        feed.advance(120);
        let wanted = [closed(&market, ALL), closed(&late, ALL)].concat();
        feed.verify(feed.stored().await, &wanted, &[forming(&market), forming(&late)].concat());
    });
}
