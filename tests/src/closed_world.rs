//! No test may ask a server of the real internet: this reads a document before a data plane is started with it.
//!
//! Owns the rule that every server named is on loopback or in an address range of private networks, and that
//! questions which no zone takes have such a server to go to; the built-in root hints are refused.

use std::io;
use std::net::IpAddr;

use weir_config::DataplaneConfig;
use weir_config::zone::RootHints;

/// Checks a document in JSON or YAML.
///
/// # Errors
/// When it cannot be read, or names the first server that a test must not ask.
pub fn check(document: &str) -> io::Result<()> {
    let config = DataplaneConfig::read(document).map_err(|problems| {
        let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
        io::Error::other(all.join("; "))
    })?;
    let resolution = &config.resolution;
    let forwards_all = resolution.forward_zones.iter().any(|zone| zone.name == ".");
    let roots: Vec<IpAddr> = match &resolution.root_hints {
        RootHints::BuiltIn(_) if forwards_all => Vec::new(),
        RootHints::BuiltIn(_) => {
            return Err(io::Error::other(
                "a test must not ask the real root: give resolution.rootHints.servers on loopback, or a forward zone '.'",
            ));
        }
        RootHints::Servers(servers) => servers
            .iter()
            .flat_map(|server| server.addresses.iter().copied())
            .collect(),
    };
    let forwarders = resolution.forward_zones.iter();
    let forwarders = forwarders.flat_map(|zone| zone.upstreams.iter().map(|each| each.address));
    let stubs = resolution.stub_zones.iter();
    let stubs = stubs.flat_map(|zone| zone.upstreams.iter().map(|each| each.address));
    match roots
        .into_iter()
        .chain(forwarders)
        .chain(stubs)
        .find(|ip| !is_near(*ip))
    {
        Some(ip) => Err(io::Error::other(format!(
            "a test must not ask {ip}: name servers on loopback or in a private network"
        ))),
        None => Ok(()),
    }
}

/// Whether an address leads nowhere but to this machine or a network of its own (RFC 1918, RFC 4193).
const fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_servers_pass() {
        let far = check("{}").unwrap_err().to_string();
        assert!(far.contains("rootHints"), "{far}");
        let root = |ip: &str| {
            format!(
                "resolution: {{rootHints: {{servers: [{{name: a.root, addresses: ['{ip}']}}]}}}}"
            )
        };
        check(&root("127.0.0.9")).unwrap();
        check(&root("10.96.0.10")).unwrap();
        assert!(check(&root("198.41.0.4")).is_err());
        let forward = |ip: &str| {
            format!("resolution: {{forwardZones: [{{name: ., upstreams: [{{address: '{ip}'}}]}}]}}")
        };
        check(&forward("::1")).unwrap();
        assert!(check(&forward("9.9.9.9")).is_err());
        assert!(check("workers: 5000").is_err());
    }
}
