package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startupLimit bounds each wait of `up`.
const startupLimit = 90 * time.Second

// processNames are the cluster's processes in the order in which `down` stops them.
var processNames = []string{"kube-proxy", "kubelet", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd", "containerd"}

// up starts the cluster. One that runs already, from the same programs, is left as it is.
func up() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("a Kubernetes node needs root: run this as root, or give KUBECONFIG=... of a cluster that you have")
	}
	if err := installPackages(nodePackages); err != nil {
		return err
	}
	if err := build(clusterPrograms); err != nil {
		return err
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	wanted, err := fingerprint()
	if err != nil {
		return err
	}
	if running(wanted) {
		say("the cluster is up (logs in %s)", state("log"))
		return nil
	}
	if err := clean(); err != nil {
		return err
	}
	if err := bringUp(wanted); err != nil {
		return fmt.Errorf("%w\nlogs are in %s; `make cluster-down` removes what was started", err, state("log"))
	}
	return nil
}

func bringUp(wanted string) error {
	started := time.Now()
	for _, folder := range []string{"pki", "log", "pid", "etcd", "cni", "containerd", "kubelet"} {
		if err := os.MkdirAll(state(folder), 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(runtimeFolder, 0o711); err != nil {
		return err
	}
	say("starting Kubernetes in network namespace %s", namespaceName)
	for _, step := range []func() error{writeCredentials, makeNetwork, writeNodeFiles, startControlPlane, startNode} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := os.WriteFile(state("fingerprint"), []byte(wanted), 0o644); err != nil {
		return err
	}
	say("the node is ready after %s", time.Since(started).Round(100*time.Millisecond))
	return nil
}

// fingerprint names everything that decides what a running cluster is.
func fingerprint() (string, error) {
	var paths []string
	for _, name := range clusterPrograms {
		path, err := program(name)
		if err != nil {
			return "", err
		}
		paths = append(paths, path)
	}
	for _, name := range processNames {
		paths = append(paths, processFlags(name)...)
	}
	return strings.Join(append(paths, clusterDNS), "\n"), nil
}

func running(wanted string) bool {
	have, err := os.ReadFile(state("fingerprint"))
	if err != nil || string(have) != wanted {
		return false
	}
	for _, name := range processNames {
		record, found := readRecord(name)
		if !found || !record.alive() {
			return false
		}
	}
	return nodeReady()
}

func nodeReady() bool {
	ready, err := own.kubectl("get", "node", nodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	return err == nil && ready == "True"
}

// makeNetwork makes the namespace: the node's address on a bridge, and a default route that ends there, so
// that no packet of the cluster can leave the machine.
func makeNetwork() error {
	if _, err := quietly("ip", "netns", "add", namespaceName); err != nil {
		return err
	}
	for _, line := range []string{
		"ip link set lo up",
		"ip link add node0 type bridge",
		"ip addr add " + nodeAddress + "/32 dev node0",
		"ip link set node0 up",
		"ip route add default dev node0",
		"sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.route_localnet=1",
	} {
		if _, err := quietly(inNamespace(strings.Fields(line)...)...); err != nil {
			return err
		}
	}
	return nil
}

func startControlPlane() error {
	for _, name := range []string{"etcd", "kube-apiserver", "containerd"} {
		if err := startProcess(name); err != nil {
			return err
		}
	}
	if !waitUntil(startupLimit, func() bool { _, err := own.kubectl("get", "--raw", "/readyz"); return err == nil }) {
		return fmt.Errorf("the API server did not become ready in %s", startupLimit)
	}
	for _, name := range []string{"kube-controller-manager", "kube-scheduler"} {
		if err := startProcess(name); err != nil {
			return err
		}
	}
	return nil
}

func startNode() error {
	if !waitUntil(startupLimit, func() bool { _, err := ctr("version"); return err == nil }) {
		return fmt.Errorf("containerd did not become ready in %s", startupLimit)
	}
	for _, name := range []string{"pause", "coredns"} {
		if err := importProgram(name, pinnedTag); err != nil {
			return err
		}
	}
	for _, name := range []string{"kubelet", "kube-proxy"} {
		if err := startProcess(name); err != nil {
			return err
		}
	}
	if err := own.apply(clusterDNS); err != nil {
		return err
	}
	if !waitUntil(startupLimit, nodeReady) {
		return fmt.Errorf("the node did not become ready in %s", startupLimit)
	}
	return nil
}

func startProcess(name string) error {
	path := "/usr/bin/containerd"
	if name != "containerd" {
		found, err := program(name)
		if err != nil {
			return err
		}
		path = found
	}
	return start(name, append([]string{path}, processFlags(name)...)...)
}

// lock keeps two commands from changing the cluster at once.
func lock() (func(), error) {
	folder := filepath.Dir(stateFolder())
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(stateFolder()+".lock", os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	return func() { _ = file.Close() }, nil
}

func status() error {
	for _, name := range processNames {
		word := "stopped"
		if record, found := readRecord(name); found && record.alive() {
			word = fmt.Sprintf("running, pid %d", record.pid)
		}
		fmt.Printf("%-24s %s\n", name, word)
	}
	if !nodeReady() {
		return fmt.Errorf("the node is not ready: run `make cluster-up`")
	}
	fmt.Printf("%-24s ready\n", "node")
	return nil
}
