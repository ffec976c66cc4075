//! The flat configuration of Deckard scenarios, as `Settings`.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_resolver::name::Name;
use weir_resolver::settings::{
    Hint, NegativeTrustAnchor, Prefix, QnameMinimisation, Upstream, UpstreamZone,
};
use weir_resolver::time::UnixTime;

use crate::replay::config::{Config, domain_from_text, is_yes};
use crate::replay::lines::ParseError;
use crate::replay::token::{TextError, timestamp, wrong};
use crate::replay::zone_config::local_data;

/// The configurations of a file: two when it must pass with and without QNAME minimisation.
///
/// # Errors
/// When a value is not understood.
pub fn deckard_config(lines: &[(usize, String)]) -> Result<Vec<Config>, ParseError> {
    let mut builder = Builder {
        config: Config::new(),
        root: ("k.root-servers.net".to_owned(), None),
        minimise: None,
        hint: (None, None),
    };
    let resolution = &mut builder.config.settings.resolution;
    resolution.builtin_local_zones = false;
    resolution.target_fetch_policy = [0; 5];
    // The scenarios of expired signatures leave no tolerance.
    builder.config.settings.dnssec.signature_skew = (Duration::ZERO, Duration::ZERO);
    builder.config.start = UnixTime(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    );
    for (number, line) in lines {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with(';') {
            continue;
        }
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let wrong_line = |error: TextError| ParseError {
            line: *number,
            what: error.0,
        };
        builder
            .option(key.trim(), value.trim())
            .map_err(wrong_line)?;
    }
    builder.finish().map_err(|error| ParseError {
        line: 0,
        what: error.0,
    })
}

struct Builder {
    config: Config,
    root: (String, Option<IpAddr>),
    minimise: Option<bool>,
    hint: (Option<String>, Option<String>),
}

fn address(text: &str) -> Result<IpAddr, TextError> {
    text.parse()
        .or_else(|_| wrong(format!("{text} is not an address")))
}

/// A value without quotes and without a comment behind it.
fn plain(value: &str) -> &str {
    if let Some(inner) = value.strip_prefix('"') {
        return inner.split('"').next().unwrap_or_default();
    }
    value.split(';').next().unwrap_or_default().trim()
}

impl Builder {
    fn option(&mut self, key: &str, value: &str) -> Result<(), TextError> {
        if key == "features" {
            return value.split(';').try_for_each(|pair| self.feature(pair));
        }
        let value = plain(value);
        let settings = &mut self.config.settings;
        match key {
            "stub-addr" => self.root.1 = Some(address(value)?),
            "stub-name" => value.clone_into(&mut self.root.0),
            "query-minimization" => self.minimise = Some(is_yes(value)),
            "trust-anchor" => self.config.add_trust_anchor(value)?,
            "domain-insecure" => {
                settings
                    .dnssec
                    .negative_trust_anchors
                    .push(NegativeTrustAnchor {
                        name: domain_from_text(value)?,
                        expires_at: None,
                    });
            }
            "val-override-date" | "val-override-timestamp" => {
                self.config.start = UnixTime(timestamp(value)?);
            }
            "do-ip4" => settings.resolution.ipv4 = is_yes(value),
            "do-ip6" => settings.resolution.ipv6 = is_yes(value),
            "do-not-query-localhost" => settings.resolution.avoid_loopback = is_yes(value),
            "harden-glue" => settings.resolution.harden_glue = is_yes(value),
            "forward-addr" => settings.resolution.forward_zones.push(UpstreamZone::new(
                Name::root(),
                vec![Upstream::udp(SocketAddr::new(address(value)?, 53))],
                true,
            )),
            "force-ipv6" => {}
            _ => {
                self.config.unknown.insert(format!("{key}: {value}"));
            }
        }
        Ok(())
    }

    fn feature(&mut self, pair: &str) -> Result<(), TextError> {
        let Some((key, value)) = pair.split_once('=') else {
            return Ok(());
        };
        let value = value.trim();
        let ttl = || -> Result<u32, TextError> {
            value
                .parse()
                .or_else(|_| wrong(format!("{value} is not a time to live")))
        };
        match key.trim() {
            "min_ttl" => self.config.settings.cache.ttl_min = ttl()?,
            "max_ttl" => self.config.settings.cache.ttl_max = ttl()?,
            "dns64_prefix" => {
                let text = value.split('/').next().unwrap_or_default();
                self.config.settings.resolution.dns64_prefix = Some(Prefix {
                    address: address(text)?,
                    length: 96,
                });
            }
            "static_hint_name" => self.hint.0 = Some(value.to_owned()),
            "static_hint_addr" => self.hint.1 = Some(value.to_owned()),
            other => {
                self.config.unknown.insert(format!("features: {other}"));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Config>, TextError> {
        if let (name, Some(address)) = &self.root {
            self.config.settings.resolution.root_hints.push(Hint {
                name: domain_from_text(name)?,
                addresses: vec![SocketAddr::new(*address, 53)],
            });
        }
        if let (Some(name), Some(address)) = &self.hint {
            let record_type = if address.contains(':') { "AAAA" } else { "A" };
            local_data(&mut self.config, &format!("{name} {record_type} {address}"))?;
        }
        // A few files are signed with DSA and do not depend on what its signatures say.
        let dnssec = &mut self.config.settings.dnssec;
        dnssec.assume_sha1_and_dsa_good = dnssec.trust_anchors.iter().any(|anchor| {
            let algorithm = |data: &[u8], at: usize| data.get(at) == Some(&3);
            anchor.ds.iter().any(|data| algorithm(data, 2))
                || anchor.dnskey.iter().any(|data| algorithm(data, 3))
        });
        let runs = self
            .minimise
            .map_or_else(|| vec![true, false], |on| vec![on]);
        let with = |on: bool| {
            let mut config = self.config.clone();
            config.settings.resolution.qname_minimisation = if on {
                QnameMinimisation::Relaxed
            } else {
                QnameMinimisation::Off
            };
            config
        };
        Ok(runs.into_iter().map(with).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Config> {
        let lines: Vec<(usize, String)> = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.to_owned()))
            .collect();
        deckard_config(&lines).unwrap()
    }

    #[test]
    fn flat_keys() {
        let runs = read(
            "; server:\nstub-addr: 1.2.3.4 # root\nquery-minimization: off ; why\nnonsense\n\
             features: min_ttl = 5 ; default\nval-override-date: \"20170301000000\"\nodd-key: 1\n",
        );
        assert_eq!(runs.len(), 1);
        let config = &runs[0];
        assert_eq!(config.settings.cache.ttl_min, 5);
        assert_eq!(config.start, UnixTime(1_488_326_400));
        assert_eq!(
            config.settings.resolution.qname_minimisation,
            QnameMinimisation::Off
        );
        assert!(config.unknown.contains("odd-key: 1"));
        assert!(!config.settings.dnssec.assume_sha1_and_dsa_good);
    }

    #[test]
    fn unset_minimisation_is_two_runs() {
        let runs = read("trust-anchor: \". DS 1 3 1 aabb\"\n");
        assert_eq!(runs.len(), 2);
        assert!(runs[0].settings.dnssec.assume_sha1_and_dsa_good);
    }
}
