//! Lists of series and of their newest candles, read in steps by [`series`] and [`latest`], or on Citus from each of its
//! servers by [`citus_series`] and [`citus_latest`].

use super::engine::Engine;
use super::pool::Pool;
use super::retry::read_with;
use super::runner::{Runner, Turn};
use super::{citus_latest, citus_series, latest, series};
use crate::store::StoreError;
use crate::store::latest::LatestRow;
use crate::store::reading::ReadServer;
use crate::store::series::{Position, Sample, SeriesKey, SeriesRow};

pub(super) async fn rows_after(
    runner: &Runner,
    server: ReadServer,
    position: Position,
    most: usize,
) -> Result<Vec<SeriesRow>, StoreError> {
    let engine = runner.engine()?;
    let select = move |pool: Pool| {
        let position = position.clone();
        async move { read_with!(pool, |connection| series::rows_after(connection, engine, &position, most)) }
    };
    series::rows(&runner.read_in_turn(Turn::List, server, select).await?)
}

pub(super) async fn keys_after(
    runner: &Runner,
    server: ReadServer,
    position: Position,
    most: usize,
) -> Result<Vec<Position>, StoreError> {
    let engine = runner.engine()?;
    if engine == Engine::Citus {
        let select = move |pool: Pool| citus_series::keys_after(pool, position.clone(), most);
        return runner.read_in_turn(Turn::List, server, select).await;
    }
    let select = move |pool: Pool| {
        let position = position.clone();
        async move { read_with!(pool, |connection| series::keys_after(connection, engine, &position, most)) }
    };
    series::positions(&runner.read_in_turn(Turn::List, server, select).await?)
}

pub(super) async fn symbols_after(
    runner: &Runner,
    server: ReadServer,
    symbol: Vec<u8>,
    most: usize,
) -> Result<Vec<Vec<u8>>, StoreError> {
    if runner.engine()? == Engine::Citus {
        let select = move |pool: Pool| citus_series::symbols_after(pool, symbol.clone(), most);
        return runner.read_in_turn(Turn::List, server, select).await;
    }
    let select = move |pool: Pool| {
        let symbol = symbol.clone();
        async move { read_with!(pool, |connection| series::symbols_after(connection, &symbol, most)) }
    };
    series::symbols(&runner.read_in_turn(Turn::List, server, select).await?)
}

pub(super) async fn samples(
    runner: &Runner,
    server: ReadServer,
    keys: Vec<SeriesKey>,
) -> Result<Vec<Option<Sample>>, StoreError> {
    let asked = keys.len();
    if runner.engine()? == Engine::Citus {
        let select = move |pool: Pool| citus_series::samples(pool, keys.clone());
        return series::found(&runner.read_in_turn(Turn::List, server, select).await?, asked);
    }
    let select = move |pool: Pool| {
        let keys = keys.clone();
        async move { read_with!(pool, |connection| series::samples(connection, &keys)) }
    };
    series::found(&runner.read_in_turn(Turn::List, server, select).await?, asked)
}

pub(super) async fn latest_after(
    runner: &Runner,
    server: ReadServer,
    position: Position,
    most: usize,
) -> Result<Vec<LatestRow>, StoreError> {
    if runner.engine()? == Engine::Citus {
        let select = move |pool: Pool| citus_latest::after(pool, position.clone(), most);
        return latest::rows(&runner.read_in_turn(Turn::List, server, select).await?);
    }
    let select = move |pool: Pool| {
        let position = position.clone();
        async move { read_with!(pool, |connection| latest::after(connection, &position, most)) }
    };
    latest::rows([&runner.read_in_turn(Turn::List, server, select).await?])
}

pub(super) async fn latest_of(
    runner: &Runner,
    server: ReadServer,
    keys: Vec<SeriesKey>,
) -> Result<Vec<LatestRow>, StoreError> {
    if runner.engine()? == Engine::Citus {
        let select = move |pool: Pool| citus_latest::of(pool, keys.clone());
        return latest::rows(&runner.read_in_turn(Turn::List, server, select).await?);
    }
    let select = move |pool: Pool| {
        let keys = keys.clone();
        async move { read_with!(pool, |connection| latest::of(connection, &keys)) }
    };
    latest::rows([&runner.read_in_turn(Turn::List, server, select).await?])
}
