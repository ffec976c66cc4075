package main

import (
	"os"
	"os/exec"
)

// packages are the Debian packages that the node needs, each with a file that tells whether it is there.
var packages = map[string]string{
	"containerd":                  "/usr/bin/containerd",
	"runc":                        "/usr/sbin/runc",
	"containernetworking-plugins": "/usr/lib/cni/bridge",
	"nftables":                    "/usr/sbin/nft",
	"iptables":                    "/usr/sbin/iptables",
	"conntrack":                   "/usr/sbin/conntrack",
	"ethtool":                     "/usr/sbin/ethtool",
	"socat":                       "/usr/bin/socat",
	"iproute2":                    "/usr/sbin/ip",
	"knot-dnsutils":               "/usr/bin/kdig",
	"curl":                        "/usr/bin/curl",
}

// installPackages installs what is missing, and asks the package manager nothing when nothing is.
func installPackages() error {
	var missing []string
	for name, file := range packages {
		if _, err := os.Stat(file); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	say("installing Debian packages: %v", missing)
	for _, arguments := range [][]string{
		{"apt-get", "update", "-qq"},
		append([]string{"apt-get", "install", "-qq", "-y", "--no-install-recommends"}, missing...),
	} {
		step := exec.Command(arguments[0], arguments[1:]...)
		step.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		step.Stderr = os.Stderr
		if err := step.Run(); err != nil {
			return err
		}
	}
	return nil
}
