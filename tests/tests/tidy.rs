//! The rules of the house, checked on every file: sizes, openings, import order, crate borders, words.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use weir_tests::tidy::{ImportGraph, files, root, without_tests};

/// Where Rust sources lie, tests apart.
const CRATES: [&str; 6] = [
    "crds",
    "operator",
    "dataplane",
    "dataplane/config",
    "dataplane/resolver",
    "tests",
];

fn sources() -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    for name in CRATES {
        for file in files(&root().join(name).join("src"), &[".rs"]).unwrap() {
            let text = std::fs::read_to_string(&file).unwrap();
            sources.push((file, text));
        }
    }
    assert!(sources.len() > 40, "only {} sources found", sources.len());
    sources
}

fn assert_none(offenders: &[String], rule: &str) {
    assert!(
        offenders.is_empty(),
        "{rule}:\n  {}",
        offenders.join("\n  ")
    );
}

#[test]
fn files_own_one_thing() {
    let offenders: Vec<String> = sources()
        .iter()
        .map(|(file, text)| (file, without_tests(text).lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .map(|(file, lines)| format!("{} has {lines} lines", file.display()))
        .collect();
    assert_none(
        &offenders,
        "a file has at most 500 lines without its unit tests; split it by verb",
    );
}

#[test]
fn files_open_with_their_purpose() {
    let offenders: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(file, _)| file.display().to_string())
        .collect();
    assert_none(
        &offenders,
        "a file opens with `//!`: what it owns, what it never does",
    );
}

#[test]
fn modules_are_named_files() {
    let offenders: Vec<String> = sources()
        .iter()
        .filter(|(file, _)| file.ends_with("mod.rs"))
        .map(|(file, _)| file.display().to_string())
        .collect();
    assert_none(
        &offenders,
        "a module is `name.rs` with `name/` beside it, never `mod.rs`",
    );
}

#[test]
fn imports_neither_circle_nor_point_up() {
    for name in CRATES {
        let graph = ImportGraph::read(&root().join(name).join("src")).unwrap();
        assert!(name == "tests" || !graph.is_empty(), "{name} has no module");
        assert_eq!(graph.circle(), None, "import circle in {name}");
        assert_none(
            &graph.upward_imports(),
            &format!("a child of {name} imports its parent"),
        );
    }
}

/// Which crates of the project, and which foreign crates of note, each crate must not depend on.
const BORDERS: [(&str, &[&str]); 5] = [
    (
        "weir-resolver",
        &[
            "tokio",
            "mio",
            "socket2",
            "h2",
            "hyper",
            "rustls",
            "kube",
            "weir-config",
            "weir-crds",
        ],
    ),
    (
        "weir-config",
        &[
            "tokio",
            "kube",
            "k8s-openapi",
            "h2",
            "rustls",
            "weir-resolver",
            "weir-crds",
        ],
    ),
    (
        "weir-crds",
        &["tokio", "h2", "rustls", "weir-config", "weir-resolver"],
    ),
    (
        "weir-dataplane",
        &["kube", "k8s-openapi", "weir-crds", "weir-operator"],
    ),
    (
        "weir-operator",
        &["hickory-proto", "weir-resolver", "weir-dataplane"],
    ),
];

#[test]
fn crates_keep_their_borders() {
    // What is for other platforms alone was never downloaded on a machine that is new.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", &platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            (
                package["id"].as_str().unwrap(),
                package["name"].as_str().unwrap(),
            )
        })
        .collect();
    let nodes: BTreeMap<&str, &serde_json::Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["id"].as_str().unwrap(), node))
        .collect();
    for (krate, banned) in BORDERS {
        let start = names.iter().find(|(_, name)| **name == krate).unwrap().0;
        let mut seen = std::collections::BTreeSet::new();
        let mut open = vec![*start];
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            for dependency in nodes[id]["deps"].as_array().unwrap() {
                let normal = dependency["dep_kinds"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|kind| kind["kind"].is_null());
                if normal {
                    open.push(dependency["pkg"].as_str().unwrap());
                }
            }
        }
        let found: Vec<&&str> = seen
            .iter()
            .map(|id| &names[id])
            .filter(|name| banned.contains(name))
            .collect();
        // Features of other crates of the workspace are unified in `cargo metadata`, so what only
        // they switch on is looked up in the crate's own manifest as well.
        let manifest =
            std::fs::read_to_string(root().join(folder_of(krate)).join("Cargo.toml")).unwrap();
        for name in found {
            assert!(
                !manifest.contains(&format!("\n{name}")),
                "{krate} depends on {name}"
            );
            assert!(
                name.starts_with("tokio") || krate != "weir-resolver",
                "{krate} reaches {name}"
            );
        }
        assert!(
            seen.len() > 3,
            "{krate} has hardly any dependency: the graph was not read"
        );
    }
}

fn folder_of(krate: &str) -> &'static str {
    match krate {
        "weir-resolver" => "dataplane/resolver",
        "weir-config" => "dataplane/config",
        "weir-crds" => "crds",
        "weir-dataplane" => "dataplane",
        _ => "operator",
    }
}

#[test]
fn the_core_sees_no_clock_socket_or_thread() {
    let banned = [
        "std::time::Instant",
        "SystemTime",
        "std::thread",
        "TcpStream",
        "UdpSocket",
        "tokio::",
        "rand::",
        "HashMap::new()",
        "RandomState",
    ];
    let folder = root().join("dataplane/resolver/src");
    let mut offenders = Vec::new();
    for file in files(&folder, &[".rs"]).unwrap() {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in banned {
            if without_tests(&text).contains(word) {
                offenders.push(format!("{}: {word}", file.display()));
            }
        }
    }
    assert_none(
        &offenders,
        "time, randomness and effects are handed to the core",
    );
}

#[test]
fn nothing_is_left_undone_or_local() {
    // Built from pieces, so that this file does not hold the words that it looks for.
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["#[ign", "ore"].concat(),
        ["crates", ".io/"].concat(),
        ["proxy.golang", ".org"].concat(),
        ["/wo", "rk/"].concat(),
        ["pypi", ".org"].concat(),
        ["deb.debian", ".org"].concat(),
    ];
    let mut offenders = Vec::new();
    let endings = [
        ".rs",
        ".go",
        ".sh",
        ".md",
        ".yaml",
        ".yml",
        ".toml",
        ".tpl",
        "Makefile",
        "Containerfile",
    ];
    for file in files(&root(), &endings).unwrap() {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in words.iter().filter(|word| text.contains(word.as_str())) {
            offenders.push(format!(
                "{}: {word}",
                file.strip_prefix(root()).unwrap_or(&file).display()
            ));
        }
    }
    assert_none(&offenders, "finish it, or say in docs/ what is left");
}

#[test]
fn the_book_holds_what_its_summary_names() {
    let folder = root().join("docs/src");
    let summary = std::fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    let mut named = Vec::new();
    for link in summary.split("](").skip(1) {
        named.push(folder.join(link.split(')').next().unwrap()));
    }
    assert!(
        named.len() >= 10,
        "the summary names only {} pages",
        named.len()
    );
    for page in files(&folder, &[".md"]).unwrap() {
        let in_summary = named.contains(&page) || page.ends_with("SUMMARY.md");
        assert!(in_summary, "{} is not in SUMMARY.md", page.display());
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|link| link.split([')', '#']).next())
        {
            if !link.is_empty() && !link.contains(':') && !link.contains(' ') {
                let target = page.parent().unwrap().join(link);
                assert!(
                    target.exists(),
                    "{} links to {link}, which is not there",
                    page.display()
                );
            }
        }
    }
    for page in named {
        assert!(
            page.exists(),
            "SUMMARY.md names {}, which is not there",
            page.display()
        );
    }
}
