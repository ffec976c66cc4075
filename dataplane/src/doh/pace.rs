//! How many answers that were waited for one client gets at once. Owns no timer: who is held back asks again.
//!
//! A client that lets questions to a slow server of its own pile up, and has the server answer all of them in one
//! instant, makes a resolver give off a burst that is far above any rate it allows (DNSBomb, CVE-2024-33655).
//! Answers from the cache cannot be piled up, and are never held back.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use weir_resolver::key::Identity;

/// The time in which so many answers may leave.
pub const PACE: Duration = Duration::from_millis(5);
/// Answers that were waited for which one client gets from one worker in that time: 25 600 in a second is more than
/// a worker resolves for all clients together, so that only what was piled up is held back.
pub const ANSWERS_PER_PACE: u32 = 128;

/// What clients got in the time that runs.
#[derive(Debug)]
pub struct Pace {
    since: Instant,
    given: HashMap<Identity, u32>,
}

impl Pace {
    /// Nobody got anything yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            given: HashMap::new(),
        }
    }

    /// Whether this client may get one more answer now, and counts it if so.
    pub fn admit(&mut self, client: IpAddr, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= PACE {
            self.since = now;
            self.given.clear();
        }
        let given = self.given.entry(Identity::from(client)).or_default();
        let admitted = *given < ANSWERS_PER_PACE;
        *given += u32::from(admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_so_many_in_each_span() {
        let (start, one, two) = (
            Instant::now(),
            IpAddr::from([192, 0, 2, 1]),
            IpAddr::from([192, 0, 2, 2]),
        );
        let mut pace = Pace::new(start);
        let got =
            |pace: &mut Pace, client, now| (0..1000).filter(|_| pace.admit(client, now)).count();
        let most = ANSWERS_PER_PACE as usize;
        assert_eq!(got(&mut pace, one, start), most);
        assert_eq!(got(&mut pace, two, start), most);
        assert_eq!(got(&mut pace, one, start + PACE / 2), 0);
        assert_eq!(got(&mut pace, one, start + PACE), most);
    }
}
