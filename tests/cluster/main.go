// Command cluster runs a real single-node Kubernetes inside one network namespace of this machine, for
// Weir's demo and its cluster tests. README.md beside this file says how it is put together.
//
// It owns the cluster's processes, files and namespace, and touches nothing that it did not make.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"
	"syscall"
)

// command is one subcommand: its arguments as usage shows them, what it does, and the function itself.
type command struct {
	arguments string
	purpose   string
	run       func(arguments []string) error
}

var commands map[string]command

func init() {
	commands = map[string]command{
		"build":      {"[PROGRAM...]", "build the pinned programs into the cache (all of them when none is named)", runBuild},
		"up":         {"", "start the cluster, or find it running", func([]string) error { return up() }},
		"down":       {"", "stop the cluster and remove everything it made", func([]string) error { return down() }},
		"status":     {"", "say which processes run and whether the node is ready", func([]string) error { return status() }},
		"load-image": {"CONTAINERFILE FOLDER NAME", "pack FOLDER by CONTAINERFILE and import it; prints the image's name", runLoadImage},
		"demo":       {"FOLDER", "from nothing to the trace of an answer; FOLDER holds what the images contain", runDemo},
		"clean-demo": {"", "remove the demo", runCleanDemo},
		"push":       {"FOLDER", "push the operator's and the data plane's images to $WEIR_REGISTRY", runPush},
		"internet":   {"NAMESPACE", "run the demo's root, top-level and zone servers; prints the root's address", runInternet},
		"anchor":     {"", "print the trust anchor of that internet, a DS record of its root", runAnchor},
		"collector":  {"NAMESPACE", "run an OpenTelemetry Collector whose spans can be read back", runCollector},
		"exec":       {"COMMAND...", "run a command inside the cluster's network namespace", runExec},
		"kubectl":    {"ARGUMENT...", "kubectl against the cluster", runKubectl},
		"helm":       {"ARGUMENT...", "Helm 4 against the cluster", func(a []string) error { return runHelm("helm4", a) }},
		"helm3":      {"ARGUMENT...", "Helm 3 against the cluster", func(a []string) error { return runHelm("helm3", a) }},
		"kubeconfig": {"", "print where the cluster's kubeconfig is; it works inside the namespace", func([]string) error { fmt.Println(kubeconfig()); return nil }},
		"path":       {"PROGRAM", "print where a pinned program is, building it when needed", runPath},
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: cluster COMMAND [ARGUMENT...]")
	names := make([]string, 0, len(commands))
	for name := range commands {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		c := commands[name]
		fmt.Fprintf(os.Stderr, "  %-38s %s\n", strings.TrimSpace(name+" "+c.arguments), c.purpose)
	}
}

func main() {
	if len(os.Args) < 2 {
		usage()
		os.Exit(2)
	}
	chosen, known := commands[os.Args[1]]
	if !known {
		fmt.Fprintf(os.Stderr, "cluster: there is no command %q\n", os.Args[1])
		usage()
		os.Exit(2)
	}
	if err := chosen.run(os.Args[2:]); err != nil {
		if exit, ok := err.(*exec.ExitError); ok {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// say prints one line of progress; standard output is kept for what a command answers.
func say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
}

func runExec(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("exec needs a command to run")
	}
	return replaceProcess(inNamespace(arguments...))
}

func runKubectl(arguments []string) error {
	kubectl, err := program("kubectl")
	if err != nil {
		return err
	}
	return replaceProcess(inNamespace(append([]string{kubectl, "--kubeconfig=" + kubeconfig()}, arguments...)...))
}

func runHelm(name string, arguments []string) error {
	helm, err := program(name)
	if err != nil {
		return err
	}
	return replaceProcess(inNamespace(append([]string{helm, "--kubeconfig=" + kubeconfig()}, arguments...)...))
}

func runPath(arguments []string) error {
	if len(arguments) != 1 {
		return fmt.Errorf("path needs one program: %s", strings.Join(programNames(), ", "))
	}
	found, err := program(arguments[0])
	if err == nil {
		fmt.Println(found)
	}
	return err
}

// replaceProcess becomes the command, so that its signals, streams and exit status are the caller's.
func replaceProcess(arguments []string) error {
	if _, err := os.Stat(namespacePath); err != nil {
		return fmt.Errorf("the cluster is not up: run `make cluster-up` first")
	}
	file, err := exec.LookPath(arguments[0])
	if err != nil {
		return err
	}
	return syscall.Exec(file, arguments, os.Environ())
}
