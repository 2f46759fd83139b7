//! The settings of the webhook.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{SecretBox, SecretString};
use ureq::http::Uri;
use url::Url;

use super::reader::Reader;
use candle::{Symbol, Timeframe};

/// The prefix of a secret, as the specification Standard Webhooks writes it.
const SECRET_PREFIX: &str = "whsec_";
/// The minimum and maximum length of a secret that the specification names, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The maximum number of feeds, because each is looked at several times a minute.
const MAX_FEEDS: usize = 50;

/// The settings of the webhook.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// The address that events are posted to. It may hold a token.
    pub url: SecretString,
    /// The key of the signatures.
    pub secret: WebhookSecret,
    /// The series whose feed is watched.
    pub feeds: Vec<(Timeframe, Symbol)>,
    /// The time without a candle after which a feed is stale.
    pub stale_after: Duration,
}

/// The key of the signatures, which is not shown.
#[derive(Debug, Clone)]
pub struct WebhookSecret(pub Arc<SecretBox<Vec<u8>>>);

impl Reader<'_> {
    pub(super) fn webhook(&mut self) -> Option<WebhookConfig> {
        let url = self.parsed("WEBHOOK_URL", None, |text| webhook_url(text).map(Some));
        let secret = self.parsed("WEBHOOK_SECRET", None, |text| webhook_secret(text).map(Some));
        let feeds = self.list("WEBHOOK_FEEDS", feed);
        let stale_after = self.size("WEBHOOK_STALE_SECONDS", 300, 10..=604_800);
        if feeds.len() > MAX_FEEDS {
            self.refuse(
                "WEBHOOK_FEEDS",
                format_args!(" names {} series, and at most {MAX_FEEDS} are watched.", feeds.len()),
            );
        }
        let is_set = |reader: &Self, name| reader.variables.get(name).is_some();
        if !is_set(self, "WEBHOOK_URL") {
            if !feeds.is_empty() {
                self.refuse("WEBHOOK_FEEDS", " is about a webhook; set WEBHOOK_URL, too.");
            }
            return None;
        }
        if !is_set(self, "WEBHOOK_SECRET") {
            let example = "echo \"whsec_$(openssl rand -base64 32)\"";
            self.refuse(
                "WEBHOOK_SECRET",
                format_args!(" is required with WEBHOOK_URL, which signs with it; make one: {example}"),
            );
        }
        Some(WebhookConfig { url: url?, secret: secret?, feeds, stale_after: Duration::from_secs(stale_after) })
    }
}

/// The address as requests take it: encoded, because people write letters that a request line may not hold. Errors quote nothing,
/// because the URL may hold a token.
fn webhook_url(text: &str) -> Result<SecretString, String> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    // The client of HTTP has rules of its own, which an event must not be the first to meet.
    let url = url.map(String::from).filter(|url| url.parse::<Uri>().is_ok_and(|uri| uri.host().is_some()));
    url.map(SecretString::from).ok_or_else(|| {
        "must be the URL that events are posted to, such as https://hooks.example.com/candles".to_owned()
    })
}

fn webhook_secret(text: &str) -> Result<WebhookSecret, String> {
    let key = text.strip_prefix(SECRET_PREFIX).and_then(|encoded| STANDARD.decode(encoded).ok());
    let key = key.filter(|key| SECRET_BYTES.contains(&key.len()));
    key.map(|key| WebhookSecret(Arc::new(SecretBox::new(Box::new(key))))).ok_or_else(|| {
        format!(
            "must be {SECRET_PREFIX} and the base64 of {} to {} random bytes; make one: echo \"whsec_$(openssl rand -base64 32)\"",
            SECRET_BYTES.start(),
            SECRET_BYTES.end()
        )
    })
}

fn feed(text: &str) -> Result<(Timeframe, Symbol), String> {
    let (timeframe, symbol) =
        text.split_once(':').ok_or("must be a timeframe, a colon and a symbol, such as M1:EURUSD")?;
    let timeframe = Timeframe::parse(timeframe).map_err(|error| format!("has a timeframe that {}", error.message))?;
    let symbol = Symbol::parse(symbol).map_err(|error| format!("has a symbol that {}", error.message))?;
    Ok((timeframe, symbol))
}
