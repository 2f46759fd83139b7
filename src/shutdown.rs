//! The signals with which an operator stops the process.

use std::io;

use tokio::sync::oneshot;

/// Returns two futures, which complete on the first and on the second request to stop.
///
/// A request is SIGTERM, SIGQUIT, Ctrl-C or the closing of the terminal, and on Windows also Ctrl-Break and the
/// system's shutdown. SIGUSR1 and SIGUSR2, which would end the process, are ignored. The handlers are installed when
/// this function returns, not only when the futures are awaited.
///
/// # Errors
/// When the system rejects a handler.
pub(crate) fn shutdown_requests() -> io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let mut signals = ShutdownSignals::listen()?;
    let (first, stop) = oneshot::channel::<()>();
    let (second, force) = oneshot::channel::<()>();
    tokio::spawn(async move {
        for (completed, message) in [(first, "stopping"), (second, "stopping at once")] {
            signals.next().await;
            tracing::info!("{message}");
            // The receiver is gone if the service ended by itself.
            let _ = completed.send(());
        }
    });
    Ok((async { drop(stop.await) }, async { drop(force.await) }))
}

#[cfg(unix)]
use unix::ShutdownSignals;
#[cfg(unix)]
pub(crate) use unix::terminal_was_closed;

#[cfg(unix)]
mod unix {
    use std::io::{self, IsTerminal as _};
    use std::sync::OnceLock;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub(super) struct ShutdownSignals {
        terminate: Signal,
        interrupt: Signal,
        quit: Signal,
        hangup: Signal,
        /// Ignored: our handlers replace the system's, which would end the process.
        _ignored: [Signal; 2],
    }

    impl ShutdownSignals {
        pub(super) fn listen() -> io::Result<Self> {
            STARTED_IN_TERMINAL.get_or_init(|| io::stdin().is_terminal());
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                quit: signal(SignalKind::quit())?,
                hangup: signal(SignalKind::hangup())?,
                _ignored: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
            })
        }

        pub(super) async fn next(&mut self) {
            loop {
                tokio::select! {
                    _ = self.terminate.recv() => return,
                    _ = self.interrupt.recv() => return,
                    _ = self.quit.recv() => return,
                    _ = self.hangup.recv() => {
                        // Any other SIGHUP asks for a reload.
                        if terminal_was_closed() {
                            return;
                        }
                    }
                }
            }
        }
    }

    static STARTED_IN_TERMINAL: OnceLock<bool> = OnceLock::new();

    /// True if the terminal in which the process was started is gone. The system sends SIGHUP then too, and a service
    /// that kept running would hold the port unnoticed.
    pub(crate) fn terminal_was_closed() -> bool {
        STARTED_IN_TERMINAL.get().copied().unwrap_or_default() && !io::stdin().is_terminal()
    }
}

#[cfg(windows)]
struct ShutdownSignals {
    interrupt: tokio::signal::windows::CtrlC,
    brk: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl ShutdownSignals {
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
