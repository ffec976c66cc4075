//! The open streams of one connection, by number. Knows which phases they are in without a walk over
//! all of them, because every turn asks and most connections have none that it asks for.

use std::collections::BTreeMap;

use super::stream::{Phase, Stream};

/// The open streams of one connection. A stream changes its phase by being removed and put in again.
#[derive(Default)]
pub struct OpenStreams {
    streams: BTreeMap<u32, Stream>,
    receiving: usize,
    sending: usize,
}

impl OpenStreams {
    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The stream of this number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Stream> {
        self.streams.get(&number)
    }

    /// The phase of the stream of this number, to go on within it.
    pub fn phase_mut(&mut self, number: u32) -> Option<&mut Phase> {
        self.streams
            .get_mut(&number)
            .map(|stream| &mut stream.phase)
    }

    /// Puts a stream in, under the number of its request.
    pub fn insert(&mut self, stream: Stream) {
        let number = stream.asked.stream;
        self.remove(number);
        if let Some(count) = self.count_of(&stream.phase) {
            *count += 1;
        }
        self.streams.insert(number, stream);
    }

    /// Takes a stream out.
    pub fn remove(&mut self, number: u32) -> Option<Stream> {
        let stream = self.streams.remove(&number)?;
        if let Some(count) = self.count_of(&stream.phase) {
            *count -= 1;
        }
        Some(stream)
    }

    fn count_of(&mut self, phase: &Phase) -> Option<&mut usize> {
        match phase {
            Phase::Receiving(_) => Some(&mut self.receiving),
            Phase::Sending(_) => Some(&mut self.sending),
            Phase::Awaiting(_) => None,
        }
    }

    /// The numbers of all.
    #[must_use]
    pub fn numbers(&self) -> Vec<u32> {
        self.streams.keys().copied().collect()
    }

    /// The numbers of those for which `wanted` holds.
    #[must_use]
    pub fn numbers_where(&self, wanted: impl Fn(&Phase) -> bool) -> Vec<u32> {
        self.streams
            .iter()
            .filter(|(_, stream)| wanted(&stream.phase))
            .map(|(number, _)| *number)
            .collect()
    }

    /// The numbers of those whose body is still to come.
    #[must_use]
    pub fn receiving(&self) -> Vec<u32> {
        if self.receiving == 0 {
            return Vec::new();
        }
        self.numbers_where(|phase| matches!(phase, Phase::Receiving(_)))
    }

    /// The numbers of those whose clients have not made room for all of their answer.
    #[must_use]
    pub fn sending(&self) -> Vec<u32> {
        if self.sending == 0 {
            return Vec::new();
        }
        self.numbers_where(|phase| matches!(phase, Phase::Sending(_)))
    }
}
