//! The signals that end a command.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit status after a second signal: the usual 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Returns what is done at the first signal. At a second one the process goes at once.
///
/// # Errors
/// When signals cannot be listened to.
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut signals = Signals::new()?;
    Ok(async move {
        signals.next().await;
        // Whoever asks twice does not want to wait.
        tokio::spawn(async move {
            signals.next().await;
            tracing::warn!("a second signal: going at once");
            std::process::exit(INTERRUPTED);
        });
    })
}

/// SIGTERM, as service managers send it, and SIGINT, as Ctrl-C does.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
