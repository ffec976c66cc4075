package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
)

// clusterDNS is CoreDNS as the cluster's own name server.
//
//go:embed manifests/cluster-dns.yaml
var clusterDNS string

// processFlags are the arguments of each process of the cluster.
func processFlags(name string) []string {
	pki := func(file string) string { return state("pki", file) }
	switch name {
	case "etcd":
		return []string{
			"--data-dir=" + state("etcd"),
			"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380",
			// Nothing here outlives a crash, so nothing waits for the disk.
			"--unsafe-no-fsync",
		}
	case "kube-apiserver":
		return []string{
			"--etcd-servers=http://127.0.0.1:2379",
			"--advertise-address=" + nodeAddress, "--bind-address=0.0.0.0", "--secure-port=6443",
			"--service-cluster-ip-range=" + serviceRange,
			"--authorization-mode=Node,RBAC", "--allow-privileged=true",
			"--client-ca-file=" + pki("ca.crt"),
			"--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
			"--kubelet-client-certificate=" + pki("admin.crt"), "--kubelet-client-key=" + pki("admin.key"),
			// The node's name resolves nowhere; logs, exec and port-forward go to its address.
			"--kubelet-preferred-address-types=InternalIP",
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + pki("service-account.pub"),
			"--service-account-signing-key-file=" + pki("service-account.key"),
			"--requestheader-client-ca-file=" + pki("ca.crt"),
			"--proxy-client-cert-file=" + pki("admin.crt"), "--proxy-client-key-file=" + pki("admin.key"),
		}
	case "kube-controller-manager":
		return []string{
			"--kubeconfig=" + state("controller-manager.conf"),
			"--service-account-private-key-file=" + pki("service-account.key"),
			"--root-ca-file=" + pki("ca.crt"), "--use-service-account-credentials",
			"--cluster-signing-cert-file=" + pki("ca.crt"), "--cluster-signing-key-file=" + pki("ca.key"),
			"--leader-elect=false",
		}
	case "kube-scheduler":
		return []string{"--kubeconfig=" + state("scheduler.conf"), "--leader-elect=false"}
	case "kubelet":
		return []string{
			"--kubeconfig=" + state("kubelet.conf"), "--config=" + state("kubelet.yaml"),
			"--hostname-override=" + nodeName, "--node-ip=" + nodeAddress, "--root-dir=" + state("kubelet"),
		}
	case "kube-proxy":
		return []string{
			"--kubeconfig=" + state("proxy.conf"), "--proxy-mode=nftables", "--hostname-override=" + nodeName,
			"--cluster-cidr=" + podRange,
			// These tables belong to the whole machine; the cluster leaves them alone.
			"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
		}
	case "containerd":
		return []string{"--config", state("containerd.toml")}
	}
	return nil
}

// writeNodeFiles writes the configuration of containerd, of the pod network and of the kubelet.
func writeNodeFiles() error {
	files := map[string]string{
		state("containerd.toml"): fmt.Sprintf(`version = 2
root = %q
state = %q
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  restrict_oom_score_adj = true
  disable_apparmor = true
  # The pods' namespaces then lie under this cluster's folder, where it finds them again to remove them.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = %q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
`, state("containerd"), filepath.Join(runtimeFolder, "containerd"), containerdSocket(), imageName("pause", pinnedTag), state("cni")),
		state("cni", "10-pods.conflist"): fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
`, state("addresses"), podRange),
		state("kubelet.yaml"): fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %q}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
clusterDNS: [%q]
clusterDomain: cluster.local
containerRuntimeEndpoint: %q
oomScoreAdj: 0
resolvConf: ""
tlsCertFile: %q
tlsPrivateKeyFile: %q
evictionHard: {memory.available: 100Mi, nodefs.available: "1%%", imagefs.available: "1%%", nodefs.inodesFree: "1%%"}
imageGCHighThresholdPercent: 100
serializeImagePulls: false
localStorageCapacityIsolation: false
# Mounted Secrets and ConfigMaps follow a change within seconds, as the tests of rotation need.
syncFrequency: 5s
configMapAndSecretChangeDetectionStrategy: Watch
`, state("pki", "ca.crt"), dnsService, "unix://"+containerdSocket(), state("pki", "kubelet.crt"), state("pki", "kubelet.key")),
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
