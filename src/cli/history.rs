//! The commands that read, bring in, correct and delete history.

use std::path::Path;

use super::arguments::DatabaseFlags;
use super::database::database_config;
use super::error::CommandError;
use super::output::{PRINTER, complain, print};
use crate::clock::Clock;
use crate::config::{Config, Variables};
use crate::history::{
    self, CorrectFlags, DeleteFlags, Ended, ExportFlags, Exported, GapsFlags, HistoryError, ImportFlags, PostFlags,
    Remote, ServiceFlags, Sink, Source, VerifyFlags,
};
use crate::store::{Severity, Store};
use crate::{retention, shutdown, telemetry};

/// The service that `--url` and `--key-file` name.
fn remote(
    url: Option<&str>,
    key_file: Option<&Path>,
    database: &DatabaseFlags,
) -> Result<Option<Remote>, CommandError> {
    match (url, key_file) {
        (Some(_), Some(_)) if database.database_url.is_some() => {
            Err(HistoryError::Usage("--url and --database-url cannot be combined; give one of the two").into())
        }
        (Some(url), Some(key_file)) => Ok(Some(Remote::new(url, key_file)?)),
        _ => Ok(None),
    }
}

/// The service that is named, or else the database of the configuration.
async fn history_source(service: &ServiceFlags, database: DatabaseFlags) -> Result<Source, CommandError> {
    if let Some(remote) = remote(service.url.as_deref(), service.key_file.as_deref(), &database)? {
        return Ok(Source::Service(remote));
    }
    let config = database_config(&Variables::from_process(&database.flags()))?;
    Ok(Source::database(&config).await?)
}

pub(super) async fn export_history(flags: &ExportFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let format = flags.file_format()?;
    let source = history_source(&flags.service, database).await?;
    if flags.all {
        let filter = flags.filter()?;
        let report = |Exported { path, bytes }: &Exported| complain(&format!("{}  {bytes} bytes", path.display()));
        let parameters = flags.of_every_series();
        let files = history::export_all(&source, &filter, &parameters, format, &flags.folder(), report).await?;
        complain(&format!("{files} files in {}", flags.folder().display()));
    } else {
        history::export_series(&source, &flags.of_series(), format, &flags.target()).await?;
    }
    source.close().await;
    Ok(())
}

pub(super) async fn report_gaps(flags: &GapsFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let source = history_source(&flags.service, database).await?;
    let report = history::gaps_json(&source, &flags.parameters()).await?;
    source.close().await;
    print(&if flags.json { report.to_string() } else { history::gaps_table(&report) })
}

pub(super) async fn delete_history(flags: &DeleteFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let mut config = database_config(&Variables::from_process(&database.flags()))?;
    config.maintains = true;
    let source = Source::maintained(&config).await?;
    let deleted = history::delete(&source, &config.place(), flags).await;
    source.close().await;
    print(deleted?.report.trim_end())
}

pub(super) async fn show_retention(variables: &Variables) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let (database, retention) = Config::read_retention(variables)?;
    if retention.is_empty() {
        return print("RETENTION is not set, so all candles stay.");
    }
    let store = Store::open(&database)?;
    store.prepare(false).await?;
    let report = retention::dry_run(&store, &retention, &Clock::system()).await?;
    store.close().await;
    print(report.trim_end())
}

/// Turns how a command ended into its exit code. It has said everything itself.
fn ended(ended: Ended) -> Result<(), CommandError> {
    match ended {
        Ended::Succeeded => Ok(()),
        Ended::Failed => Err(CommandError::Reported(Severity::Unavailable)),
        Ended::MustChange => Err(CommandError::Reported(Severity::MustChange)),
    }
}

/// The service that is named, or else the database of the configuration, whose tables have to be there.
async fn history_sink(service: &PostFlags, database: DatabaseFlags) -> Result<Sink, CommandError> {
    if let Some(remote) = remote(service.url.as_deref(), service.key_file.as_deref(), &database)? {
        return Ok(Sink::service(remote)?);
    }
    let config = database_config(&Variables::from_process(&database.flags()))?;
    Ok(Sink::database(&config).await?)
}

pub(super) async fn import_history(flags: &ImportFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let (signal, _force) = shutdown::shutdown_requests().map_err(CommandError::Signals)?;
    let sink = if flags.dry_run { None } else { Some(history_sink(&flags.service, database).await?) };
    ended(history::import(flags, sink, &Clock::system(), history::stop_on(signal), PRINTER).await?)
}

pub(super) async fn verify_history(flags: &VerifyFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let (signal, _force) = shutdown::shutdown_requests().map_err(CommandError::Signals)?;
    let source = history_source(&flags.service, database).await?;
    ended(history::verify(flags, source, &Clock::system(), history::stop_on(signal), PRINTER).await?)
}

pub(super) async fn correct_history(flags: &CorrectFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let (signal, _force) = shutdown::shutdown_requests().map_err(CommandError::Signals)?;
    let mut config = database_config(&Variables::from_process(&database.flags()))?;
    config.maintains = true;
    let source = Source::maintained(&config).await?;
    ended(history::correct(flags, source, &Clock::system(), history::stop_on(signal), PRINTER).await?)
}
