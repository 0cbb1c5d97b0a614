//! What is logged while a test runs.

use std::{
    io,
    sync::{Arc, Mutex, Once},
};

static LISTENING: Once = Once::new();

/// Collects what is logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        Self::start_with(tracing::Level::INFO)
    }

    pub(crate) fn start_with(level: tracing::Level) -> (Self, tracing::subscriber::DefaultGuard) {
        // Somebody listens to everything all the time: a line that is met for the first time while nobody does may else be
        // taken for one that nobody wants, for good.
        LISTENING.call_once(|| _ = tracing::subscriber::set_global_default(tracing_subscriber::registry()));
        tracing::callsite::rebuild_interest_cache();
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap();
        String::from_utf8(bytes.clone()).unwrap().lines().map(str::to_owned).collect()
    }
}
