//! Weir, Unbound and BIND asked the same questions in an internet on loopback, in short.
//!
//! The whole of it is `cargo run --release -p weir-tests --bin internet -- --questions 20000`.

use std::process::Command;

#[test]
fn weir_differs_nowhere_that_unbound_and_bind_agree() {
    let program = weir_tests::program("internet").unwrap();
    let output = Command::new(program)
        .args(["--questions", "1000", "--zones", "44"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("asked 1000,"), "{text}");
}
