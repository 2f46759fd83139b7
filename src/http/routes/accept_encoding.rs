//! Content negotiation: chooses an answer's encoding by `Accept-Encoding` (RFC 9110 section 12.5.3).

use axum::http::{HeaderMap, header};

use crate::query::Encoding;

/// Shorter answers are not compressed, because they fit into one packet either way.
const MIN_COMPRESSED_BYTES: usize = 1024;
/// The encodings that are served, in order of preference: the cheapest for its size first.
const SERVED_ENCODINGS: [Encoding; 3] = [Encoding::Zstd, Encoding::Gzip, Encoding::Identity];

/// Chooses the encoding of an answer of `length` bytes: the one with the client's highest weight, and among equals the one that
/// the service prefers. A client that accepts none of them, or sends no header, gets the answer uncompressed.
pub(crate) fn choose(headers: &HeaderMap, length: usize) -> Encoding {
    let mut wanted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).peekable();
    if length < MIN_COMPRESSED_BYTES || wanted.peek().is_none() {
        return Encoding::Identity;
    }
    let wishes: Vec<(&str, u16)> = wanted.flat_map(|value| value.split(',')).filter_map(weighted_encoding).collect();
    let weight = |encoding: Encoding| {
        let of =
            |wanted: &dyn Fn(&str) -> bool| wishes.iter().find(|(name, _)| wanted(name)).map(|(_, weight)| *weight);
        of(&|name| is(encoding, name)).or_else(|| of(&|name| name == "*"))
    };
    // `identity` is acceptable with the lowest weight unless it is named.
    let mut best = (Encoding::Identity, weight(Encoding::Identity).unwrap_or_default());
    for encoding in SERVED_ENCODINGS.into_iter().rev() {
        if let Some(weight) = weight(encoding).filter(|weight| *weight > 0 && *weight >= best.1) {
            best = (encoding, weight);
        }
    }
    best.0
}

fn is(encoding: Encoding, name: &str) -> bool {
    // `x-gzip` is an old name of gzip (RFC 9110 section 8.4.1.3).
    name.eq_ignore_ascii_case(encoding.name()) || (encoding == Encoding::Gzip && name.eq_ignore_ascii_case("x-gzip"))
}

/// An encoding and its weight in thousandths; `None` where it is malformed.
fn weighted_encoding(text: &str) -> Option<(&str, u16)> {
    let Some((name, weight)) = text.split_once(';') else { return Some((text.trim(), 1000)) };
    let (key, value) = weight.trim().split_once('=')?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let valid = key.eq_ignore_ascii_case("q")
        && matches!(whole, "0" | "1")
        && fraction.len() <= 3
        && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let thousandths = format!("{whole}{fraction:0<3}").parse().ok().filter(|weight| *weight <= 1000);
    Some((name.trim(), thousandths.filter(|_| valid)?))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn chosen(wanted: &[&str]) -> Encoding {
        let values = wanted.iter().map(|value| (header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap()));
        choose(&values.collect(), MIN_COMPRESSED_BYTES)
    }

    #[test]
    fn the_most_wanted_coding_is_chosen() {
        use Encoding::{Gzip, Identity, Zstd};
        for (wanted, encoding) in [
            (&[][..], Identity),
            (&[""], Identity),
            (&["gzip"], Gzip),
            (&["GZip"], Gzip),
            (&["x-gzip"], Gzip),
            (&["gzip, deflate, br, zstd"], Zstd),
            (&["gzip", "zstd"], Zstd),
            (&["gzip;q=1.0, zstd;q=0.9"], Gzip),
            (&["gzip ; Q=0.5 , zstd;q=0.501"], Zstd),
            (&["gzip;q=0.001"], Gzip),
            (&["br, deflate"], Identity),
            (&["*"], Zstd),
            (&["*;q=0"], Identity),
            (&["zstd;q=0, *"], Gzip),
            (&["gzip;q=0.5, *;q=0.2"], Gzip),
            (&["identity;q=0, br"], Identity),
            (&["identity, gzip;q=0.5"], Identity),
            (&["identity;q=0.5, gzip;q=0.5"], Gzip),
            (&["identity;q=0, gzip;q=0"], Identity),
            (&["gzip;q=0, gzip"], Identity),
            (&["gzip;q=2"], Identity),
            (&["gzip;q=0.1234"], Identity),
            (&["gzip;q=1.001"], Identity),
            (&["gzip;level=9"], Identity),
            (&["gzip;q="], Identity),
        ] {
            assert_eq!(chosen(wanted), encoding, "{wanted:?}");
        }
        let gzip = [(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))].into_iter().collect();
        assert_eq!(choose(&gzip, MIN_COMPRESSED_BYTES - 1), Identity);
    }

    proptest! {
        /// No served encoding has a higher weight than the chosen one.
        #[test]
        fn nothing_that_is_served_is_wanted_more(
            weights in proptest::array::uniform4(proptest::option::of(0_u16..=1000)),
            order in Just([0, 1, 2, 3]).prop_shuffle(),
        ) {
            let names = ["zstd", "gzip", "identity", "*"];
            let item = |n: &usize| weights[*n].map(|weight| format!("{};q={}.{:03}", names[*n], weight / 1000, weight % 1000));
            let wanted = order.iter().filter_map(item).collect::<Vec<_>>().join(", ");
            let weight = |encoding: Encoding| {
                let place = SERVED_ENCODINGS.iter().position(|served| *served == encoding).unwrap();
                weights[place].or(weights[3]).unwrap_or(0)
            };
            let encoding = chosen(&[&wanted]);
            for other in SERVED_ENCODINGS {
                prop_assert!(weight(other) <= weight(encoding), "{wanted}: {encoding:?} and not {other:?}");
            }
        }

        #[test]
        fn any_header_is_answered(wanted in "[ -~]{0,40}") {
            chosen(&[&wanted]);
        }
    }
}
