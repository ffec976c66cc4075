package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// target is the cluster that the demo runs on: this tool's own, or one that the user has.
type target struct {
	// kubeconfig is empty for the tool's own cluster.
	kubeconfig string
	// registry is where images for a cluster of the user's are pushed.
	registry string
}

// own is the cluster that `up` starts.
var own target

// targetFromEnvironment reads WEIR_KUBECONFIG and WEIR_REGISTRY, which the Makefile sets from KUBECONFIG=
// and REGISTRY= on its command line. A KUBECONFIG that merely stands in the environment is not followed:
// the demo must not install itself into a cluster that nobody named.
func targetFromEnvironment() (target, error) {
	t := target{os.Getenv("WEIR_KUBECONFIG"), strings.TrimSuffix(os.Getenv("WEIR_REGISTRY"), "/")}
	if (t.kubeconfig == "") != (t.registry == "") {
		return t, fmt.Errorf("KUBECONFIG and REGISTRY go together: the cluster pulls its images from the registry")
	}
	if t.kubeconfig != "" {
		if _, err := os.Stat(t.kubeconfig); err != nil {
			return t, fmt.Errorf("KUBECONFIG: %w", err)
		}
	}
	return t, nil
}

func (t target) isOwn() bool { return t.kubeconfig == "" }

// command is the command line of a pinned client of the cluster.
func (t target) command(name string, arguments ...string) ([]string, error) {
	path, err := program(name)
	if err != nil {
		return nil, err
	}
	if t.isOwn() {
		return inNamespace(append([]string{path, "--kubeconfig=" + kubeconfig()}, arguments...)...), nil
	}
	return append([]string{path, "--kubeconfig=" + t.kubeconfig}, arguments...), nil
}

// run runs a client of the cluster and returns what it printed.
func (t target) run(name string, arguments ...string) (string, error) {
	full, err := t.command(name, arguments...)
	if err != nil {
		return "", err
	}
	return quietly(full...)
}

func (t target) kubectl(arguments ...string) (string, error) { return t.run("kubectl", arguments...) }

// apply applies manifests.
func (t target) apply(manifests string) error {
	full, err := t.command("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-")
	if err != nil {
		return err
	}
	process := exec.Command(full[0], full[1:]...)
	process.Stdin = strings.NewReader(manifests)
	if output, err := process.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}

// provide makes an image available to the cluster and returns the name to pull it by.
func (t target) provide(name, containerfile, folder string) (string, error) {
	blobs, err := image(containerfile, folder)
	if err != nil {
		return "", err
	}
	tag := blobs[len(blobs)-1].digest()[:12]
	if t.isOwn() {
		full := imageName(name, tag)
		return full, importImage(full, blobs)
	}
	full := t.registry + "/" + name + ":" + tag
	archive, err := os.CreateTemp("", "weir-image-*.tar")
	if err != nil {
		return "", err
	}
	defer os.Remove(archive.Name())
	if err := archive.Close(); err != nil {
		return "", err
	}
	if err := writeArchive(archive.Name(), full, blobs); err != nil {
		return "", err
	}
	if err := installPackages(map[string]string{"skopeo": "/usr/bin/skopeo"}); err != nil {
		return "", err
	}
	copy := []string{"skopeo", "copy", "--quiet", "--insecure-policy"}
	if host, _, _ := strings.Cut(t.registry, ":"); host == "localhost" || strings.HasPrefix(host, "127.") {
		copy = append(copy, "--dest-tls-verify=false")
	}
	_, err = quietly(append(copy, "oci-archive:"+archive.Name(), "docker://"+full)...)
	return full, err
}

// weirImages provides the operator's and the data plane's images, and returns the chart's values that name
// them. Each lies in a folder of its own name under folder.
func (t target) weirImages(folder string) ([]string, error) {
	var values []string
	for _, part := range []string{"operator", "dataplane"} {
		name := "weir-" + part
		full, err := t.provide(name, filepath.Join(repository(), part, "Containerfile"), filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		slash, colon := strings.LastIndex(full, "/"), strings.LastIndex(full, ":")
		values = append(values,
			"image.registry="+full[:slash],
			part+".image.repository="+full[slash+1:colon],
			part+".image.tag="+full[colon+1:])
	}
	return values, nil
}

// runPush pushes the images to the registry that WEIR_REGISTRY names.
func runPush(arguments []string) error {
	registry := os.Getenv("WEIR_REGISTRY")
	if len(arguments) != 1 || registry == "" {
		return fmt.Errorf("push needs the FOLDER of the images, and REGISTRY=... such as registry.example.org/dns")
	}
	values, err := target{kubeconfig: "none", registry: strings.TrimSuffix(registry, "/")}.weirImages(arguments[0])
	for _, value := range values {
		fmt.Println("--set-string", value)
	}
	return err
}

// provideProgram does the same for a pinned program.
func (t target) provideProgram(name string) (string, error) {
	file, err := program(name)
	if err != nil {
		return "", err
	}
	module := sourceFolder() + "/modules/" + name
	return t.provide(name, module+"/Containerfile", file[:strings.LastIndex(file, "/")])
}

// rolledOut waits until each named Deployment of a namespace is available.
func (t target) rolledOut(namespace string, names ...string) error {
	for _, name := range names {
		if _, err := t.kubectl("rollout", "status", "deployment/"+name, "-n", namespace, "--timeout=120s"); err != nil {
			return err
		}
	}
	return nil
}

// fill renders a manifest template; a value that is not given is an error.
func fill(text string, values any) (string, error) {
	parsed, err := template.New("manifest").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var filled strings.Builder
	err = parsed.Execute(&filled, values)
	return filled.String(), err
}
