//! Which servers a name must go to: stub and forward zones.
//!
//! Owns the choice of the most specific zone. Never asks anybody: `iterate` makes a delegation of it.

use crate::name::Name;
use crate::settings::{ResolutionSettings, UpstreamZone};

/// How the servers of an upstream zone are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpstreamKind {
    /// As resolvers, with RD.
    Forward,
    /// As authorities, without RD.
    Stub,
}

/// The most specific zone that `name` lies in; a forward zone goes before a stub zone of the same
/// name. `failed` zones are passed over.
#[must_use]
pub fn upstream_zone<'a>(
    settings: &'a ResolutionSettings,
    name: &Name,
    failed: &[(Name, UpstreamKind)],
) -> Option<(UpstreamKind, &'a UpstreamZone)> {
    let forwards = settings
        .forward_zones
        .iter()
        .map(|zone| (UpstreamKind::Forward, zone));
    let stubs = settings
        .stub_zones
        .iter()
        .map(|zone| (UpstreamKind::Stub, zone));
    let mut best: Option<(UpstreamKind, &UpstreamZone)> = None;
    for (kind, zone) in forwards.chain(stubs) {
        if !name.is_within(&zone.name) {
            continue;
        }
        if failed
            .iter()
            .any(|(name, other)| *name == zone.name && *other == kind)
        {
            continue;
        }
        let longer =
            best.is_none_or(|(_, known)| zone.name.as_wire().len() > known.name.as_wire().len());
        if longer {
            best = Some((kind, zone));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn zone(name: &str) -> UpstreamZone {
        UpstreamZone::new(Name::from_text(name).unwrap(), Vec::new(), true)
    }

    #[test]
    fn the_most_specific_zone_wins() {
        let mut settings = Settings::default().resolution;
        settings.forward_zones = vec![zone("."), zone("b.example")];
        settings.stub_zones = vec![zone("example"), zone("b.example")];
        let find = |name: &str, failed: &[(Name, UpstreamKind)]| {
            upstream_zone(&settings, &Name::from_text(name).unwrap(), failed)
                .map(|(kind, zone)| (kind, zone.name.to_string()))
        };
        let b = Name::from_text("b.example").unwrap();
        assert_eq!(
            find("a.org", &[]),
            Some((UpstreamKind::Forward, ".".into()))
        );
        assert_eq!(
            find("x.example", &[]),
            Some((UpstreamKind::Stub, "example.".into()))
        );
        assert_eq!(
            find("x.b.example", &[]),
            Some((UpstreamKind::Forward, "b.example.".into()))
        );
        assert_eq!(
            find("x.b.example", &[(b, UpstreamKind::Forward)]),
            Some((UpstreamKind::Stub, "b.example.".into()))
        );
    }
}
