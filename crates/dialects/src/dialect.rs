//! The table of dialects: what each file looks like, which columns it has, and what it says about zone and volume.
//!
//! The shapes come from the programs' own descriptions where there are any (Binance's public-data README, Kraken's article on
//! OHLCVT files, Massive's flat files), and from public loaders of these files where there are none (MetaTrader, HistData,
//! Dukascopy, TradingView).

/// The purpose of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Date, with or without the time of day.
    Date,
    /// Time of day, where it has a column of its own.
    Time,
    /// First price of the period.
    Open,
    /// Highest price.
    High,
    /// Lowest price.
    Low,
    /// Last price.
    Close,
    /// Volume: ticks, contracts or units, as the dialect has it.
    Volume,
    /// The number of trades, beside a volume in units.
    Trades,
    /// The instrument, in files that hold several.
    Ticker,
    /// The timeframe, in files that say it.
    Period,
    /// Nothing that a candle has.
    Ignored,
}

/// The look of the values of a column, in files without a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A date that begins with the year and has this separator, without a time of day.
    Date(u8),
    /// A date that begins with the year and has this separator, with a time of day.
    DateTime(u8),
    /// A date that begins with the year and has this separator, with a time of day or without.
    DateMaybeTime(u8),
    /// A date of eight digits and a time of day of six.
    CompactTime,
    /// A date of eight digits and a time of day with milliseconds, as ticks have it.
    CompactMillis,
    /// A time of day.
    Clock,
    /// An epoch number.
    Epoch,
    /// A decimal number.
    Number,
    /// A whole number.
    Whole,
    /// A name with a slash in it, such as EUR/USD.
    Pair,
    /// Anything.
    Any,
}

/// A column of a file without a header: its name, its role and its look.
#[derive(Debug)]
pub(crate) struct Position(pub(crate) &'static str, pub(crate) Role, pub(crate) Look);

/// The look of a file of a dialect.
#[derive(Debug)]
pub(crate) enum Shape {
    /// The first line names the columns.
    Header {
        /// Names, in lower case, that have to be there. A `*` at the end stands for any rest.
        required: &'static [(&'static str, Role)],
        /// Names that may be there.
        optional: &'static [(&'static str, Role)],
        /// True if columns with other names are left out.
        allows_others: bool,
        /// Names of which none may be there, because they belong to another dialect.
        without: &'static [&'static str],
        /// Lines before the header.
        notes: usize,
    },
    /// There is no header, and the columns have these positions.
    Positions(&'static [Position]),
    /// A binary file.
    Hst,
}

/// The zone of the times of a dialect, where their text has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneRule {
    /// Times are always in this zone.
    Says(&'static str),
    /// The zone that the header names with the time, such as `Time (EET)`.
    InHeader,
    /// The file does not say it.
    Unsaid,
    /// The file does not say it even where times are epoch numbers, because they count from 1970 on the broker's clock.
    UnsaidEpoch,
}

/// The unit of the volume of a dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeKind {
    /// Ticks or shares: whole numbers.
    Whole,
    /// Units of an asset, with fractions.
    Units,
}

/// A kind of file.
#[derive(Debug)]
pub struct Dialect {
    /// Its name for `--dialect`.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    pub(crate) shapes: &'static [Shape],
    /// The zone of its times.
    pub zone: ZoneRule,
    /// Its volume.
    pub volume: VolumeKind,
    /// True if the day comes first in dates in which the year comes last.
    pub(crate) day_first: bool,
    /// The advice for a file of this dialect, if it has no candles.
    pub(crate) refusal: Option<&'static str>,
}

impl PartialEq for Dialect {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Dialect {}

use Look::{Any, Clock, CompactMillis, CompactTime, DateMaybeTime, DateTime, Epoch, Number, Pair, Whole};
use Role::{Close, Date, High, Ignored, Low, Open, Period, Ticker, Time, Trades, Volume};

const OHLC: [(&str, Role); 4] = [("open", Open), ("high", High), ("low", Low), ("close", Close)];
const TICKS: &str = "holds ticks, not candles; export candles (bars) instead";

const fn header(required: &'static [(&'static str, Role)], optional: &'static [(&'static str, Role)]) -> Shape {
    Shape::Header { required, optional, allows_others: false, without: &[], notes: 0 }
}

const fn dialect(name: &'static str, title: &'static str, shapes: &'static [Shape], zone: ZoneRule) -> Dialect {
    Dialect { name, title, shapes, zone, volume: VolumeKind::Whole, day_first: false, refusal: None }
}

const fn units(name: &'static str, title: &'static str, shapes: &'static [Shape], zone: ZoneRule) -> Dialect {
    Dialect { volume: VolumeKind::Units, ..dialect(name, title, shapes, zone) }
}

const fn ticks(name: &'static str, title: &'static str, shapes: &'static [Shape]) -> Dialect {
    Dialect { refusal: Some(TICKS), ..dialect(name, title, shapes, ZoneRule::Unsaid) }
}

/// `2025.08.04,00:01,1.15810,…`: MetaTrader 4 and HistData write the same.
const METATRADER_4: Shape = Shape::Positions(&[
    Position("date", Date, Look::Date(b'.')),
    Position("time", Time, Clock),
    Position("open", Open, Number),
    Position("high", High, Number),
    Position("low", Low, Number),
    Position("close", Close, Number),
    Position("volume", Volume, Number),
]);

/// All dialects. Each file matches one, except for those that [`crate::detect()`] lists.
pub static DIALECTS: &[Dialect] = &[
    dialect(
        "mt5",
        "MetaTrader 5 \"Export Bars\"",
        &[header(
            &[
                ("<date>", Date),
                ("<open>", Open),
                ("<high>", High),
                ("<low>", Low),
                ("<close>", Close),
                ("<tickvol>", Volume),
            ],
            &[("<time>", Time), ("<vol>", Ignored), ("<spread>", Ignored)],
        )],
        ZoneRule::Unsaid,
    ),
    dialect(
        "mt5-python",
        "MetaTrader 5 by its Python package",
        &[header(
            &[("time", Date), OHLC[0], OHLC[1], OHLC[2], OHLC[3], ("tick_volume", Volume)],
            &[("spread", Ignored), ("real_volume", Ignored)],
        )],
        ZoneRule::UnsaidEpoch,
    ),
    dialect("mt4", "MetaTrader 4 History Center", &[METATRADER_4], ZoneRule::Unsaid),
    dialect("hst", "MetaTrader 4 .hst", &[Shape::Hst], ZoneRule::UnsaidEpoch),
    dialect(
        "histdata",
        "HistData M1",
        &[
            Shape::Positions(&[
                Position("time", Date, CompactTime),
                Position("open", Open, Number),
                Position("high", High, Number),
                Position("low", Low, Number),
                Position("close", Close, Number),
                Position("volume", Volume, Number),
            ]),
            METATRADER_4,
        ],
        ZoneRule::Says("-05:00"),
    ),
    Dialect {
        day_first: true,
        ..units(
            "dukascopy",
            "Dukascopy",
            &[
                header(&[("gmt time", Date), OHLC[0], OHLC[1], OHLC[2], OHLC[3], ("volume", Volume)], &[]),
                header(&[("etc/utc", Date), OHLC[0], OHLC[1], OHLC[2], OHLC[3], ("volume", Volume)], &[]),
                header(&[("local time", Date), OHLC[0], OHLC[1], OHLC[2], OHLC[3], ("volume", Volume)], &[]),
            ],
            ZoneRule::InHeader,
        )
    },
    Dialect {
        day_first: true,
        ..units(
            "jforex",
            "Dukascopy JForex",
            &[header(&[("time (*", Date), OHLC[0], OHLC[1], OHLC[2], OHLC[3], ("volume*", Volume)], &[])],
            ZoneRule::InHeader,
        )
    },
    units(
        "dukascopy-node",
        "dukascopy-node",
        &[header(&[("timestamp", Date), OHLC[0], OHLC[1], OHLC[2], OHLC[3]], &[("volume", Volume)])],
        ZoneRule::Unsaid,
    ),
    units(
        "tradingview",
        "TradingView chart export",
        &[Shape::Header {
            required: &[("time", Date), OHLC[0], OHLC[1], OHLC[2], OHLC[3]],
            optional: &[("volume", Volume)],
            allows_others: true,
            without: &["tick_volume", "real_volume", "symbol", "ticker"],
            notes: 0,
        }],
        ZoneRule::Unsaid,
    ),
    dialect(
        "yahoo",
        "Yahoo Finance",
        &[
            header(
                &[("date", Date), OHLC[0], OHLC[1], OHLC[2], OHLC[3], ("adj close", Ignored), ("volume", Volume)],
                &[],
            ),
            header(
                &[("datetime", Date), OHLC[0], OHLC[1], OHLC[2], OHLC[3], ("volume", Volume)],
                &[
                    ("adj close", Ignored),
                    ("dividends", Ignored),
                    ("stock splits", Ignored),
                    ("capital gains", Ignored),
                ],
            ),
            header(
                &[
                    ("date", Date),
                    OHLC[0],
                    OHLC[1],
                    OHLC[2],
                    OHLC[3],
                    ("volume", Volume),
                    ("dividends", Ignored),
                    ("stock splits", Ignored),
                ],
                &[("capital gains", Ignored)],
            ),
        ],
        ZoneRule::Unsaid,
    ),
    dialect(
        "stooq",
        "Stooq",
        &[
            header(
                &[
                    ("<ticker>", Ticker),
                    ("<per>", Period),
                    ("<date>", Date),
                    ("<open>", Open),
                    ("<high>", High),
                    ("<low>", Low),
                    ("<close>", Close),
                    ("<vol>", Volume),
                ],
                &[("<time>", Time), ("<openint>", Ignored)],
            ),
            header(&[("date", Date), OHLC[0], OHLC[1], OHLC[2], OHLC[3]], &[("volume", Volume)]),
        ],
        ZoneRule::Unsaid,
    ),
    units(
        "binance",
        "Binance klines",
        &[
            header(
                &[
                    ("open_time", Date),
                    OHLC[0],
                    OHLC[1],
                    OHLC[2],
                    OHLC[3],
                    ("volume", Volume),
                    ("close_time", Ignored),
                    ("quote_volume", Ignored),
                    ("count", Trades),
                    ("taker_buy_volume", Ignored),
                    ("taker_buy_quote_volume", Ignored),
                    ("ignore", Ignored),
                ],
                &[],
            ),
            Shape::Positions(&[
                Position("open_time", Date, Epoch),
                Position("open", Open, Number),
                Position("high", High, Number),
                Position("low", Low, Number),
                Position("close", Close, Number),
                Position("volume", Volume, Number),
                Position("close_time", Ignored, Epoch),
                Position("quote_volume", Ignored, Number),
                Position("count", Trades, Whole),
                Position("taker_buy_volume", Ignored, Number),
                Position("taker_buy_quote_volume", Ignored, Number),
                Position("ignore", Ignored, Any),
            ]),
        ],
        ZoneRule::Says("UTC"),
    ),
    units(
        "bybit-mt4",
        "Bybit klines for MetaTrader 4",
        &[Shape::Positions(&[
            Position("time", Date, DateTime(b'.')),
            Position("open", Open, Number),
            Position("high", High, Number),
            Position("low", Low, Number),
            Position("close", Close, Number),
            Position("volume", Volume, Number),
        ])],
        ZoneRule::Unsaid,
    ),
    units(
        "kraken",
        "Kraken OHLCVT",
        &[Shape::Positions(&[
            Position("time", Date, Epoch),
            Position("open", Open, Number),
            Position("high", High, Number),
            Position("low", Low, Number),
            Position("close", Close, Number),
            Position("volume", Volume, Number),
            Position("trades", Trades, Whole),
        ])],
        ZoneRule::Says("UTC"),
    ),
    units(
        "cryptodatadownload",
        "CryptoDataDownload",
        &[
            Shape::Header {
                required: CRYPTODATADOWNLOAD,
                optional: CRYPTODATADOWNLOAD_COUNT,
                allows_others: false,
                without: &[],
                notes: 1,
            },
            Shape::Header {
                required: CRYPTODATADOWNLOAD,
                optional: CRYPTODATADOWNLOAD_COUNT,
                allows_others: false,
                without: &[],
                notes: 0,
            },
        ],
        ZoneRule::Says("UTC"),
    ),
    units(
        "polygon",
        "Polygon (Massive) flat file",
        &[header(
            &[
                ("ticker", Ticker),
                ("volume", Volume),
                OHLC[0],
                OHLC[3],
                OHLC[1],
                OHLC[2],
                ("window_start", Date),
                ("transactions", Trades),
            ],
            &[("otc", Ignored)],
        )],
        ZoneRule::Says("UTC"),
    ),
    dialect(
        "firstrate",
        "FirstRate Data",
        &[Shape::Positions(&[
            Position("time", Date, DateMaybeTime(b'-')),
            Position("open", Open, Number),
            Position("high", High, Number),
            Position("low", Low, Number),
            Position("close", Close, Number),
            Position("volume", Volume, Number),
        ])],
        ZoneRule::Says("America/New_York"),
    ),
    dialect(
        "candlewick",
        "candlewick export",
        &[header(&[("timestamp", Date), OHLC[0], OHLC[1], OHLC[2], OHLC[3], ("volume", Volume)], &[])],
        ZoneRule::Says("UTC"),
    ),
    ticks(
        "mt5-ticks",
        "MetaTrader 5 \"Export Ticks\"",
        &[Shape::Header {
            required: &[("<date>", Date), ("<time>", Time), ("<bid>", Ignored), ("<ask>", Ignored)],
            optional: &[],
            allows_others: true,
            without: &[],
            notes: 0,
        }],
    ),
    ticks(
        "dukascopy-ticks",
        "Dukascopy ticks",
        &[
            Shape::Header {
                required: &[("* time", Date), ("ask", Ignored), ("bid", Ignored)],
                optional: &[],
                allows_others: true,
                without: &[],
                notes: 0,
            },
            Shape::Header {
                required: &[("timestamp", Date), ("askprice", Ignored), ("bidprice", Ignored)],
                optional: &[],
                allows_others: true,
                without: &[],
                notes: 0,
            },
            Shape::Positions(&[
                Position("time", Date, DateTime(b'-')),
                Position("ask", Ignored, Number),
                Position("bid", Ignored, Number),
                Position("ask volume", Ignored, Number),
                Position("bid volume", Ignored, Number),
            ]),
        ],
    ),
    ticks(
        "histdata-ticks",
        "HistData ticks",
        &[Shape::Positions(&[
            Position("time", Date, CompactMillis),
            Position("bid", Ignored, Number),
            Position("ask", Ignored, Number),
            Position("volume", Ignored, Number),
        ])],
    ),
    ticks(
        "truefx",
        "TrueFX ticks",
        &[Shape::Positions(&[
            Position("pair", Ignored, Pair),
            Position("time", Date, Any),
            Position("bid", Ignored, Number),
            Position("ask", Ignored, Number),
        ])],
    ),
];

const CRYPTODATADOWNLOAD: &[(&str, Role)] = &[
    ("unix*", Date),
    ("date", Ignored),
    ("symbol", Ticker),
    OHLC[0],
    OHLC[1],
    OHLC[2],
    OHLC[3],
    ("volume *", Volume),
    ("volume *", Ignored),
];
const CRYPTODATADOWNLOAD_COUNT: &[(&str, Role)] = &[("tradecount", Trades)];

/// The dialect with this name, if it has candles.
#[must_use]
pub fn named(name: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().find(|dialect| dialect.name == name && dialect.refusal.is_none())
}

/// The names of the dialects that have candles.
pub fn names() -> impl Iterator<Item = &'static str> {
    DIALECTS.iter().filter(|dialect| dialect.refusal.is_none()).map(|dialect| dialect.name)
}

/// The name that was probably meant by an unknown one.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    const MIN_SIMILARITY: f64 = 0.75;
    let scored = names().chain(["columns"]).map(|known| (strsim::jaro_winkler(known, name), known));
    scored.filter(|(score, _)| *score >= MIN_SIMILARITY).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known)
}
