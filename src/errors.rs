//! The text of an error: the chain of its causes for the log, and a sentence for people.
//!
//! `Display` of an error is a clause in lower case without a stop, and does not repeat its source. The functions here
//! add the rest when an error is shown.

use std::error::Error;
use std::fmt;

/// An error and its causes, each after a colon.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(&'a (dyn Error + 'a));

/// The error and its causes, for the log.
#[must_use]
pub fn chain<'a>(error: &'a (dyn Error + 'a)) -> Chain<'a> {
    Chain(error)
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let said = error.to_string();
            // Errors of other crates, sqlx's among them, often end with the text of their source.
            if !text.ends_with(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

/// The error and its causes as a sentence, for people.
#[must_use]
pub fn sentence(error: &dyn Error) -> String {
    to_sentence(&chain(error).to_string())
}

/// Begins a text with a capital letter, unless its first word is a name or an address, and ends it with a stop, unless
/// its last line is a command to paste.
#[must_use]
pub(crate) fn to_sentence(text: &str) -> String {
    let first_word = text.split(' ').next().unwrap_or_default();
    let is_plain_word = first_word.trim_end_matches([',', ':']).bytes().all(|byte| byte.is_ascii_lowercase());
    let mut sentence = text.to_owned();
    if is_plain_word && let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let ends_in_a_command = text.lines().last().is_some_and(|line| line.starts_with(' ')) || text.ends_with(';');
    if !ends_in_a_command && !text.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("the file cannot be read")]
        Quiet(#[source] io::Error),
        #[error("the file cannot be read: {0}")]
        Repeating(#[source] io::Error),
        #[error(transparent)]
        Transparent(Box<Outer>),
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || io::Error::other("the disk is gone");
        let said = "the file cannot be read: the disk is gone";
        assert_eq!(chain(&Outer::Quiet(cause())).to_string(), said);
        assert_eq!(chain(&Outer::Repeating(cause())).to_string(), said);
        assert_eq!(chain(&Outer::Transparent(Box::new(Outer::Quiet(cause())))).to_string(), said);
        assert_eq!(chain(&cause()).to_string(), "the disk is gone");
        assert_eq!(sentence(&Outer::Quiet(cause())), "The file cannot be read: the disk is gone.");
    }

    #[test]
    fn a_sentence_has_a_capital_and_a_stop_where_they_belong() {
        for (text, sentence) in [
            ("the file is gone; restore it", "The file is gone; restore it."),
            ("nothing, as it seems", "Nothing, as it seems."),
            ("market_data_candles is a view", "market_data_candles is a view."),
            ("http://127.0.0.1/health does not answer", "http://127.0.0.1/health does not answer."),
            ("--port must be a number", "--port must be a number."),
            ("DATABASE_URL is not a URL", "DATABASE_URL is not a URL."),
            ("make the folder:\n  mkdir -p data", "Make the folder:\n  mkdir -p data"),
            ("run: drop table x;", "Run: drop table x;"),
            ("one thing. Another.", "One thing. Another."),
        ] {
            assert_eq!(to_sentence(text), sentence);
        }
    }
}
