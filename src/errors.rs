//! Formats errors: with the chain of their causes for the log, and as sentences for people.
//!
//! The `Display` text of an error begins in lower case, has no full stop, and does not repeat the error's source. The
//! functions here add the sources, and for people also a capital and a full stop.

use std::error::Error;
use std::fmt;

/// Displays an error and its causes, separated by colons.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(&'a (dyn Error + 'a));

/// Returns the error and its causes, for the log.
#[must_use]
pub fn chain<'a>(error: &'a (dyn Error + 'a)) -> Chain<'a> {
    Chain(error)
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let cause_text = error.to_string();
            // Errors of other crates, such as sqlx, often end with the text of their source.
            if !text.ends_with(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

/// Returns the error and its causes as a sentence, for people.
#[must_use]
pub fn sentence(error: &dyn Error) -> String {
    to_sentence(&chain(error).to_string())
}

/// Capitalises the first letter and adds a full stop. A first word that is a name or an address stays as it is. A text
/// that ends with a command gets no full stop, so that the reader can paste the command.
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
    fn a_chain_contains_each_cause_once() {
        let cause = || io::Error::other("the disk is gone");
        let expected = "the file cannot be read: the disk is gone";
        assert_eq!(chain(&Outer::Quiet(cause())).to_string(), expected);
        assert_eq!(chain(&Outer::Repeating(cause())).to_string(), expected);
        assert_eq!(chain(&Outer::Transparent(Box::new(Outer::Quiet(cause())))).to_string(), expected);
        assert_eq!(chain(&cause()).to_string(), "the disk is gone");
        assert_eq!(sentence(&Outer::Quiet(cause())), "The file cannot be read: the disk is gone.");
    }

    #[test]
    fn sentences_get_a_capital_and_a_full_stop_but_names_and_commands_stay() {
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
