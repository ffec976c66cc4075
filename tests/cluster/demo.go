package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed manifests/demo-resolver.yaml
var demoResolver string

// The namespaces of the demo, the zone that it asks for a name of, and what every name there has.
const (
	operatorNamespace = "weir-system"
	internetNamespace = "weir-internet"
	demoNamespace     = "weir-demo"
	demoZone          = "pier.harbour.demo"
	demoAddress       = "192.0.2.81"
)

// demo goes the whole way: cluster, chart, Resolver, a query over DoH, its answer and its trace.
type demo struct {
	target
	// images is the folder that holds, for each image, a folder of what it contains.
	images string
	// name is new in each run, so that each run resolves something and has that to show.
	name string
	step int
}

func runDemo(arguments []string) error {
	if len(arguments) != 1 {
		return fmt.Errorf("demo needs the FOLDER of the built images")
	}
	where, err := targetFromEnvironment()
	if err != nil {
		return err
	}
	started := time.Now()
	d := &demo{target: where, images: arguments[0], name: fmt.Sprintf("berth-%d.%s", started.Unix(), demoZone)}
	for _, step := range []struct {
		title string
		run   func() error
	}{
		{"a Kubernetes cluster", d.cluster},
		{"a small internet to resolve names of, and an OpenTelemetry Collector", d.surroundings},
		{"Weir's operator, by its Helm chart", d.install},
		{"a Resolver", d.resolver},
		{"a query over DoH, with the certificate verified", d.query},
		{"the trace of that query, from the Collector", d.trace},
	} {
		d.step++
		say("\n[%d/6] %s", d.step, step.title)
		if err := step.run(); err != nil {
			return err
		}
	}
	say("\nDone in %s. Run `make demo` again at any time; `make clean-demo` removes everything.", time.Since(started).Round(time.Second))
	return nil
}

func (d *demo) cluster() error {
	if d.isOwn() {
		return up()
	}
	version, err := d.kubectl("version", "-o", "yaml")
	if err != nil {
		return fmt.Errorf("KUBECONFIG: the cluster does not answer: %w", err)
	}
	say("the cluster of %s answers (%d octets of version)", d.kubeconfig, len(version))
	return nil
}

func (d *demo) surroundings() error {
	root, err := d.internet(internetNamespace)
	if err != nil {
		return err
	}
	say("the root server answers at %s", root)
	if err := d.namespace(demoNamespace); err != nil {
		return err
	}
	return d.collector(demoNamespace)
}

// namespace makes a namespace whose pods must meet the restricted Pod Security Standard.
func (d *demo) namespace(name string) error {
	return d.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name +
		", labels: {pod-security.kubernetes.io/enforce: restricted}}\n")
}

func (d *demo) install() error {
	if err := d.namespace(operatorNamespace); err != nil {
		return err
	}
	arguments := []string{
		"upgrade", "--install", "weir", filepath.Join(repository(), "charts", "weir"),
		"--namespace", operatorNamespace, "--wait", "--timeout", "120s",
	}
	values, err := d.weirImages(d.images)
	if err != nil {
		return err
	}
	for _, value := range values {
		arguments = append(arguments, "--set-string", value)
	}
	notes, err := d.run("helm4", arguments...)
	if err != nil {
		return err
	}
	say("%s", firstLines(notes, 6))
	return nil
}

func (d *demo) resolver() error {
	root, err := d.kubectl("get", "service", "root", "-n", internetNamespace, "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return err
	}
	manifest, err := fill(demoResolver, map[string]any{"Namespace": demoNamespace, "Root": root, "Anchor": zoneKeys["root"].DS})
	if err != nil {
		return err
	}
	say("%s", indent(manifest))
	if err := d.apply(manifest); err != nil {
		return err
	}
	if _, err := d.kubectl("wait", "--for=condition=Ready", "resolver/demo", "-n", demoNamespace, "--timeout=120s"); err != nil {
		described, _ := d.kubectl("describe", "resolver", "demo", "-n", demoNamespace)
		return fmt.Errorf("the Resolver did not become ready: %w\n%s", err, described)
	}
	table, err := d.kubectl("get", "resolver", "demo", "-n", demoNamespace)
	say("$ kubectl get resolver -n %s\n%s", demoNamespace, table)
	return err
}

// query asks from outside the pods: by the Service's address, or through a forwarded port where only the
// API server can be reached. The certificate is verified against the authority that the operator published.
func (d *demo) query() error {
	authority, err := d.kubectl("get", "configmap", "demo-ca", "-n", demoNamespace, "-o", `jsonpath={.data.ca\.crt}`)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "weir-ca-*.crt")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.WriteString(authority + "\n"); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	address, port := "127.0.0.1", "18443"
	prefix := inNamespace()
	if d.isOwn() {
		port = "443"
		if address, err = d.kubectl("get", "service", "demo", "-n", demoNamespace, "-o", "jsonpath={.spec.clusterIP}"); err != nil {
			return err
		}
	} else {
		prefix = nil
		stop, err := d.forward(port)
		if err != nil {
			return err
		}
		defer stop()
	}
	ask := []string{"kdig", "@" + address, "-p", port, "+https=/dns-query", "+tls-ca=" + file.Name(),
		"+tls-hostname=demo." + demoNamespace + ".svc", "+dnssec", d.name, "A"}
	say("$ %s", strings.Join(ask, " "))
	// A node needs a moment to send the Service's address to pods that became ready just now.
	var answer string
	if !waitUntil(10*time.Second, func() bool { answer, err = quietly(append(prefix, ask...)...); return err == nil }) {
		return err
	}
	if !strings.Contains(answer, demoAddress) {
		return fmt.Errorf("the answer does not hold the address of %s:\n%s", d.name, answer)
	}
	fmt.Println(answer)
	return nil
}

// forward opens a port of this machine to the Resolver's Service; the returned function closes it.
func (d *demo) forward(port string) (func(), error) {
	full, err := d.command("kubectl", "port-forward", "-n", demoNamespace, "service/demo", port+":443")
	if err != nil {
		return nil, err
	}
	process := exec.Command(full[0], full[1:]...)
	output, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	// Its first line says that the port is open.
	line := make([]byte, 256)
	if _, err := output.Read(line); err != nil {
		return nil, fmt.Errorf("kubectl port-forward: %w", err)
	}
	return func() { _ = process.Process.Kill(); _ = process.Wait() }, nil
}

// trace waits until the Collector has the spans of the query and prints them as a tree.
func (d *demo) trace() error {
	const path = "/api/v1/namespaces/" + demoNamespace + "/services/collector:spans/proxy/traces"
	var tree string
	var failure error
	if !waitUntil(30*time.Second, func() bool {
		text, err := d.kubectl("get", "--raw", path)
		if err != nil {
			failure = err
			return false
		}
		tree, failure = traceTree(text, d.name)
		return failure == nil
	}) {
		return fmt.Errorf("the Collector has no complete trace of %s: %w", d.name, failure)
	}
	fmt.Println(tree)
	return nil
}

// runCleanDemo removes the demo: with the cluster where it is the tool's own, piece by piece elsewhere.
func runCleanDemo([]string) error {
	where, err := targetFromEnvironment()
	if err != nil {
		return err
	}
	if where.isOwn() {
		return down()
	}
	d := &demo{target: where}
	for _, arguments := range [][]string{
		{"kubectl", "delete", "resolver", "--all", "-n", demoNamespace, "--ignore-not-found"},
		{"helm4", "uninstall", "weir", "-n", operatorNamespace, "--ignore-not-found", "--wait"},
		{"kubectl", "delete", "namespace", demoNamespace, internetNamespace, operatorNamespace, "--ignore-not-found"},
		{"kubectl", "delete", "crd", "resolvers.weir.dev", "--ignore-not-found"},
	} {
		if _, err := d.run(arguments[0], arguments[1:]...); err != nil {
			return err
		}
	}
	say("the demo is gone from the cluster; its images stay in %s", where.registry)
	return nil
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}

func firstLines(text string, count int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[:min(count, len(lines))], "\n")
}
