//! The chart: what it renders with Helm 4 and 3, what its schema refuses, and that it agrees with the CRD.
//!
//! Tests that run Helm say that they are skipped unless `make test` says where Helm is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use weir_tests::cluster::announce;
use weir_tests::cluster::helm::{Helm, chart};

const VERSIONS: [Helm; 2] = [Helm::Four, Helm::Three];

/// The objects that a release with these values would have, or Helm's complaint.
async fn render(helm: Helm, values: &[&str]) -> Result<Vec<Value>> {
    let chart = chart();
    let mut arguments = vec!["template", "weir", &chart, "--kube-version", "1.34.4"];
    for value in values {
        arguments.extend(["--set", value]);
    }
    let text = helm.run(&arguments).await?;
    let documents = text
        .split("\n---")
        .filter(|document| document.contains("kind:"));
    documents
        .map(|document| Ok(serde_saphyr::from_str(document)?))
        .collect()
}

fn kinds(objects: &[Value]) -> BTreeSet<&str> {
    objects
        .iter()
        .filter_map(|object| object["kind"].as_str())
        .collect()
}

fn helm_is_there() -> bool {
    let there = std::env::var("WEIR_HELM4").is_ok() && std::env::var("WEIR_HELM3").is_ok();
    if !there {
        announce("skipped: WEIR_HELM4 and WEIR_HELM3 are not set; `make test` builds them");
    }
    there
}

#[test]
fn the_crd_of_the_chart_is_the_generated_one() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let generated = fs::read_to_string(root.join("crds/resolver.yaml"))?;
    let copied = fs::read_to_string(root.join("charts/weir/files/resolver.yaml"))?;
    ensure!(
        generated == copied,
        "the chart's CRD is not current: cp crds/resolver.yaml charts/weir/files/resolver.yaml"
    );
    Ok(())
}

#[test]
fn the_schema_names_every_value_and_no_other() -> Result<()> {
    let chart = chart();
    let values: Value =
        serde_saphyr::from_str(&fs::read_to_string(format!("{chart}/values.yaml"))?)?;
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(format!("{chart}/values.schema.json"))?)?;
    compare("", &values, &schema, &schema)
}

/// Compares the keys of the values with the properties of the schema, all the way down.
fn compare(path: &str, values: &Value, schema: &Value, root: &Value) -> Result<()> {
    let schema = match schema["$ref"]
        .as_str()
        .and_then(|name| name.strip_prefix("#/"))
    {
        Some(pointer) => root
            .pointer(&format!("/{pointer}"))
            .context("a $ref that leads nowhere")?,
        None => schema,
    };
    let (Some(values), Some(properties)) = (values.as_object(), schema["properties"].as_object())
    else {
        return Ok(());
    };
    ensure!(
        schema["additionalProperties"] == Value::Bool(false),
        "{path} accepts any key"
    );
    // `global` is what a parent chart may hand down; it has no default.
    let named: BTreeSet<_> = properties.keys().filter(|key| *key != "global").collect();
    let given: BTreeSet<_> = values.keys().collect();
    ensure!(
        named == given,
        "{path}: the schema has {named:?}, values.yaml has {given:?}"
    );
    for (key, value) in values {
        compare(&format!("{path}/{key}"), value, &properties[key], root)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_release_has_its_objects() -> Result<()> {
    if !helm_is_there() {
        return Ok(());
    }
    for helm in VERSIONS {
        let objects = render(helm, &["image.registry=registry.example.org/dns"]).await?;
        let expected = BTreeSet::from([
            "ClusterRole",
            "ClusterRoleBinding",
            "CustomResourceDefinition",
            "Deployment",
            "NetworkPolicy",
            "Pod",
            "Resolver",
            "Role",
            "RoleBinding",
            "Service",
            "ServiceAccount",
        ]);
        assert_eq!(kinds(&objects), expected, "{helm:?}");
        let crd = objects
            .iter()
            .find(|object| object["kind"] == "CustomResourceDefinition");
        let kept = &crd.context("no CRD")?["metadata"]["annotations"]["helm.sh/resource-policy"];
        assert_eq!(kept, "keep", "{helm:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_crd_can_be_left_out_and_need_not_be_kept() -> Result<()> {
    if !helm_is_there() {
        return Ok(());
    }
    for helm in VERSIONS {
        let without = render(helm, &["image.registry=r", "crds.enabled=false"]).await?;
        assert!(
            !kinds(&without).contains("CustomResourceDefinition"),
            "{helm:?}"
        );
        let objects = render(helm, &["image.registry=r", "crds.keep=false"]).await?;
        let crd = objects
            .iter()
            .find(|object| object["kind"] == "CustomResourceDefinition");
        let annotations = &crd.context("no CRD")?["metadata"]["annotations"];
        assert!(
            annotations["helm.sh/resource-policy"].is_null(),
            "{helm:?}: {annotations}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_pod_meets_the_restricted_standard() -> Result<()> {
    if !helm_is_there() {
        return Ok(());
    }
    for helm in VERSIONS {
        let objects = render(helm, &["image.registry=r"]).await?;
        let mut pods = 0;
        for object in &objects {
            let pod = match object["kind"].as_str() {
                Some("Deployment") => &object["spec"]["template"]["spec"],
                Some("Pod") => &object["spec"],
                _ => continue,
            };
            pods += 1;
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(
                pod["securityContext"]["seccompProfile"]["type"],
                "RuntimeDefault"
            );
            for container in pod["containers"]
                .as_array()
                .context("a pod without containers")?
            {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false);
                assert_eq!(context["readOnlyRootFilesystem"], true);
                assert_eq!(context["capabilities"]["drop"][0], "ALL");
                assert!(!container["resources"]["limits"]["memory"].is_null());
            }
        }
        assert_eq!(pods, 2, "{helm:?}: the operator and the test");
    }
    Ok(())
}

#[tokio::test]
async fn a_namespaced_release_gets_rights_only_there() -> Result<()> {
    if !helm_is_there() {
        return Ok(());
    }
    for helm in VERSIONS {
        let objects = render(
            helm,
            &["image.registry=r", "operator.watchNamespaces={blue,green}"],
        )
        .await?;
        assert!(!kinds(&objects).contains("ClusterRoleBinding"), "{helm:?}");
        let bound: BTreeSet<_> = objects
            .iter()
            .filter(|object| {
                object["kind"] == "RoleBinding" && object["roleRef"]["kind"] == "ClusterRole"
            })
            .filter_map(|object| object["metadata"]["namespace"].as_str())
            .collect();
        assert_eq!(bound, BTreeSet::from(["blue", "green"]), "{helm:?}");
    }
    Ok(())
}

#[tokio::test]
async fn wrong_values_are_refused_with_what_to_change() -> Result<()> {
    if !helm_is_there() {
        return Ok(());
    }
    let cases: [(&[&str], &str); 6] = [
        (&[], "image.registry: name the registry"),
        (&["image.registry=r", "operator.replcias=2"], "replcias"),
        (
            &["image.registry=r", "image.pullPolicy=Sometimes"],
            "pullPolicy",
        ),
        (
            &["image.registry=r", "operator.image.digest=sha256:12"],
            "digest",
        ),
        (
            &["image.registry=r", "serviceAccount.create=false"],
            "serviceAccount.name: name the ServiceAccount",
        ),
        (
            &["image.registry=r", "podMonitor.enabled=true"],
            "podMonitor.enabled: this cluster has no PodMonitor",
        ),
    ];
    for helm in VERSIONS {
        for (values, expected) in cases {
            let Err(complaint) = render(helm, values).await else {
                panic!("{helm:?} accepts {values:?}");
            };
            let complaint = format!("{complaint:#}");
            assert!(
                complaint.contains(expected),
                "{helm:?} {values:?}: {complaint}"
            );
        }
    }
    Ok(())
}
