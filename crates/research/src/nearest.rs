//! The known name that a misspelt one may stand for.

/// `; did you mean X?` with the nearest of `known`, or nothing where none is near.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let lower = name.to_lowercase();
    let near = known.map(|known| (strsim::jaro_winkler(&lower, &known.to_lowercase()), known));
    match near.filter(|(likeness, _)| *likeness > 0.8).max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((_, known)) => format!("; did you mean {known}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested() {
        let known = ["ta.sma", "ta.ema", "close"];
        assert_eq!(nearest("ta.smma", known.into_iter()), "; did you mean ta.sma?");
        assert_eq!(nearest("Close", known.into_iter()), "; did you mean close?");
        assert_eq!(nearest("volatility", known.into_iter()), "");
    }
}
