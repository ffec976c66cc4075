package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// pinned is a program built from the committed module that pins its version.
type pinned struct {
	name   string
	module string
	// target is the package to build, as the module sees it.
	target string
}

// buildMax is how long one program may take; the longest took seven minutes of two cores.
const buildMax = 30 * time.Minute

const kubernetes = "k8s.io/kubernetes/cmd/"

var pinnedPrograms = []pinned{
	{"etcd", "kubernetes", "./etcd"},
	{"kube-apiserver", "kubernetes", kubernetes + "kube-apiserver"},
	{"kube-controller-manager", "kubernetes", kubernetes + "kube-controller-manager"},
	{"kube-scheduler", "kubernetes", kubernetes + "kube-scheduler"},
	{"kubelet", "kubernetes", kubernetes + "kubelet"},
	{"kube-proxy", "kubernetes", kubernetes + "kube-proxy"},
	{"kubectl", "kubernetes", kubernetes + "kubectl"},
	{"pause", "pause", "."},
	{"coredns", "coredns", "."},
	{"collector", "collector", "."},
	{"helm4", "helm4", "helm.sh/helm/v4/cmd/helm"},
	{"helm3", "helm3", "helm.sh/helm/v3/cmd/helm"},
	{"h2spec", "h2spec", "github.com/summerwind/h2spec/cmd/h2spec"},
}

// clusterPrograms are what `up` needs.
var clusterPrograms = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
	"pause", "coredns",
}

func programNames() []string {
	names := make([]string, 0, len(pinnedPrograms))
	for _, p := range pinnedPrograms {
		names = append(names, p.name)
	}
	return names
}

func runBuild(names []string) error {
	if len(names) == 0 {
		names = programNames()
	}
	return build(names)
}

// program is the path of one pinned program, built when the cache lacks it.
func program(name string) (string, error) {
	if err := build([]string{name}); err != nil {
		return "", err
	}
	i := slices.IndexFunc(pinnedPrograms, func(p pinned) bool { return p.name == name })
	return pinnedPrograms[i].path()
}

// build makes sure that the cache has each named program.
func build(names []string) error {
	for _, name := range names {
		i := slices.IndexFunc(pinnedPrograms, func(p pinned) bool { return p.name == name })
		if i < 0 {
			return fmt.Errorf("there is no program %q; there are %s", name, strings.Join(programNames(), ", "))
		}
		if err := pinnedPrograms[i].build(); err != nil {
			return fmt.Errorf("building %s: %w", name, err)
		}
	}
	return nil
}

func (p pinned) build() error {
	file, err := p.path()
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	if enclosed() {
		return fmt.Errorf("nothing can be downloaded in the cluster's network namespace; run `target/weir-cluster build %s` outside of it", p.name)
	}
	say("building %s (once; kept in %s)", p.name, cacheFolder())
	started := time.Now()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	flags, err := p.linkFlags()
	if err != nil {
		return err
	}
	// A build that is cut short must not look like a program, so it gets its name last.
	partial := fmt.Sprintf("%s.%d", file, os.Getpid())
	defer os.Remove(partial)
	ctx, cancel := context.WithTimeout(context.Background(), buildMax)
	defer cancel()
	compile := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", partial, p.target)
	compile.Dir = p.source()
	compile.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	compile.Stdout, compile.Stderr = os.Stderr, os.Stderr
	compile.WaitDelay = time.Second
	err = withHeartbeat(p.name, compile.Run)
	if ctx.Err() != nil {
		return fmt.Errorf("not done after %s: are the modules to be had from here?", buildMax)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(partial, file); err != nil {
		return err
	}
	say("built %s in %s", p.name, time.Since(started).Round(time.Second))
	return nil
}

// withHeartbeat says every so often that a long step goes on.
func withHeartbeat(name string, step func() error) error {
	done := make(chan struct{})
	defer close(done)
	go func() {
		started := time.Now()
		for tick := time.NewTicker(15 * time.Second); ; {
			select {
			case <-done:
				tick.Stop()
				return
			case <-tick.C:
				say("  still building %s (%s)", name, time.Since(started).Round(time.Second))
			}
		}
	}()
	return step()
}

// source is the folder of the program's module in this checkout.
func (p pinned) source() string { return filepath.Join(sourceFolder(), "modules", p.module) }

// path is where the cache keeps the program. The folder's name is a digest of all that decides the
// program, so that a changed pin is built anew and checkouts with the same pin share one build.
func (p pinned) path() (string, error) {
	digest := sha256.New()
	fmt.Fprintln(digest, runtime.Version())
	err := filepath.WalkDir(p.source(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if filepath.Ext(path) != ".go" && entry.Name() != "go.mod" && entry.Name() != "go.sum" {
			return nil
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(digest, "%s %d\n%s", entry.Name(), len(text), text)
		return err
	})
	if err != nil {
		return "", err
	}
	folder := p.module + "-" + hex.EncodeToString(digest.Sum(nil))[:16]
	return filepath.Join(cacheFolder(), "bin", folder, p.name), nil
}

var kubernetesVersion = regexp.MustCompile(`k8s\.io/kubernetes v((\d+)\.(\d+)\.\d+)`)

// linkFlags strips the program, and tells Kubernetes' programs which version they are: they refuse to
// work together when they do not know it.
func (p pinned) linkFlags() (string, error) {
	if p.module != "kubernetes" {
		return "-s -w", nil
	}
	text, err := os.ReadFile(filepath.Join(p.source(), "go.mod"))
	if err != nil {
		return "", err
	}
	version := kubernetesVersion.FindStringSubmatch(string(text))
	if version == nil {
		return "", fmt.Errorf("modules/kubernetes/go.mod does not require k8s.io/kubernetes")
	}
	const variable = " -X k8s.io/component-base/version."
	return "-s -w" + variable + "gitVersion=v" + version[1] + variable + "gitMajor=" + version[2] + variable + "gitMinor=" + version[3], nil
}

// builtFrom is this tool's own folder, set by the Makefile when it links the tool.
var builtFrom string

// sourceFolder is this tool's own folder: where it was built, or found from the working directory.
func sourceFolder() string {
	if builtFrom != "" {
		return builtFrom
	}
	folder, err := os.Getwd()
	for err == nil {
		for _, candidate := range []string{folder, filepath.Join(folder, "tests", "cluster")} {
			if _, err := os.Stat(filepath.Join(candidate, "modules", "kubernetes", "go.mod")); err == nil {
				return candidate
			}
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			break
		}
		folder = parent
	}
	return "tests/cluster"
}

// repository is the checkout that this tool belongs to.
func repository() string { return filepath.Dir(filepath.Dir(sourceFolder())) }
