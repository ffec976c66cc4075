//! Addresses of name servers as their parents give them.
//!
//! Owns glue by name, beside the cache, where the zone's own word replaces it: when that word is wrong the
//! parent's may still lead on. Bounded like the facts about servers, in two generations.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::name::Name;
use crate::time::Instant;

/// Addresses of one name that are remembered.
const ADDRESSES_MAX: usize = 8;

#[derive(Clone, Debug)]
struct Entry {
    addresses: Vec<IpAddr>,
    expires: Instant,
}

/// Glue by name.
#[derive(Debug, Default)]
pub(super) struct Glue {
    young: BTreeMap<Name, Entry>,
    old: BTreeMap<Name, Entry>,
}

impl Glue {
    /// Remembers addresses; what a second type of address adds stands beside the first.
    pub(super) fn note(
        &mut self,
        now: Instant,
        expires: Instant,
        name: &Name,
        addresses: impl Iterator<Item = IpAddr>,
        names_max: usize,
    ) {
        let mut entry = self.old.remove(name).unwrap_or(Entry {
            addresses: Vec::new(),
            expires,
        });
        if let Some(known) = self.young.remove(name) {
            entry = known;
        }
        if entry.expires <= now {
            entry.addresses.clear();
        }
        for address in addresses {
            if !entry.addresses.contains(&address) {
                entry.addresses.insert(0, address);
            }
        }
        entry.addresses.truncate(ADDRESSES_MAX);
        entry.expires = expires;
        if self.young.len() >= names_max {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.insert(name.clone(), entry);
    }

    /// What is remembered of a name.
    pub(super) fn get(&self, now: Instant, name: &Name) -> Vec<IpAddr> {
        self.young
            .get(name)
            .or_else(|| self.old.get(name))
            .filter(|entry| now < entry.expires)
            .map(|entry| entry.addresses.clone())
            .unwrap_or_default()
    }
}
