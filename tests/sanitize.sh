#!/usr/bin/env bash
# Builds the data plane and the standard library for AddressSanitizer, then for ThreadSanitizer, and lets the tests of
# sockets and threads go over it; then the unit tests of both crates. What a sanitizer has to say is a file below
# target/sanitize/SANITIZER/reports, and fails. `make sanitize` calls this.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
sanitizers=(${1:-address thread})
for sanitizer in "${sanitizers[@]}"; do
  folder=$PWD/target/sanitize/$sanitizer
  reports=$folder/reports
  rm -rf "$reports"
  mkdir -p "$reports"
  # A target of its own, without the static C library that the release is built with: sanitizers replace that.
  nightly() {
    env -u CARGO_BUILD_TARGET RUSTFLAGS="-Zsanitizer=$sanitizer" CARGO_PROFILE_DEV_OPT_LEVEL=1 RUSTUP_TOOLCHAIN=nightly \
      cargo "$@" -Zbuild-std --target "$host" --target-dir "$folder"
  }
  nightly build -p weir-dataplane --features system-allocator
  export WEIR_DATAPLANE=$folder/$host/debug/weir-dataplane
  export ASAN_OPTIONS=log_path=$reports/report:detect_leaks=1
  export TSAN_OPTIONS=log_path=$reports/report:halt_on_error=0
  for test in workers lifecycle_sockets; do
    cargo test --release -p weir-tests --test "$test"
  done
  # Shadow memory grows with the storm, so that only reports are looked at here.
  cargo run --release -p weir-tests --bin storm -- --streams 30000 --warm-up 10000 --growth-max 1000 || true
  unset WEIR_DATAPLANE
  nightly test -p weir-dataplane -p weir-resolver --lib
  unset ASAN_OPTIONS TSAN_OPTIONS
  if [ -n "$(ls -A "$reports")" ]; then
    head -n 60 "$reports"/*
    echo "$sanitizer: reports are in $reports" >&2
    exit 1
  fi
  echo "$sanitizer: no report"
done
