#!/usr/bin/env bash
# Builds the data plane and the standard library for AddressSanitizer, then for ThreadSanitizer, and lets the tests of
# sockets and threads and a storm go over it, then the unit tests of resolver, data plane and configuration. A data plane
# is told to end and has to end by itself, because leaks are looked for as a process ends. What a sanitizer has to say
# is a file below target/sanitize/SANITIZER/reports, and fails. `make sanitize` calls this.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
if [ $# -gt 0 ]; then sanitizers=("$@"); else sanitizers=(address thread); fi
# No step may hang: all of it takes about forty minutes of two cores, most of it for building.
bounded() { timeout --kill-after=30 "$@"; }
for sanitizer in "${sanitizers[@]}"; do
  folder=$PWD/target/sanitize/$sanitizer
  reports=$folder/reports
  rm -rf "$reports"
  mkdir -p "$reports"
  # A target of its own, without the static C library that the release is built with: sanitizers replace that.
  nightly() {
    bounded 3600 env -u CARGO_BUILD_TARGET RUSTFLAGS="-Zsanitizer=$sanitizer" CARGO_PROFILE_DEV_OPT_LEVEL=1 \
      RUSTUP_TOOLCHAIN=nightly cargo "$@" -Zbuild-std --target "$host" --target-dir "$folder"
  }
  nightly build -p weir-dataplane --features system-allocator
  units=(-p weir-resolver -p weir-dataplane -p weir-config --lib)
  nightly test "${units[@]}" --no-run
  export ASAN_OPTIONS=log_path=$reports/report:detect_leaks=1
  export TSAN_OPTIONS=log_path=$reports/report:halt_on_error=0
  # Names the data plane of the tests, which then is given half a minute to end.
  export WEIR_DATAPLANE=$folder/$host/debug/weir-dataplane
  for test in workers lifecycle_sockets; do
    bounded 600 cargo test --release -p weir-tests --test "$test"
  done
  # Shadow memory grows with the storm, so that only reports and counts are looked at here.
  bounded 600 cargo run --release -p weir-tests --bin storm -- --rounds 1 --streams 30000 --warm-up 10000 --growth-max 1000
  unset WEIR_DATAPLANE
  nightly test "${units[@]}"
  unset ASAN_OPTIONS TSAN_OPTIONS
  if [ -n "$(ls -A "$reports")" ]; then
    head -n 60 "$reports"/*
    echo "$sanitizer: reports are in $reports" >&2
    exit 1
  fi
  echo "$sanitizer: no report"
done
