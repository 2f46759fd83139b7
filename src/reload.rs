//! Reloads keys and certificate while the process runs, when an operator sends SIGHUP.

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
    /// Handles SIGHUP, which would otherwise end the process. The handler is in place when this returns.
    ///
    /// # Errors
    /// When the system does not accept the handler.
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

    /// Serves requests until the process ends. Each request reads the variables again from their sources, with the
    /// files that `_FILE` names, and combines them with the flags of the start. Values that cannot be used are reported
    /// in the log, and the old keys and certificate stay in force.
    pub(crate) async fn serve(mut self, reloader: Reloader, flags: Flags) {
        loop {
            self.next().await;
            tracing::info!("reloading because of SIGHUP");
            reloader.reload_certificate();
            // Reading files may block.
            let flags = flags.clone();
            let read = spawn_blocking(move || Keys::read(&Variables::from_process(&flags))).await;
            match read {
                Ok(Ok(keys)) => {
                    reloader.replace_keys(&keys);
                    log_keys((&keys.ingest, &keys.read, &keys.maintenance, &keys.research), "the keys were read again");
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

/// Logs the names of the keys that are accepted, and nothing of their secrets.
pub(crate) fn log_keys(
    (ingest, read, maintenance, research): (&[ApiKey], &[ApiKey], &[ApiKey], &[ApiKey]),
    said: &str,
) {
    let names = |keys: &[ApiKey]| keys.iter().map(|key| &*key.name).collect::<Vec<_>>().join(", ");
    let optional = |keys| Some(names(keys)).filter(|names| !names.is_empty());
    tracing::info!(
        ingest_keys = names(ingest),
        read_tokens = names(read),
        maintenance_keys = optional(maintenance),
        research_keys = optional(research),
        "{said}"
    );
}
