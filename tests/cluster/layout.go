package main

import (
	"os"
	"path/filepath"
)

// Addresses of the cluster, all of them inside its network namespace.
const (
	namespaceName = "weir-cluster"
	namespacePath = "/run/netns/" + namespaceName
	nodeName      = "node"
	nodeAddress   = "172.31.255.1"
	podRange      = "10.244.0.0/24"
	serviceRange  = "10.96.0.0/16"
	apiService    = "10.96.0.1"
	dnsService    = "10.96.0.10"
	registryName  = "weir.test"
)

// runtimeFolder holds containerd's sockets and mounts; it is short because socket paths must be.
const runtimeFolder = "/run/weir-cluster"

// stateFolder holds what the running cluster writes; `down` removes it.
func stateFolder() string {
	if folder := os.Getenv("WEIR_CLUSTER_STATE"); folder != "" {
		return folder
	}
	return "/var/lib/weir-cluster"
}

// cacheFolder holds what outlives every checkout and every cluster: the programs that were built.
func cacheFolder() string {
	if folder := os.Getenv("WEIR_CACHE"); folder != "" {
		return folder
	}
	if folder, err := os.UserCacheDir(); err == nil {
		return filepath.Join(folder, "weir")
	}
	return "/var/cache/weir"
}

func state(elements ...string) string {
	return filepath.Join(append([]string{stateFolder()}, elements...)...)
}

func kubeconfig() string { return state("admin.conf") }

func containerdSocket() string { return filepath.Join(runtimeFolder, "containerd.sock") }

// inNamespace is the command line that runs a program in the cluster's network namespace. `ip netns exec`
// would hide the cgroup mounts, without which the kubelet does not start.
func inNamespace(arguments ...string) []string {
	return append([]string{"nsenter", "--net=" + namespacePath, "--"}, arguments...)
}

// enclosed is whether this process runs in the cluster's network namespace.
func enclosed() bool {
	there, err := os.Stat(namespacePath)
	if err != nil {
		return false
	}
	here, err := os.Stat("/proc/self/ns/net")
	return err == nil && os.SameFile(here, there)
}
