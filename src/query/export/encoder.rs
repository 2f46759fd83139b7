//! Encodes the pages of an export: candles as lines, compressed on request, or as Parquet.

use std::fmt;
use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::time::Instant;

use super::ExportError;
use super::parquet::ParquetFile;
use super::selection::{ExportSelection, PriceType};
use super::text::Lines;
use crate::query::Encoding;
use crate::query::compression::{GZIP_LEVEL, ZSTD_LEVEL};
use crate::store::{PriceDigits, Store, StoredCandles};

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Encoder {
    forming: bool,
    file: File,
}

#[derive(Debug)]
enum File {
    Lines {
        lines: Lines,
        /// The text that is not compressed yet.
        text: Vec<u8>,
        compressor: Box<Compressor>,
    },
    Parquet(Box<ParquetFile>),
}

impl Encoder {
    /// Begins a file. For Parquet's decimals, the digits of the prices are counted first, because the whole column
    /// has one scale.
    pub(super) async fn new(
        store: &Store,
        selection: &ExportSelection,
        (encoding, began): (Encoding, Instant),
    ) -> Result<Self, ExportError> {
        let file = if let Some(lines) = Lines::of(selection) {
            let compressor = Compressor::new(encoding).map_err(ExportError::encoding)?;
            File::Lines { lines, text: lines.header().into(), compressor: Box::new(compressor) }
        } else {
            let digits = match selection.prices {
                PriceType::Decimal => {
                    // Closed built candles may contain stored candles that are forming.
                    let forming = selection.forming || selection.resampling.is_some();
                    store.price_digits(&selection.stored(), forming, began).await?
                }
                PriceType::Double | PriceType::Text => PriceDigits::default(),
            };
            File::Parquet(Box::new(ParquetFile::new(selection, digits)?))
        };
        Ok(Self { forming: selection.forming, file })
    }

    /// Encodes a page, and returns the bytes that are ready, with the encoder for the next page unless this is the last.
    pub(super) fn encode(mut self, page: &StoredCandles, is_last: bool) -> Result<(Option<Self>, Bytes), ExportError> {
        let mut candles = page.range(0..page.len()).filter(|candle| candle.closed || self.forming);
        let mut bytes = match &mut self.file {
            File::Lines { lines, text, compressor } => {
                candles.for_each(|candle| lines.write(text, candle));
                compressor.compress(std::mem::take(text)).map_err(ExportError::encoding)?
            }
            File::Parquet(file) => {
                candles.try_for_each(|candle| file.push(candle))?;
                file.take()?
            }
        };
        if !is_last {
            return Ok((Some(self), bytes.into()));
        }
        bytes.extend(match self.file {
            File::Lines { compressor, .. } => compressor.finish().map_err(ExportError::encoding)?,
            File::Parquet(file) => file.finish()?,
        });
        Ok((None, bytes.into()))
    }
}

/// Compresses a stream.
enum Compressor {
    Identity,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compressor")
    }
}

impl Compressor {
    fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Identity => Self::Identity,
            Encoding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
            Encoding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    /// Returns compressed bytes that hold all of `text`, so that a client can read it at once.
    fn compress(&mut self, text: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(text),
            Self::Gzip(encoder) => {
                encoder.write_all(&text)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.write_all(&text)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(Vec::new()),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}
