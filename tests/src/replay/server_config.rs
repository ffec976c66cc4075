//! The subset of `unbound.conf` that scenarios use, as `Settings`.
//!
//! Every option is one of: translated; of no effect on answers (`NO_EFFECT`); at the value that is Weir's
//! only behaviour; known without a counterpart; outside Weir's aim; unknown. The last three are
//! reported, so that nothing is left out in silence.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use weir_resolver::settings::{
    AccessAction, AccessRule, DateOverride, DnssecMode, NegativeTrustAnchor, Prefix,
    QnameMinimisation, ServeStale,
};
use weir_resolver::time::UnixTime;

use crate::replay::config::{Config, domain_from_text, is_yes};
use crate::replay::config_text::{Clause, OptionLine, config_text};
use crate::replay::lines::ParseError;
use crate::replay::token::{TextError, timestamp, wrong};
use crate::replay::zone_config;

/// Options that change no answer.
const NO_EFFECT: [&str; 27] = [
    "verbosity",
    "val-log-level",
    "log-servfail",
    "log-time-ascii",
    "log-queries",
    "log-replies",
    "log-local-actions",
    "directory",
    "chroot",
    "username",
    "pidfile",
    "use-syslog",
    "logfile",
    "num-threads",
    "interface",
    "port",
    "do-udp",
    "do-tcp",
    "do-daemonize",
    // Answers are compared as multisets.
    "rrset-roundrobin",
    // RFC 8145 queries are never sent.
    "trust-anchor-signaling",
    // Keys are fetched when they are needed.
    "prefetch-key",
    "module-config",
    "infra-cache-numhosts",
    "so-rcvbuf",
    "statistics-interval",
    "unwanted-reply-threshold",
];

/// Options whose value here is what Weir always does.
const ALWAYS: [(&str, &str); 11] = [
    ("harden-dnssec-stripped", "yes"),
    ("harden-referral-path", "no"),
    ("harden-unknown-additional", "no"),
    ("use-caps-for-id", "no"),
    ("val-clean-additional", "yes"),
    ("serve-expired-ttl-reset", "no"),
    ("deny-any", "no"),
    ("zonemd-permissive-mode", "no"),
    ("outbound-msg-retry", "5"),
    ("discard-timeout", "0"),
    ("dns64-ignore-aaaa", ""),
];

/// Features that Weir does not aim at, by the option that needs them.
const OUTSIDE: [(&str, &str); 10] = [
    ("send-client-subnet", "ecs"),
    ("client-subnet-zone", "ecs"),
    ("client-subnet-always-forward", "ecs"),
    ("max-client-subnet-ipv4", "ecs"),
    ("max-client-subnet-ipv6", "ecs"),
    ("response-ip", "respip"),
    ("response-ip-data", "respip"),
    ("response-ip-tag", "respip"),
    ("access-control-view", "views"),
    ("edns-client-string", "edns-client-string"),
];

/// Translates the lines before CONFIG_END.
///
/// # Errors
/// When a line or a value is not understood.
pub fn server_config(lines: &[(usize, String)]) -> Result<Config, ParseError> {
    let text = config_text(lines)?;
    let mut builder = Builder {
        config: Config::new(),
        serve_expired: false,
        stale: ServeStale {
            max_age: Duration::from_secs(86_400),
            answer_ttl: 30,
            client_timeout: Duration::from_millis(1800),
        },
        dns64: false,
        prefix: None,
    };
    builder.config.anchor_files.clone_from(&text.anchor_files);
    for clause in &text.clauses {
        builder.clause(clause)?;
    }
    builder.finish();
    Ok(builder.config)
}

struct Builder {
    config: Config,
    serve_expired: bool,
    stale: ServeStale,
    dns64: bool,
    prefix: Option<Prefix>,
}

fn number<T: core::str::FromStr>(text: &str) -> Result<T, TextError> {
    text.parse()
        .or_else(|_| wrong(format!("{text} is not a number of the right size")))
}

fn seconds(text: &str) -> Result<Duration, TextError> {
    Ok(Duration::from_secs(number(text)?))
}

fn milliseconds(text: &str) -> Result<Duration, TextError> {
    Ok(Duration::from_millis(number(text)?))
}

/// `address` or `address/length`.
fn prefix(text: &str) -> Result<Prefix, TextError> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let Ok(address) = address.parse::<IpAddr>() else {
        return wrong(format!("{text} is not an address prefix"));
    };
    let length = match (length, address) {
        ("", IpAddr::V4(_)) => 32,
        ("", IpAddr::V6(_)) => 128,
        _ => number(length)?,
    };
    Ok(Prefix { address, length })
}

/// Octets with an optional unit: `8m`.
fn size(text: &str) -> Result<usize, TextError> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..) {
        Some("k" | "K") => 10,
        Some("m" | "M") => 20,
        Some("g" | "G") => 30,
        _ => 0,
    };
    Ok(number::<usize>(digits)? << shift)
}

impl Builder {
    fn clause(&mut self, clause: &Clause) -> Result<(), ParseError> {
        match clause.name.as_str() {
            "server" | "" => {
                for option in &clause.options {
                    self.option(option).map_err(|error| ParseError {
                        line: option.line,
                        what: format!("{}: {}", option.key, error.0),
                    })?;
                }
                Ok(())
            }
            "stub-zone" => zone_config::stub_zone(&mut self.config, clause),
            "forward-zone" => zone_config::forward_zone(&mut self.config, clause),
            "remote-control" | "python" | "dnstap" | "dnscrypt" => Ok(()),
            outside => {
                self.config.outside = Some(outside.to_owned());
                Ok(())
            }
        }
    }

    fn option(&mut self, option: &OptionLine) -> Result<(), TextError> {
        let key = option.key.as_str();
        let first = option.values.first().map_or("", String::as_str);
        let second = option.values.get(1).map_or("", String::as_str);
        if key == "module-config" {
            return self.modules(first);
        }
        let outside = OUTSIDE.iter().find(|(name, _)| *name == key);
        if let Some((_, feature)) = outside {
            self.config.outside = Some((*feature).to_owned());
            return Ok(());
        }
        if NO_EFFECT.contains(&key) || ALWAYS.contains(&(key, first)) {
            return Ok(());
        }
        if self.resolution(key, first)? || self.dnssec(key, first)? || self.cache(key, first)? {
            return Ok(());
        }
        match key {
            "access-control" => self.access(first, second),
            "local-zone" => zone_config::local_zone(&mut self.config, first, second),
            "local-data" => zone_config::local_data(&mut self.config, first),
            _ => self.responses(key, first),
        }
    }

    fn modules(&mut self, modules: &str) -> Result<(), TextError> {
        for module in modules.split_ascii_whitespace() {
            match module {
                "validator" | "iterator" => {}
                "dns64" => self.dns64 = true,
                "subnetcache" => self.config.outside = Some("ecs".to_owned()),
                // The module without policy does nothing.
                "respip" => {}
                other => self.config.outside = Some(other.to_owned()),
            }
        }
        if !modules.contains("validator") {
            self.config.settings.dnssec.mode = DnssecMode::Off;
        }
        Ok(())
    }

    /// Options of resolution; false when it is none.
    fn resolution(&mut self, key: &str, value: &str) -> Result<bool, TextError> {
        let settings = &mut self.config.settings;
        let resolution = &mut settings.resolution;
        match key {
            "qname-minimisation" => {
                resolution.qname_minimisation = if is_yes(value) {
                    QnameMinimisation::Relaxed
                } else {
                    QnameMinimisation::Off
                };
            }
            "qname-minimisation-strict" if is_yes(value) => {
                resolution.qname_minimisation = QnameMinimisation::Strict;
            }
            "target-fetch-policy" => {
                for (place, word) in resolution
                    .target_fetch_policy
                    .iter_mut()
                    .zip(value.split_ascii_whitespace())
                {
                    *place = number(word)?;
                }
            }
            "do-ip4" => resolution.ipv4 = is_yes(value),
            "do-ip6" => resolution.ipv6 = is_yes(value),
            "do-not-query-localhost" => resolution.avoid_loopback = is_yes(value),
            "harden-glue" => resolution.harden_glue = is_yes(value),
            "harden-below-nxdomain" => resolution.harden_below_nxdomain = is_yes(value),
            "private-address" => resolution.private_addresses.push(prefix(value)?),
            "private-domain" => resolution.private_domains.push(domain_from_text(value)?),
            "edns-buffer-size" => resolution.udp_payload_size = number(value)?,
            "max-query-restarts" => resolution.budget.restarts = number(value)?,
            "max-sent-count" => resolution.budget.queries_per_state = number(value)?,
            "max-global-quota" => resolution.budget.upstream_queries = number(value)?,
            "iter-scrub-ns" => settings.limits.name_servers_max = number(value)?,
            "iter-scrub-cname" => settings.limits.aliases_per_reply_max = number(value)?,
            "iter-scrub-rrsig" => settings.limits.signatures_per_rrset_max = number(value)?,
            "val-max-restart" => settings.limits.validation_restarts_max = number(value)?,
            "dns-error-reporting" => resolution.error_reporting = is_yes(value),
            "do-nat64" => resolution.nat64 = is_yes(value),
            "dns64-prefix" | "nat64-prefix" => self.prefix = Some(prefix(value)?),
            "num-queries-per-thread" => settings.mesh.states_max = number(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Options of validation; false when it is none.
    fn dnssec(&mut self, key: &str, value: &str) -> Result<bool, TextError> {
        let dnssec = &mut self.config.settings.dnssec;
        match key {
            "trust-anchor" => self.config.add_trust_anchor(value)?,
            "domain-insecure" => dnssec.negative_trust_anchors.push(NegativeTrustAnchor {
                name: domain_from_text(value)?,
                expires_at: None,
            }),
            "val-override-date" => {
                dnssec.date_override = Some(if value == "-1" {
                    DateOverride::Ignore
                } else {
                    DateOverride::Fixed(UnixTime(timestamp(value)?))
                });
            }
            "fake-sha1" | "fake-dsa" => dnssec.assume_sha1_and_dsa_good |= is_yes(value),
            "aggressive-nsec" => dnssec.aggressive_nsec = is_yes(value),
            "root-key-sentinel" => dnssec.key_sentinel = is_yes(value),
            "harden-algo-downgrade" => dnssec.harden_algorithm_downgrade = is_yes(value),
            "val-bogus-ttl" => dnssec.bogus_ttl = seconds(value)?,
            "val-sig-skew-min" => dnssec.signature_skew.0 = seconds(value)?,
            "val-sig-skew-max" => dnssec.signature_skew.1 = seconds(value)?,
            "val-permissive-mode" if is_yes(value) => dnssec.mode = DnssecMode::Permissive,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Options of the caches; false when it is none.
    fn cache(&mut self, key: &str, value: &str) -> Result<bool, TextError> {
        let cache = &mut self.config.settings.cache;
        match key {
            "cache-min-ttl" => cache.ttl_min = number(value)?,
            "cache-max-ttl" => cache.ttl_max = number(value)?,
            "cache-min-negative-ttl" => cache.ttl_negative_min = number(value)?,
            "cache-max-negative-ttl" => cache.ttl_negative_max = number(value)?,
            "prefetch" => cache.prefetch_percent = is_yes(value).then_some(10),
            "infra-host-ttl" => cache.server_ttl = seconds(value)?,
            "msg-cache-size" | "rrset-cache-size" => cache.size = size(value)?,
            "serve-expired" => self.serve_expired = is_yes(value),
            "serve-expired-ttl" => self.stale.max_age = seconds(value)?,
            "serve-expired-reply-ttl" => self.stale.answer_ttl = number(value)?,
            "serve-expired-client-timeout" => self.stale.client_timeout = milliseconds(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn responses(&mut self, key: &str, value: &str) -> Result<(), TextError> {
        let responses = &mut self.config.settings.responses;
        match key {
            "minimal-responses" => responses.minimal = is_yes(value),
            "ede" => responses.extended_errors = is_yes(value),
            // Stale answers carry the code wherever extended errors are on.
            "ede-serve-expired" => {}
            "iter-scrub-promiscuous" => {
                self.config.settings.resolution.learn_name_servers = !is_yes(value);
            }
            "identity" => responses.identity = Some(value.to_owned()),
            "version" => responses.version = Some(value.to_owned()),
            "hide-identity" if is_yes(value) => responses.identity = None,
            "hide-version" if is_yes(value) => responses.version = None,
            "do-not-query-address"
            | "val-nsec3-keysize-iterations"
            | "harden-referral-path"
            | "harden-unknown-additional"
            | "harden-dnssec-stripped"
            | "discard-timeout"
            | "outbound-msg-retry"
            | "max-udp-size"
            | "use-caps-for-id"
            | "val-clean-additional"
            | "serve-expired-ttl-reset"
            | "deny-any"
            | "hide-identity"
            | "hide-version"
            | "nsid"
            | "answer-cookie"
            | "cookie-secret"
            | "edns-tcp-keepalive"
            | "edns-tcp-keepalive-timeout"
            | "dns64-synthall"
            | "dns64-ignore-aaaa"
            | "zonemd-permissive-mode" => {
                let option = format!("{key}: {value}");
                self.config.without_counterpart.insert(option);
            }
            _ => {
                self.config.unknown.insert(format!("{key}: {value}"));
            }
        }
        Ok(())
    }

    fn access(&mut self, network: &str, action: &str) -> Result<(), TextError> {
        let rule = AccessRule {
            prefix: prefix(network)?,
            action: match action {
                "allow" => AccessAction::Allow,
                "allow_snoop" => AccessAction::AllowSnoop,
                "refuse" => AccessAction::Refuse,
                "deny" => AccessAction::Deny,
                _ => {
                    let option = format!("access-control: {action}");
                    self.config.without_counterpart.insert(option);
                    AccessAction::Allow
                }
            },
        };
        self.config.settings.access_control.push(rule);
        Ok(())
    }

    /// Puts together what several options say, and adds the default access rules.
    fn finish(&mut self) {
        let settings = &mut self.config.settings;
        settings.cache.serve_stale = self.serve_expired.then_some(self.stale);
        if self.dns64 || settings.resolution.nat64 {
            settings.resolution.dns64_prefix = self.prefix.or(Some(Prefix {
                address: IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0)),
                length: 96,
            }));
        }
        let given = |prefix: &Prefix| {
            settings
                .access_control
                .iter()
                .any(|rule| rule.prefix == *prefix)
        };
        let default = [
            (
                IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
                8,
                AccessAction::Allow,
            ),
            (IpAddr::V6(Ipv6Addr::LOCALHOST), 128, AccessAction::Allow),
            (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0, AccessAction::Refuse),
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0, AccessAction::Refuse),
        ];
        let missing: Vec<AccessRule> = default
            .into_iter()
            .map(|(address, length, action)| AccessRule {
                prefix: Prefix { address, length },
                action,
            })
            .filter(|rule| !given(&rule.prefix))
            .collect();
        settings.access_control.extend(missing);
    }
}
