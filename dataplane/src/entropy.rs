//! Secret numbers from the operating system, for the generators that the core and the sockets use.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use weir_resolver::random::Random;

/// Ports below are for services.
const PORT_LEAST: u16 = 1024;

thread_local! {
    static PORTS: RefCell<Random> = RefCell::new(Random::from_seed(seed()));
}

/// A fresh seed of 128 secret bits.
#[must_use]
pub fn seed() -> [u64; 2] {
    let mut bytes = [0; 16];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        // The standard library seeds its hashers from the same source, by another way.
        let hash = |value: u64| RandomState::new().hash_one(value);
        return [hash(0), hash(1)];
    }
    let (high, low) = bytes.split_at(8);
    let number = |half: &[u8]| {
        half.iter()
            .fold(0, |sum, octet| sum << 8 | u64::from(*octet))
    };
    [number(high), number(low)]
}

/// A source port between 1024 and 65 535, each as likely as any other (RFC 6056, 3.2).
#[must_use]
pub fn port() -> u16 {
    let range = usize::from(u16::MAX - PORT_LEAST) + 1;
    PORT_LEAST.saturating_add(u16::try_from(below(range)).unwrap_or_default())
}

/// A number below `range`, each as likely as any other; 0 of none.
#[must_use]
pub fn below(range: usize) -> usize {
    PORTS.with_borrow_mut(|random| random.below(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_spread_over_the_range() {
        let drawn: std::collections::BTreeSet<u16> = (0..2000).map(|_| port()).collect();
        assert!(drawn.len() > 1900);
        assert!(
            drawn
                .first()
                .is_some_and(|least| *least >= PORT_LEAST && *least < 3000)
        );
        assert!(drawn.last().is_some_and(|most| *most > 63_000));
        assert_ne!(seed(), seed());
    }
}
