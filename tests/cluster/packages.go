package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// nodePackages are the Debian packages that the node needs, each with a file that tells whether it is there.
var nodePackages = map[string]string{
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
func installPackages(packages map[string]string) error {
	var missing []string
	for name, file := range packages {
		if _, err := os.Stat(file); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	if os.Geteuid() != 0 {
		return fmt.Errorf("these Debian packages are missing; install them as root: %s", strings.Join(missing, " "))
	}
	say("installing Debian packages: %s", strings.Join(missing, " "))
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
