//! The pure steps of a reconciliation: validate, certify, build, status, events, render.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::{Value, json};
use weir_config::unit::instant::UnixSeconds;
use weir_crds::Resolver;
use weir_crds::resolver::status::ResolverStatus;
use weir_operator::authority::Authority;
use weir_operator::certificate::CertificateFault;
use weir_operator::context::Settings;
use weir_operator::render;
use weir_operator::resolver_controller::build::{Resources, Write, build};
use weir_operator::resolver_controller::certify::{Certified, certify};
use weir_operator::resolver_controller::dereference::{DeploymentView, Dereferenced, PodView};
use weir_operator::resolver_controller::event::events;
use weir_operator::resolver_controller::push::{Progress, Pushed};
use weir_operator::resolver_controller::update_status::{Observed, invalid, status};
use weir_operator::resolver_controller::validate::{Place, ValidatedResolver, validate};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const POD: Place = Place::Pod(std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED));

fn resolver(spec: Value) -> Resolver {
    serde_json::from_value(json!({
        "apiVersion": "weir.dev/v1alpha1",
        "kind": "Resolver",
        "metadata": {"name": "home", "namespace": "dns", "uid": "1", "generation": 3},
        "spec": spec,
    }))
    .unwrap()
}

fn valid(spec: Value) -> ValidatedResolver {
    validate(&resolver(spec), POD).unwrap()
}

fn settings() -> Settings {
    Settings {
        image: "registry.example/weir-dataplane:1".to_owned(),
        image_pull_policy: "IfNotPresent".to_owned(),
        image_pull_secrets: vec!["pull".to_owned()],
        listen_address: "::".parse().unwrap(),
        namespace: "weir-system".to_owned(),
    }
}

fn certified(resolver: &ValidatedResolver, found: &Dereferenced) -> (Certified, Authority) {
    let authority = Authority::generate("operator", NOW).unwrap();
    (
        certify(resolver, found, &authority, NOW).unwrap(),
        authority,
    )
}

#[test]
fn every_shared_section_reaches_the_document() {
    let resolver = valid(json!({
        "mesh": {"maxStates": 64, "onStreamReset": "Cancel"},
        "resolution": {
            "rootHints": {"servers": [{"name": "a.root", "addresses": ["192.0.2.1"]}]},
            "localZones": [{"name": "home.arpa", "type": "Static", "records": ["nas A 192.0.2.7"]}],
        },
        "dnssec": {"mode": "Off"},
        "cache": {"size": "64Mi", "serveStale": {"enabled": false}},
        "accessControl": [{"cidrs": ["10.0.0.0/8"], "action": "Allow"}],
        "responses": {"minimal": false},
        "telemetry": {"traces": {"endpoint": "http://c:4317", "sampleRatio": "1"}},
        "rollout": {"drain": {"notice": "1s"}, "config": {"strategy": "AtOnce"}},
        "listeners": [{"name": "doh", "port": 8443, "endpoints": [{"path": "/q"}]}],
    }));
    let document = serde_json::to_value(&resolver.config).unwrap();
    assert_eq!(document["mesh"]["maxStates"], 64);
    assert_eq!(document["mesh"]["onStreamReset"], "Cancel");
    assert_eq!(
        document["resolution"]["rootHints"]["servers"][0]["name"],
        "a.root"
    );
    assert_eq!(
        document["resolution"]["localZones"][0]["records"][0],
        "nas A 192.0.2.7"
    );
    assert_eq!(document["dnssec"]["mode"], "Off");
    assert_eq!(document["cache"]["size"], "64Mi");
    assert_eq!(document["cache"]["serveStale"]["enabled"], false);
    assert_eq!(document["accessControl"][0]["cidrs"], json!(["10.0.0.0/8"]));
    assert_eq!(document["responses"]["minimal"], false);
    assert_eq!(document["telemetry"]["traces"]["sampleRatio"], "1");
    assert_eq!(document["drain"]["notice"], "1s");
    assert_eq!(document["listeners"][0]["paths"], json!(["/q"]));
    assert_eq!(document["listeners"][0]["address"], "[::]:8443");
    assert_eq!(document["admin"]["address"], "[::]:9443");
}

#[test]
fn a_wrong_spec_names_its_fields() {
    let zone = json!({"name": "a", "upstreams": [{"address": "192.0.2.1"}]});
    for (spec, field, part) in [
        (
            json!({"accessControl": [{"cidrs": ["10.0.0.1/8"], "action": "Allow"}]}),
            "spec.accessControl[0].cidrs[0]",
            "write 10.0.0.0/8",
        ),
        (
            json!({"resolution": {"forwardZones": [zone], "stubZones": [zone]}}),
            "spec.resolution.stubZones[0].name",
            "given twice",
        ),
        (
            json!({"rollout": {"drain": {"timeout": "2h"}}}),
            "spec.rollout.drain.timeout",
            "out of range",
        ),
        (
            json!({"cache": {"size": "1"}}),
            "spec.cache.size",
            "out of range",
        ),
    ] {
        let problems = validate(&resolver(spec), POD).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].field, field);
        assert!(problems[0].message.contains(part), "{}", problems[0]);
    }
}

#[test]
fn what_is_read_at_start_only_replaces_pods() {
    let base = valid(json!({})).startup();
    assert_eq!(valid(json!({"cache": {"size": "1Gi"}})).startup(), base);
    assert_eq!(
        valid(json!({"listeners": [{"name": "doh", "port": 8443}]})).startup(),
        base
    );
    let plain = json!({"listeners": [{"name": "doh"}, {"name": "p", "protocol": "DoHPlaintext"}]});
    assert_ne!(valid(plain).startup(), base);
}

#[test]
fn the_objects_are_those_that_are_wanted() {
    let resolver = valid(json!({"replicas": 2, "cache": {"size": "64Mi"}}));
    let (certified, authority) = certified(&resolver, &Dereferenced::default());
    let serving = certified.serving.clone().unwrap().unwrap();
    let write = Write {
        config: true,
        certificate: Some(&serving.pem),
    };
    let ca = &authority.pem().certificate;
    let Resources {
        deployment,
        services,
        files,
        authority,
        secrets,
        ..
    } = build(&resolver, &certified, ca, &settings(), write, true);
    let deployment = serde_json::to_value(deployment.unwrap()).unwrap();
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(
        deployment["metadata"]["ownerReferences"][0]["controller"],
        true
    );
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(pod["terminationGracePeriodSeconds"], 40);
    let container = &pod["containers"][0];
    assert_eq!(
        container["securityContext"]["capabilities"]["drop"],
        json!(["ALL"])
    );
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(
        container["securityContext"]["allowPrivilegeEscalation"],
        false
    );
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
    assert_eq!(container["resources"]["requests"]["memory"], "192Mi");
    let service = serde_json::to_value(&services[0]).unwrap();
    assert_eq!(service["spec"]["ports"][0]["port"], 443);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "doh");
    let names: Vec<_> = secrets
        .iter()
        .filter_map(|it| it.metadata.name.as_deref())
        .collect();
    assert_eq!(names, ["home-admin", "home-ca"]);
    assert_eq!(
        authority.unwrap().data.unwrap().keys().collect::<Vec<_>>(),
        ["ca.crt"]
    );
    let config = files.config.unwrap().data.unwrap()["config.json"].clone();
    assert_eq!(config, resolver.config.canonical_json());
}

#[test]
fn what_is_there_and_good_is_kept() {
    let resolver = valid(json!({}));
    let admin_authority = Authority::generate("operator", NOW).unwrap();
    let first = certify(&resolver, &Dereferenced::default(), &admin_authority, NOW).unwrap();
    let ca = &admin_authority.pem().certificate;
    let write = Write::default();
    let Resources { secrets, .. } = build(&resolver, &first, ca, &settings(), write, true);
    let found = Dereferenced {
        admin: Some(secrets[0].clone()),
        authority: Some(secrets[1].clone()),
        ..Dereferenced::default()
    };
    let again = certify(&resolver, &found, &admin_authority, NOW).unwrap();
    assert_eq!(again.admin, first.admin);
    let fingerprint = |it: &Certified| it.serving.clone().unwrap().unwrap().fingerprint;
    assert_eq!(fingerprint(&again), fingerprint(&first));
    // After two thirds of its life it is renewed, by the same authority.
    let later = UnixSeconds(NOW.0 + 61 * 86_400);
    let renewed = certify(&resolver, &found, &admin_authority, later).unwrap();
    assert_ne!(fingerprint(&renewed), fingerprint(&first));
    let own = |it: &Certified| it.own.clone().unwrap().authority;
    assert_eq!(own(&renewed), own(&first));
    // And at once when a host name is added.
    let tls = json!({"listeners": [{"name": "doh", "tls": {"hostnames": ["dns.example.org"]}}]});
    let renamed = certify(&valid(tls), &found, &admin_authority, NOW).unwrap();
    assert!(renamed.serving.unwrap().unwrap().covers("dns.example.org"));
}

#[test]
fn a_missing_secret_is_said_so() {
    let tls = json!({"certificate": {"secretRef": {"name": "dns-tls"}}});
    let resolver = valid(json!({"listeners": [{"name": "doh", "tls": tls}]}));
    let (certified, _) = certified(&resolver, &Dereferenced::default());
    let fault = certified.serving.unwrap().unwrap_err();
    assert_eq!(
        fault,
        CertificateFault::SecretNotFound("dns-tls".to_owned())
    );
    assert!(certified.own.is_none());
}

fn pods(ready: usize) -> Vec<PodView> {
    (0..3)
        .map(|index| PodView {
            name: format!("home-{index}"),
            uid: index.to_string(),
            address: Some([10, 0, 0, 1].into()),
            ready: index < ready,
            running: true,
            ending: false,
            restarts: 0,
            startup: String::new(),
        })
        .collect()
}

fn observe(progress: Progress, ready: i32, certificate_fault: bool) -> ResolverStatus {
    let resolver = valid(json!({}));
    let (certified, _) = certified(&resolver, &Dereferenced::default());
    let fault = Err(CertificateFault::KeyMismatch);
    let serving = certified.serving.as_ref();
    let pushed = Pushed {
        pods: Vec::new(),
        progress,
        config_accepted: true,
        certificate_accepted: true,
        again: None,
    };
    let view = DeploymentView {
        observed: true,
        replicas: 3,
        updated: 3,
        ready,
    };
    let observed = Observed {
        resolver: &resolver,
        certificate: if certificate_fault {
            Some(&fault)
        } else {
            serving
        },
        pushed: &pushed,
        accepted_revision: Some("sha256:1"),
        pods: &pods(usize::try_from(ready).unwrap()),
        deployment: Some(view),
    };
    status(&observed, Some(3), &ResolverStatus::default(), NOW)
}

fn conditions(status: &ResolverStatus) -> Vec<String> {
    let all = status.conditions.iter();
    all.map(|it| format!("{}={} {}", it.type_, it.status, it.reason))
        .collect()
}

#[test]
fn conditions_follow_kstatus() {
    let well = observe(Progress::Accepted, 3, false);
    let all = ["Available", "CertificateReady", "ConfigAccepted", "Ready"];
    assert_eq!(
        conditions(&well),
        all.map(|it| format!("{it}=True AsSpecified"))
    );
    assert_eq!(well.ready_pods.as_deref(), Some("3/3"));
    assert_eq!(well.endpoints, ["https://home.dns.svc/dns-query{?dns}"]);
    assert_eq!(well.observed_generation, Some(3));

    let starting = observe(Progress::Accepted, 1, false);
    assert!(conditions(&starting).contains(&"Reconciling=True PodsNotReady".to_owned()));
    assert!(conditions(&starting).contains(&"Ready=False PodsNotReady".to_owned()));

    let refused = observe(
        Progress::Rejected("pod home-0 says: no".to_owned()),
        3,
        false,
    );
    assert!(conditions(&refused).contains(&"ConfigAccepted=False Rejected".to_owned()));
    assert!(conditions(&refused).contains(&"Stalled=True Rejected".to_owned()));
    assert!(
        refused
            .conditions
            .iter()
            .any(|it| it.message == "pod home-0 says: no")
    );

    let watching = observe(Progress::Watching("w".to_owned()), 3, false);
    assert!(conditions(&watching).contains(&"Reconciling=True CanaryWindow".to_owned()));

    let mismatch = observe(Progress::Accepted, 3, true);
    assert!(conditions(&mismatch).contains(&"CertificateReady=False KeyMismatch".to_owned()));
    assert!(conditions(&mismatch).contains(&"Stalled=True KeyMismatch".to_owned()));
}

#[test]
fn a_spec_that_cannot_be_used_keeps_what_is_known() {
    let before = observe(Progress::Accepted, 3, false);
    let problems = validate(&resolver(json!({"cache": {"size": "1"}})), POD).unwrap_err();
    let after = invalid(&problems, Some(4), &before, UnixSeconds(NOW.0 + 60));
    assert_eq!(after.revision, before.revision);
    assert!(conditions(&after).contains(&"Stalled=True InvalidSpec".to_owned()));
    assert!(conditions(&after).contains(&"Available=True AsSpecified".to_owned()));
    let told = events(&before, &after);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].reason, "InvalidSpec");
    assert!(told[0].note.as_ref().unwrap().contains("spec.cache.size"));
    assert!(events(&before, &before).is_empty());
}

#[test]
fn render_needs_no_cluster() {
    let manifest = "apiVersion: weir.dev/v1alpha1\nkind: Resolver\nmetadata: {name: home}\nspec: {cache: {size: 64Mi}}\n";
    let objects = render::objects(manifest, &settings()).unwrap();
    for kind in [
        "ServiceAccount",
        "Secret",
        "ConfigMap",
        "Service",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Deployment",
    ] {
        assert!(objects.contains(&format!("\nkind: {kind}\n")), "no {kind}");
    }
    let document = weir_config::DataplaneConfig::read(&render::config(manifest).unwrap()).unwrap();
    assert_eq!(document.cache.size, 64 << 20);
    assert!(document.admin.is_none() && document.listeners[0].tls.is_none());
    assert!(document.listeners[0].address.ip().is_loopback());
    let fault = render::config("kind: Service\n").unwrap_err().to_string();
    assert!(fault.contains("this is Service, not a Resolver"), "{fault}");
}
