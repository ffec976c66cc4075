//! Where answers come from, and how often somebody may ask.
//!
//! Owns the translation of `resolution` and `rateLimits`.

use weir_config::DataplaneConfig;
use weir_config::resolution::{IpFamily, QnameMinimisation as ConfigMinimisation};
use weir_config::zone::RootHints;
use weir_resolver::settings::{BudgetSettings, QnameMinimisation, RateLimits, ResolutionSettings};

use crate::settings::fault::Faults;
use crate::settings::value::{clamp, prefix};
use crate::settings::zone::{forward_zones, hints, local_zones, stub_zones};

pub(crate) fn resolution(
    config: &DataplaneConfig,
    defaults: ResolutionSettings,
    faults: &mut Faults,
) -> ResolutionSettings {
    let from = &config.resolution;
    let root_hints = hints(&from.root_hints, faults);
    let (forward_zones, stub_zones) = (forward_zones(config, faults), stub_zones(config, faults));
    let asked = root_hints
        .iter()
        .flat_map(|hint| hint.addresses.iter().copied());
    let zones = forward_zones.iter().chain(&stub_zones);
    let named = zones.flat_map(|zone| zone.upstreams.iter().map(|upstream| upstream.address));
    // Whoever configures a loopback server means it; else no delegation may lead there.
    let avoid_loopback = !asked.chain(named).any(|address| address.ip().is_loopback());
    let budget = &from.budget;
    ResolutionSettings {
        prime_root: matches!(from.root_hints, RootHints::BuiltIn(_)),
        root_hints,
        forward_zones,
        stub_zones,
        local_zones: local_zones(config, faults),
        qname_minimisation: match from.qname_minimisation {
            ConfigMinimisation::Off => QnameMinimisation::Off,
            ConfigMinimisation::Relaxed => QnameMinimisation::Relaxed,
            ConfigMinimisation::Strict => QnameMinimisation::Strict,
        },
        case_randomisation: from.case_randomisation,
        upstream_cookies: from.upstream_cookies,
        error_reporting: from.error_reporting,
        builtin_local_zones: from.special_use_names,
        rate_limits: rate_limits(&from.rate_limits, faults),
        nat64: from.dns64.as_ref().is_some_and(|dns64| dns64.nat64),
        budget: BudgetSettings {
            upstream_queries: clamp(budget.upstream_queries),
            queries_per_state: clamp(budget.queries_per_state),
            restarts: clamp(budget.restarts),
            depth: clamp(budget.depth),
        },
        ipv4: from.ip_families.contains(&IpFamily::IPv4),
        ipv6: from.ip_families.contains(&IpFamily::IPv6),
        private_addresses: from.private_addresses.iter().map(prefix).collect(),
        private_domains: from
            .private_domains
            .iter()
            .enumerate()
            .map(|(index, text)| {
                faults.name(|| format!("resolution.privateDomains[{index}]"), text)
            })
            .collect(),
        avoid_loopback,
        dns64_prefix: from.dns64.as_ref().map(|dns64| prefix(&dns64.prefix)),
        ..defaults
    }
}

fn rate_limits(from: &weir_config::rate_limit::RateLimits, faults: &mut Faults) -> RateLimits {
    let field = |index| format!("resolution.rateLimits.perZone.overrides[{index}].zone");
    let (client, zone) = (&from.per_client, &from.per_zone);
    let rules = client.overrides.iter();
    let zones = zone.overrides.iter().enumerate();
    RateLimits {
        client: client.queries_per_second,
        client_overrides: rules
            .map(|rule| (prefix(&rule.cidr), rule.queries_per_second))
            .collect(),
        zone: zone.queries_per_second,
        zone_overrides: zones
            .map(|(index, rule)| {
                let name = faults.name(|| field(index), &rule.zone);
                (name, rule.queries_per_second)
            })
            .collect(),
    }
}
