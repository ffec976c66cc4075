//! What the API server refuses, asked of the rules themselves: each wrong object is refused with
//! the message that a user sees, and the right ones pass.

use kube::core::cel::validate_cel;
use serde_json::json;
use weir_crds::Resolver;

fn resolver(spec: serde_json::Value) -> Resolver {
    named("home", spec)
}

fn named(name: &str, spec: serde_json::Value) -> Resolver {
    serde_json::from_value(json!({
        "apiVersion": "weir.dev/v1alpha1",
        "kind": "Resolver",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }))
    .unwrap()
}

#[test]
fn takes_what_is_right() {
    for spec in [
        json!({}),
        json!({"replicas": 0}),
        json!({"listeners": [{"name": "doh"}, {"name": "plain", "protocol": "DoHPlaintext"}]}),
        json!({"listeners": [{"name": "doh", "tls": {
            "certificate": {"secretRef": {"name": "dns-tls"}}, "hostnames": ["dns.example.org", "*.example.net"],
        }}]}),
        json!({"listeners": [{"name": "doh", "tls": {"certificate": {"selfSigned": {}}}}]}),
        json!({"mesh": {"jostleTimeout": "250ms", "perClientWaitLimit": {
            "overrides": [{"cidr": "10.0.0.0/8", "limit": 5000}, {"cidr": "2001:db8::/32", "limit": 1}],
        }}}),
        json!({"resolution": {"rootHints": {"servers": [
            {"name": "a.root", "addresses": ["192.0.2.1", "2001:db8::1"]},
        ]}}}),
        json!({"resolution": {"forwardZones": [{"name": ".", "upstreams": [
            {"address": "192.0.2.1"}, {"address": "192.0.2.2", "protocol": "DoT", "serverName": "dns.example"},
            {"address": "192.0.2.3", "protocol": "DoH", "serverName": "dns.example", "path": "/q"},
        ]}]}}),
        json!({"dnssec": {"trustAnchors": {"records": [". DS 1 8 2 AB"]}}}),
        json!({"cache": {"size": "1Gi", "ttl": {"min": "30s", "max": "1h30m"}}}),
        json!({"accessControl": [{"cidrs": ["0.0.0.0/0", "::/0"], "action": "Allow"}]}),
        json!({"telemetry": {"traces": {"endpoint": "http://otel-collector:4317", "sampleRatio": "0.01"}}}),
        json!({"rollout": {"config": {"strategy": "Canary", "window": "10s"}, "drain": {"timeout": "1m"}}}),
    ] {
        validate_cel(&resolver(spec.clone())).unwrap_or_else(|fault| panic!("{spec}: {fault}"));
    }
}

#[test]
fn refuses_what_is_wrong_with_one_message() {
    let duration = "must be a duration from";
    let size = "must be a size from";
    let network = "must be a network such as";
    for (spec, message) in [
        (
            json!({"listeners": [{"name": "a"}, {"name": "b", "protocol": "DoH"}]}),
            "at most one listener of each protocol",
        ),
        (
            json!({"listeners": [{"name": "a", "protocol": "DoHPlaintext", "tls": {}}]}),
            "tls is for protocol DoH",
        ),
        (
            json!({"listeners": [{"name": "a", "tls": {"certificate": {}}}]}),
            "exactly one of secretRef and selfSigned",
        ),
        (
            json!({"listeners": [{"name": "a", "tls": {"certificate": {"selfSigned": {}, "secretRef": {"name": "a"}}}}]}),
            "exactly one of secretRef and selfSigned",
        ),
        (
            json!({"listeners": [{"name": "a", "tls": {"hostnames": ["Bad_Host"]}}]}),
            "must be a host name",
        ),
        (
            json!({"listeners": [{"name": "a", "http2": {"idleTimeout": "0s"}}]}),
            duration,
        ),
        (
            json!({"listeners": [{"name": "a", "http2": {"maxConnectionAge": "25h"}}]}),
            duration,
        ),
        (
            json!({"listeners": [{"name": "a", "http2": {"maxHeaderListSize": "2Mi"}}]}),
            size,
        ),
        (
            json!({"listeners": [{"name": "a", "http2": {"queryBufferLimit": "many"}}]}),
            size,
        ),
        (
            json!({"listeners": [{"name": "a", "http2": {"responseBufferLimit": "1Ki"}}]}),
            size,
        ),
        (
            json!({"listeners": [{"name": "a", "clientAddress": {"proxyProtocol": {"trustedCidrs": ["10.0.0.0"]}}}]}),
            network,
        ),
        (
            json!({"listeners": [{"name": "a", "clientAddress": {"forwardedHeader": {"trustedCidrs": ["x/8"]}}}]}),
            network,
        ),
        (json!({"mesh": {"jostleTimeout": "5ms"}}), duration),
        (
            json!({"mesh": {"perClientWaitLimit": {"overrides": [{"cidr": "10/8", "limit": 1}]}}}),
            network,
        ),
        (
            json!({"resolution": {"rootHints": {}}}),
            "exactly one of builtIn and servers",
        ),
        (
            json!({"resolution": {"rootHints": {"servers": [{"name": "a.root", "addresses": ["a"]}]}}}),
            "must be an IPv4 or IPv6 address",
        ),
        (
            json!({"resolution": {"forwardZones": [{"name": "a b", "upstreams": [{"address": "192.0.2.1"}]}]}}),
            "must be a domain name",
        ),
        (
            json!({"resolution": {"forwardZones": [{"name": "a", "upstreams": [{"address": "192.0.2.1", "protocol": "DoT"}]}]}}),
            "serverName is needed for protocols DoT and DoH",
        ),
        (
            json!({"resolution": {"forwardZones": [{"name": "a", "upstreams": [{"address": "192.0.2.1", "serverName": "a"}]}]}}),
            "serverName is needed for protocols DoT and DoH",
        ),
        (
            json!({"resolution": {"forwardZones": [{"name": "a", "upstreams": [
                {"address": "192.0.2.1", "protocol": "DoT", "serverName": "a", "path": "/q"},
            ]}]}}),
            "path is for protocol DoH",
        ),
        (
            json!({"resolution": {"stubZones": [{"name": "a..b", "upstreams": [{"address": "192.0.2.1"}]}]}}),
            "must be a domain name",
        ),
        (
            json!({"resolution": {"localZones": [{"name": ""}]}}),
            "must be a domain name",
        ),
        (
            json!({"resolution": {"budget": {"totalTime": "61s"}}}),
            duration,
        ),
        (
            json!({"resolution": {"privateAddresses": ["10.0.0.0/99"]}}),
            network,
        ),
        (
            json!({"resolution": {"privateDomains": ["?"]}}),
            "must be a domain name",
        ),
        (
            json!({"resolution": {"dns64": {"prefix": "64:ff9b::"}}}),
            network,
        ),
        (
            json!({"dnssec": {"trustAnchors": {}}}),
            "exactly one of builtIn and records",
        ),
        (
            json!({"dnssec": {"negativeTrustAnchors": [{"name": "a", "expiresAt": "tomorrow"}]}}),
            "must be a time in UTC",
        ),
        (json!({"cache": {"size": "1Ki"}}), size),
        (
            json!({"cache": {"ttl": {"min": "1h", "max": "1m"}}}),
            "min must not be more than max",
        ),
        (json!({"cache": {"ttl": {"max": "5"}}}), duration),
        (json!({"cache": {"ttl": {"maxNegative": "48h"}}}), duration),
        (json!({"cache": {"serveStale": {"maxAge": "0s"}}}), duration),
        (
            json!({"cache": {"serveStale": {"answerTtl": "2h"}}}),
            duration,
        ),
        (
            json!({"cache": {"serveStale": {"clientTimeout": "11s"}}}),
            duration,
        ),
        (
            json!({"accessControl": [{"cidrs": ["everyone"], "action": "Allow"}]}),
            network,
        ),
        (
            json!({"telemetry": {"traces": {"endpoint": "collector"}}}),
            "must be a URL",
        ),
        (
            json!({"telemetry": {"traces": {"endpoint": "http://a:1", "sampleRatio": "2"}}}),
            "must be a ratio from",
        ),
        (
            json!({"telemetry": {"traces": {"endpoint": "http://a:1", "always": {"slowerThan": "2h"}}}}),
            duration,
        ),
        (
            json!({"telemetry": {"traces": {"endpoint": "http://a:1", "trustIncomingFrom": ["a"]}}}),
            network,
        ),
        (json!({"rollout": {"config": {"window": "0s"}}}), duration),
        (json!({"rollout": {"drain": {"notice": "6m"}}}), duration),
        (json!({"rollout": {"drain": {"timeout": "1h"}}}), duration),
    ] {
        let fault = match validate_cel(&resolver(spec.clone())) {
            Err(fault) => fault.to_string(),
            Ok(()) => panic!("{spec} was taken"),
        };
        assert!(fault.contains(message), "{spec}: {fault}");
        assert_eq!(fault.matches("\n  - ").count(), 1, "{spec}: {fault}");
    }
}

#[test]
fn refuses_names_that_no_service_can_have() {
    for name in [
        "9home",
        "home.lan",
        "a-name-that-is-much-longer-than-fifty-letters-is-no-use",
    ] {
        let fault = validate_cel(&named(name, json!({})))
            .unwrap_err()
            .to_string();
        assert!(
            fault.contains("the name becomes that of a Service"),
            "{name}: {fault}"
        );
    }
}
