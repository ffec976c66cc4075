//! The collector of scenarios that trace: on the client's core, in this process, so that what Weir spends on a
//! span is spent as in earnest, up to the acknowledgement.

use std::io;
use std::net::SocketAddr;

use crate::otlp_sink::OtlpSink;

/// A collector that runs until it is dropped.
#[derive(Debug)]
pub struct Collector {
    sink: OtlpSink,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no thread or no port for it.
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let sink = runtime.block_on(async { OtlpSink::start_counting() })?;
        Ok(Self {
            sink,
            _runtime: runtime,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.sink.address
    }

    /// How many spans came so far.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.sink.count()
    }
}
