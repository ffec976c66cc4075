#!/usr/bin/env bash
# Runs every test of the workspace inside the test cluster's network namespace, where the tests on the real
# Kubernetes reach it and no test reaches anything else. `make test` calls this after it has built all.
set -euo pipefail
cluster=$1
images=$2
missing=()
for pair in kdig:knot-dnsutils curl:curl dnsperf:dnsperf nsd:nsd named:bind9 \
  dnssec-signzone:bind9-utils knotd:knot unbound:unbound ip:iproute2 unshare:util-linux; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing Debian packages: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi
# Nothing is to be had inside the namespace, so what the tests start is built before.
"$cluster" path collector >/dev/null
for program in helm4 helm3 h2spec kubectl; do
  export "WEIR_${program^^}=$("$cluster" path "$program")"
done
WEIR_CLUSTER_TOOL=$(realpath "$cluster")
WEIR_CLUSTER=$("$cluster" kubeconfig)
WEIR_ROOT=$("$cluster" internet weir-internet)
WEIR_ANCHOR=$("$cluster" anchor)
WEIR_OPERATOR_IMAGE=$("$cluster" load-image operator/Containerfile "$images/weir-operator" weir-operator)
WEIR_DATAPLANE_IMAGE=$("$cluster" load-image dataplane/Containerfile "$images/weir-dataplane" weir-dataplane)
export WEIR_CLUSTER_TOOL WEIR_CLUSTER WEIR_ROOT WEIR_ANCHOR WEIR_OPERATOR_IMAGE WEIR_DATAPLANE_IMAGE
"$cluster" exec cargo test --release --workspace --offline --no-fail-fast
