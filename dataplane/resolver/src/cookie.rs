//! DNS cookies toward servers (RFC 7873, RFC 9018): proof to each side that the other is on the path.
//!
//! Owns the option's octets. Never decides when one is sent: `iterate` does, from what `infra` remembers.

/// Octets of the client's part (RFC 7873, 4).
const CLIENT: usize = 8;
/// Octets of the server's part, at least and at most.
const SERVER: core::ops::RangeInclusive<usize> = 8..=32;
/// Octets of a whole cookie at most.
const COOKIE_MAX: usize = 40;

/// The client's part, and the server's part once it is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie {
    octets: [u8; COOKIE_MAX],
    length: u8,
}

impl Cookie {
    /// The client's part alone, for a server that was not asked yet. It is drawn anew for each server, so that
    /// servers cannot recognise a client by it (RFC 9018, 3).
    #[must_use]
    pub fn of_client(client: u64) -> Self {
        let mut octets = [0; COOKIE_MAX];
        if let Some(place) = octets.first_chunk_mut::<CLIENT>() {
            *place = client.to_be_bytes();
        }
        Self {
            octets,
            length: CLIENT as u8,
        }
    }

    /// Reads the data of the option; none when its length is not one that RFC 7873, 4 allows.
    #[must_use]
    pub fn from_octets(data: &[u8]) -> Option<Self> {
        let server = data.len().checked_sub(CLIENT)?;
        if server != 0 && !SERVER.contains(&server) {
            return None;
        }
        let mut octets = [0; COOKIE_MAX];
        octets.get_mut(..data.len())?.copy_from_slice(data);
        Some(Self {
            octets,
            length: data.len() as u8,
        })
    }

    /// The data of the option.
    #[must_use]
    pub fn as_octets(&self) -> &[u8] {
        self.octets
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    /// Whether both have the same client's part: the one answers the other.
    #[must_use]
    pub fn is_of_same_client(&self, other: &Self) -> bool {
        self.octets.first_chunk::<CLIENT>() == other.octets.first_chunk::<CLIENT>()
    }

    /// Whether the server's part is there.
    #[must_use]
    pub const fn has_server(&self) -> bool {
        self.length as usize > CLIENT
    }
}

impl core::fmt::Debug for Cookie {
    /// Cookies are secrets of a sort; logs show their length.
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "Cookie({} octets)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_rfc_7873_4() {
        for length in 0..50 {
            let read = Cookie::from_octets(&vec![7; length]);
            let allowed = length == 8 || (16..=40).contains(&length);
            assert_eq!(read.is_some(), allowed, "{length}");
            if let Some(read) = read {
                assert_eq!(read.as_octets(), vec![7; length]);
                assert_eq!(read.has_server(), length > 8);
            }
        }
    }

    #[test]
    fn an_answer_carries_the_clients_part() {
        let own = Cookie::of_client(0x0102_0304_0506_0708);
        let mut whole = own.as_octets().to_vec();
        whole.extend_from_slice(&[9; 16]);
        let answered = Cookie::from_octets(&whole).unwrap();
        assert!(own.is_of_same_client(&answered) && answered.has_server());
        assert!(!Cookie::of_client(1).is_of_same_client(&own));
    }
}
