//! What lives on the heap of a data plane that counts, told through a file beside its document.

use std::io;
use std::path::{Path, PathBuf};

/// What was allocated and not given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Allocations.
    pub blocks: u64,
    /// Their octets.
    pub octets: u64,
}

/// Where a data plane with this document writes.
#[must_use]
pub fn file(config: &Path) -> PathBuf {
    config.with_extension("heap")
}

impl Heap {
    /// Writes it for whoever looks: whole or not at all.
    ///
    /// # Errors
    /// When the folder is gone.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let fresh = file.with_extension("fresh");
        std::fs::write(&fresh, format!("{} {}", self.blocks, self.octets))?;
        std::fs::rename(fresh, file)
    }

    /// What was written last.
    ///
    /// # Errors
    /// When nothing was.
    pub fn read(file: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(file)?;
        let numbers = text.split_once(' ');
        let read =
            numbers.and_then(|(blocks, octets)| Some((blocks.parse().ok()?, octets.parse().ok()?)));
        let (blocks, octets) = read.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { blocks, octets })
    }
}
