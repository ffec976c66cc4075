//! Writes the files made from the types of `weir-crds`, or says which are not current.
//!
//! `crdgen` writes `crds/resolver.yaml` and `docs/src/resolver-reference.md` below the current
//! folder; `crdgen --check` writes nothing and fails when one of them differs.

use std::path::Path;
use std::process::ExitCode;

use weir_crds::generate::{GenerateFault, crd_yaml, reference};

/// A file and what it should hold.
type Made = (&'static str, String);

fn main() -> ExitCode {
    let check = std::env::args().any(|argument| argument == "--check");
    match made()
        .map_err(|fault| fault.to_string())
        .and_then(|files| run(&files, check))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say(&message);
            ExitCode::FAILURE
        }
    }
}

fn made() -> Result<Vec<Made>, GenerateFault> {
    Ok(vec![
        ("crds/resolver.yaml", crd_yaml()?),
        ("docs/src/resolver-reference.md", reference()?),
    ])
}

fn run(files: &[Made], check: bool) -> Result<(), String> {
    for (path, text) in files {
        let path = Path::new(path);
        if std::fs::read_to_string(path).is_ok_and(|current| current == *text) {
            continue;
        }
        if check {
            return Err(format!("{} is not current: run crdgen", path.display()));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|fault| format!("{} cannot be made: {fault}", folder.display()))?;
        }
        std::fs::write(path, text)
            .map_err(|fault| format!("{} cannot be written: {fault}", path.display()))?;
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// A tool for the terminal speaks on standard error.
#[allow(clippy::print_stderr)]
fn say(message: &str) {
    eprintln!("{message}");
}
