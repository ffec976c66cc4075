//! The structure of the repository, read from its files.
//!
//! Owns the walk over source files and the graph of imports inside a crate. Never judges: `tests/tidy.rs`
//! holds the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Every file below `folder` whose name ends in one of `endings`, sorted; build output and hidden
/// folders are left out.
///
/// # Errors
/// When a folder cannot be read.
pub fn files(folder: &Path, endings: &[&str]) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "book" {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The part of a source file before its unit tests.
#[must_use]
pub fn without_tests(source: &str) -> &str {
    source
        .find("\n#[cfg(test)]\nmod tests")
        .map_or(source, |end| source.get(..end).unwrap_or(source))
}

/// The modules of one crate and which of them import which, by path without `crate::`.
#[derive(Debug, Default)]
pub struct ImportGraph {
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl ImportGraph {
    /// Reads the crate whose sources lie in `source_folder`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(source_folder: &Path) -> std::io::Result<Self> {
        let mut modules = BTreeMap::new();
        for file in files(source_folder, &[".rs"])? {
            let relative = file
                .strip_prefix(source_folder)
                .unwrap_or(&file)
                .with_extension("");
            let module = relative.to_string_lossy().replace('/', "::");
            if module != "lib" && module != "main" && !module.starts_with("bin::") {
                modules.insert(module, std::fs::read_to_string(&file)?);
            }
        }
        // Modules that only tests compile are no rooms of the house.
        let test_only: Vec<String> = modules
            .keys()
            .filter(|module| is_test_only(module, &modules))
            .cloned()
            .collect();
        modules.retain(|module, _| !test_only.contains(module));
        let mut graph = Self::default();
        for (module, source) in &modules {
            let imports = imported_paths(without_tests(source))
                .filter_map(|path| longest_module(&path, &modules))
                .filter(|imported| imported != module)
                .collect();
            graph.imports.insert(module.clone(), imports);
        }
        Ok(graph)
    }

    /// How many modules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.imports.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.imports.is_empty()
    }

    /// Child files that import their own parent, as `child -> parent`.
    #[must_use]
    pub fn upward_imports(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (module, imports) in &self.imports {
            for imported in imports {
                if module.starts_with(&format!("{imported}::")) {
                    found.push(format!("{module} -> {imported}"));
                }
            }
        }
        found
    }

    /// One import circle, as the modules on it, if there is any.
    #[must_use]
    pub fn circle(&self) -> Option<Vec<String>> {
        let mut done = BTreeSet::new();
        for start in self.imports.keys() {
            let mut path: Vec<(String, Vec<String>)> = vec![(start.clone(), self.next(start))];
            while let Some((module, rest)) = path.last_mut() {
                let module = module.clone();
                let Some(next) = rest.pop() else {
                    done.insert(module);
                    path.pop();
                    continue;
                };
                if let Some(at) = path.iter().position(|(on_path, _)| *on_path == next) {
                    return Some(path.drain(at..).map(|(module, _)| module).collect());
                }
                if !done.contains(&next) {
                    let after = self.next(&next);
                    path.push((next, after));
                }
            }
        }
        None
    }

    fn next(&self, module: &str) -> Vec<String> {
        self.imports
            .get(module)
            .map(|imports| imports.iter().cloned().collect())
            .unwrap_or_default()
    }
}

/// Whether the parent declares a module under `cfg(test)`.
fn is_test_only(module: &str, modules: &BTreeMap<String, String>) -> bool {
    let Some((parent, name)) = module.rsplit_once("::") else {
        return false;
    };
    modules.get(parent).is_some_and(|source| {
        source.split("#[cfg(test)]").skip(1).any(|after| {
            let line = after.trim_start().lines().next().unwrap_or_default();
            line.ends_with(&format!("mod {name};"))
        })
    })
}

/// The paths after `use crate::` in a source, groups in braces taken apart one level deep.
fn imported_paths(source: &str) -> impl Iterator<Item = String> {
    let mut paths = Vec::new();
    for statement in source.split(';') {
        let Some(at) = statement.find("use crate::") else {
            continue;
        };
        let compact: String = statement
            .get(at + 11..)
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        match compact.split_once('{') {
            Some((prefix, group)) => {
                for item in group.trim_end_matches('}').split(',') {
                    paths.push(format!("{prefix}{item}"));
                }
            }
            None => paths.push(compact),
        }
    }
    paths.into_iter()
}

/// The longest module that is a prefix of an imported path.
fn longest_module(path: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let mut candidate = path.trim_end_matches("::");
    loop {
        if modules.contains_key(candidate) {
            return Some(candidate.to_owned());
        }
        candidate = candidate.rsplit_once("::")?.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(imports: &[(&str, &[&str])]) -> ImportGraph {
        let to_set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ImportGraph {
            imports: imports
                .iter()
                .map(|(name, names)| ((*name).to_owned(), to_set(names)))
                .collect(),
        }
    }

    #[test]
    fn finds_circles_and_upward_imports() {
        assert_eq!(graph(&[("a", &["b"]), ("b", &[])]).circle(), None);
        assert!(
            graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"])])
                .circle()
                .is_some()
        );
        assert_eq!(
            graph(&[("a::b", &["a"]), ("a", &[])]).upward_imports(),
            ["a::b -> a"]
        );
    }

    #[test]
    fn reads_groups() {
        let source = "use crate::a::{B, C};\nuse crate::d;\nuse std::e;";
        assert_eq!(
            imported_paths(source).collect::<Vec<_>>(),
            ["a::B", "a::C", "d"]
        );
    }
}
