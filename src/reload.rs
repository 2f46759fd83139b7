//! Reading keys and certificate again while the process runs: an operator asks for it by SIGHUP.

use std::io;

use crate::app::Reloader;
use crate::config::{ApiKey, Flags, Keys, Variables};
use crate::errors::chain;
use crate::telemetry::spans::spawn_blocking;

/// Requests to reload. Windows has no signal for them.
pub(crate) struct ReloadRequests {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl ReloadRequests {
    /// Takes SIGHUP, which would end the process. The handler is in place when this returns.
    ///
    /// # Errors
    /// When the system takes no handler.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            hangup: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        loop {
            self.hangup.recv().await;
            if !crate::shutdown::terminal_was_closed() {
                return;
            }
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        std::future::pending().await
    }

    /// Answers each request until the process ends: beside the flags that it was started with, the variables are read again
    /// from where they came, with the files that `_FILE` names. Values that cannot be used are refused in the log, and the old keys and certificate stay.
    pub(crate) async fn serve(mut self, reloader: Reloader, flags: Flags) {
        loop {
            self.next().await;
            tracing::info!("reloading, as SIGHUP asked");
            reloader.reload_certificate();
            // Reading files may take its time.
            let flags = flags.clone();
            let read = spawn_blocking(move || Keys::read(&Variables::from_process(&flags))).await;
            match read {
                Ok(Ok(keys)) => {
                    reloader.replace_keys(&keys);
                    log_keys(&keys.ingest, &keys.read, "the keys were read again");
                    for warning in &keys.warnings {
                        tracing::warn!("{warning}");
                    }
                }
                Ok(Err(problems)) => {
                    let problem = problems.0.join(" ");
                    tracing::warn!(problem, "the keys cannot be used; the old ones still count");
                }
                Err(panic) => tracing::error!(cause = chain(&panic).to_string(), "the keys could not be read again"),
            }
        }
    }
}

/// Lists the names of the keys that are accepted, and nothing of the keys.
pub(crate) fn log_keys(ingest: &[ApiKey], read: &[ApiKey], said: &str) {
    let names = |keys: &[ApiKey]| keys.iter().map(|key| &*key.name).collect::<Vec<_>>().join(", ");
    tracing::info!(ingest_keys = names(ingest), read_tokens = names(read), "{said}");
}
