//! Translates a `DataplaneConfig` into what the core goes by. The only translation: whatever a
//! document says is checked there or here, and a `Settings` holds nothing that could be wrong.

mod dnssec;
mod fault;
pub mod record;
mod resolution;
mod value;
mod zone;

use weir_config::access::AccessAction as ConfigAccess;
use weir_config::mesh::OnStreamReset as ConfigReset;
use weir_config::{DataplaneConfig, Problem};
use weir_resolver::settings::{
    AccessAction, AccessRule, CacheSettings, MeshSettings, OnStreamReset, ResponseSettings,
    ServeStale, Settings,
};

use crate::settings::dnssec::dnssec;
use crate::settings::fault::Faults;
use crate::settings::resolution::resolution;
use crate::settings::value::{clamp, prefix};

/// The settings of one of `workers` workers.
///
/// # Errors
/// Every field that cannot be used, and what to change.
pub fn translate(
    config: &DataplaneConfig,
    epoch: u32,
    workers: u16,
) -> Result<Settings, Vec<Problem>> {
    let mut faults = Faults::default();
    let defaults = Settings::default();
    let settings = Settings {
        epoch,
        limits: defaults.limits,
        mesh: mesh(config, workers),
        resolution: resolution(config, defaults.resolution, &mut faults),
        dnssec: dnssec(config, defaults.dnssec, &mut faults),
        cache: cache(config, defaults.cache),
        access_control: config
            .access_control
            .iter()
            .flat_map(|rule| rule.cidrs.iter().map(|cidr| (prefix(cidr), rule.action)))
            .map(|(prefix, action)| AccessRule {
                prefix,
                action: access(action),
            })
            .collect(),
        responses: ResponseSettings {
            extended_errors: config.responses.extended_errors,
            padding_block_size: clamp(config.responses.padding_block_size),
            minimal: config.responses.minimal,
            minimal_any: config.responses.minimal_any,
            identity: config.responses.identity.clone(),
            version: config.responses.version.clone(),
        },
    };
    if faults.0.is_empty() {
        Ok(settings)
    } else {
        Err(faults.0)
    }
}

fn mesh(config: &DataplaneConfig, workers: u16) -> MeshSettings {
    let share = |whole: u32| whole.div_ceil(u32::from(workers.max(1)));
    let clients = &config.mesh.per_client_wait_limit;
    MeshSettings {
        states_max: share(config.mesh.max_states),
        waiting_replies_max: share(config.mesh.max_waiting_replies),
        jostle_timeout: config.mesh.jostle_timeout,
        total_time: config.resolution.budget.total_time,
        client_waiting_max: clients.default,
        client_waiting_overrides: clients
            .overrides
            .iter()
            .map(|rule| (prefix(&rule.cidr), rule.limit))
            .collect(),
        on_stream_reset: match config.mesh.on_stream_reset {
            ConfigReset::FinishForCache => OnStreamReset::FinishForCache,
            ConfigReset::Cancel => OnStreamReset::Cancel,
        },
    }
}

fn cache(config: &DataplaneConfig, defaults: CacheSettings) -> CacheSettings {
    let from = &config.cache;
    let seconds =
        |duration: std::time::Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let stale = &from.serve_stale;
    CacheSettings {
        size: usize::try_from(from.size).unwrap_or(usize::MAX),
        ttl_min: seconds(from.ttl.min),
        ttl_max: seconds(from.ttl.max),
        ttl_negative_min: 0,
        ttl_negative_max: seconds(from.ttl.max_negative),
        serve_stale: stale.enabled.then(|| ServeStale {
            max_age: stale.max_age,
            answer_ttl: seconds(stale.answer_ttl),
            client_timeout: stale.client_timeout,
        }),
        prefetch_percent: from
            .prefetch
            .enabled
            .then(|| u8::try_from(from.prefetch.remaining_percent).unwrap_or(u8::MAX)),
        ..defaults
    }
}

const fn access(action: ConfigAccess) -> AccessAction {
    match action {
        ConfigAccess::Allow => AccessAction::Allow,
        ConfigAccess::Refuse => AccessAction::Refuse,
        ConfigAccess::Deny => AccessAction::Deny,
    }
}

#[cfg(test)]
mod tests {
    use weir_resolver::fetch::Transport;
    use weir_resolver::name::Name;
    use weir_resolver::trust_anchor;

    use super::*;

    #[allow(clippy::unwrap_in_result, reason = "a test may panic")]
    fn settings(text: &str) -> Result<Settings, Vec<String>> {
        let config = DataplaneConfig::read(text).unwrap();
        translate(&config, 1, 2).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_smallest_document_recurses_from_the_root() {
        let settings = settings("{}").unwrap();
        assert_eq!(settings.resolution.root_hints.len(), 13);
        assert_eq!(settings.dnssec.trust_anchors.len(), 1);
        assert!(settings.resolution.prime_root && settings.resolution.avoid_loopback);
        assert_eq!(settings.mesh.states_max, 2048);
        assert_eq!(settings.access_control.len(), 2);
    }

    #[test]
    fn zones_and_anchors_are_read() {
        let settings = settings(
            "
resolution:
  rootHints: {servers: [{name: a.root, addresses: [127.0.0.1]}]}
  forwardZones: [{name: corp.example, upstreams: [{address: 10.0.0.1, protocol: DoT, serverName: dns.corp}]}]
  stubZones: [{name: lab.example, upstreams: [{address: 127.0.0.9, port: 5300}]}]
  localZones: [{name: home.arpa, records: ['nas A 192.0.2.7', 'nas A 192.0.2.8', '@ 60 TXT hi']}]
dnssec: {trustAnchors: {records: ['. DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D']}}
",
        )
        .unwrap();
        let resolution = &settings.resolution;
        assert!(!resolution.avoid_loopback && !resolution.prime_root);
        assert_eq!(resolution.forward_zones[0].upstreams[0].address.port(), 853);
        assert_eq!(
            resolution.forward_zones[0].upstreams[0].transport,
            Transport::Tls("dns.corp".into())
        );
        assert_eq!(resolution.stub_zones[0].upstreams[0].address.port(), 5300);
        let records = &resolution.local_zones[0].records;
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].owner, Name::from_text("nas.home.arpa").unwrap());
        assert_eq!(records[0].rdata.len(), 2);
        assert_eq!(records[1].ttl, 60);
        assert_eq!(settings.dnssec.trust_anchors, [trust_anchor_of_2017()]);
    }

    fn trust_anchor_of_2017() -> weir_resolver::settings::TrustAnchor {
        let builtin = trust_anchor::builtin_root();
        let first: Vec<&[u8]> = builtin.ds.iter().take(1).collect();
        let ds = weir_resolver::rrset::RdataList::new(first);
        weir_resolver::settings::TrustAnchor {
            ds,
            ..builtin.clone()
        }
    }

    #[test]
    fn special_use_names_can_be_left_out() {
        assert!(settings("{}").unwrap().resolution.builtin_local_zones);
        let without = settings("resolution: {specialUseNames: false}").unwrap();
        assert!(!without.resolution.builtin_local_zones);
    }

    #[test]
    fn faults_name_their_fields() {
        let faults = settings(
            "
resolution: {localZones: [{name: home.arpa, records: ['nas A 1.2.3', 'nas NOPE x y']}]}
dnssec: {trustAnchors: {records: ['. DS 1 2 3']}}
",
        )
        .unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(
            faults[0].starts_with("resolution.localZones[0].records[0]: "),
            "{faults:?}"
        );
        assert!(
            faults[1].starts_with("resolution.localZones[0].records[1]: "),
            "{faults:?}"
        );
        assert!(
            faults[2].starts_with("dnssec.trustAnchors.records[0]: "),
            "{faults:?}"
        );
    }
}
