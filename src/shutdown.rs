//! How the process is told to stop.

use std::io;

use tokio::sync::oneshot;

/// Completes on the first and on the second request to stop: SIGTERM or Ctrl-C, and on Windows also Ctrl-Break, the closing of
/// the console and the system's shutdown. The handlers are in place when this returns, not only when it is awaited.
///
/// # Errors
/// When the system takes no handler.
pub(crate) fn stop_signals() -> io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let mut requests = Requests::listen()?;
    let (first, stop) = oneshot::channel::<()>();
    let (second, hurry) = oneshot::channel::<()>();
    tokio::spawn(async move {
        for (completed, said) in [(first, "stopping"), (second, "stopping at once")] {
            requests.next().await;
            tracing::info!("{said}");
            // Nobody waits any more when the service ends by itself.
            let _ = completed.send(());
        }
    });
    Ok((async { drop(stop.await) }, async { drop(hurry.await) }))
}

#[cfg(unix)]
struct Requests {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Requests {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Requests {
    interrupt: tokio::signal::windows::CtrlC,
    brk: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Requests {
    fn listen() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
        Ok(Self { interrupt: ctrl_c()?, brk: ctrl_break()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.brk.recv() => {}
            _ = self.close.recv() => {}
            _ = self.shutdown.recv() => {}
        }
    }
}
