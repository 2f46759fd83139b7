"""The service as a Python team would write it: FastAPI, pydantic, asyncpg, one UNNEST statement for each batch.

Prices are stored exactly. Answers have them as floats, which is faster and what such services do.
"""

import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

import asyncpg
import orjson
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field, model_validator

Timeframe = Literal["M1", "M5", "M15", "M30", "H1", "H4", "D1", "W1", "MN1"]
Symbol = Annotated[str, Field(min_length=1, max_length=64)]

INSERT = """
    insert into market_data_candles (symbol, timeframe, "timestamp", open, high, low, close, volume)
    select * from unnest(
        $1::text[], $2::text[], $3::timestamptz[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[],
        $8::bigint[])
    on conflict (symbol, timeframe, "timestamp") do nothing"""

SELECT = """
    select (extract(epoch from "timestamp") * 1000)::bigint as timestamp,
        open::float8, high::float8, low::float8, close::float8, volume
    from market_data_candles
    where symbol = $1 and timeframe = $2 and "timestamp" < $3
    order by market_data_candles."timestamp" desc limit $4"""


class Candle(BaseModel):
    symbol: Symbol
    timeframe: Timeframe
    timestamp: AwareDatetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def prices_agree(self) -> "Candle":
        if self.low > min(self.open, self.close) or self.high < max(self.open, self.close):
            raise ValueError("low and high must enclose open and close")
        return self


class Batch(BaseModel):
    candles: Annotated[list[Candle], Field(min_length=1, max_length=10_000)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=5, max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan, docs_url=None, openapi_url=None)


def ingest_key(x_api_key: Annotated[str, Header()]) -> None:
    if not hmac.compare_digest(x_api_key.encode(), os.environ["MT5_API_KEY"].encode()):
        raise HTTPException(401)


def read_token(x_internal_token: Annotated[str, Header()]) -> None:
    if not hmac.compare_digest(x_internal_token.encode(), os.environ["INTERNAL_API_TOKEN"].encode()):
        raise HTTPException(401)


@app.get("/health")
async def health(request: Request) -> dict[str, str]:
    await request.app.state.pool.fetchval("select 1")
    return {"status": "ok"}


@app.post("/api/v1/candles", status_code=201, dependencies=[Depends(ingest_key)])
async def post(batch: Batch, request: Request) -> dict[str, str | int]:
    # All batches use the same order, so that two of them never wait for each other's rows.
    candles = sorted(batch.candles, key=lambda c: (c.symbol, c.timeframe, c.timestamp))
    tag = await request.app.state.pool.execute(
        INSERT,
        [c.symbol for c in candles],
        [c.timeframe for c in candles],
        [c.timestamp for c in candles],
        [c.open for c in candles],
        [c.high for c in candles],
        [c.low for c in candles],
        [c.close for c in candles],
        [c.volume for c in candles],
    )
    added = int(tag.split()[-1])
    return {"status": "success", "records_received": len(candles), "records_added": added}


@app.get("/api/v1/candles", dependencies=[Depends(read_token)])
async def get(
    request: Request,
    symbol: Symbol,
    timeframe: Timeframe,
    before: int | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
) -> Response:
    end = datetime.max.replace(tzinfo=UTC) if before is None else datetime.fromtimestamp(before / 1_000, UTC)
    rows = await request.app.state.pool.fetch(SELECT, symbol, timeframe, end, limit)
    return Response(orjson.dumps([dict(row) for row in reversed(rows)]), media_type="application/json")
