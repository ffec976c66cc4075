package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// runLoadImage packs a folder and imports it. The tag is the start of the image's digest, so that a
// Deployment which names it rolls out exactly when the image changed.
func runLoadImage(arguments []string) error {
	if len(arguments) != 3 {
		return fmt.Errorf("load-image needs CONTAINERFILE FOLDER NAME")
	}
	blobs, err := image(arguments[0], arguments[1])
	if err != nil {
		return err
	}
	name := imageName(arguments[2], blobs[len(blobs)-1].digest()[:12])
	if err := importImage(name, blobs); err != nil {
		return err
	}
	fmt.Println(name)
	return nil
}

// importProgram imports a pinned program as an image, by the Containerfile in its module's folder.
func importProgram(name, tag string) error {
	file, err := program(name)
	if err != nil {
		return err
	}
	blobs, err := image(filepath.Join(sourceFolder(), "modules", name, "Containerfile"), filepath.Dir(file))
	if err != nil {
		return err
	}
	return importImage(imageName(name, tag), blobs)
}

func importImage(name string, blobs []blob) error {
	digest := "sha256:" + blobs[len(blobs)-1].digest()
	if have, err := ctr("images", "list", "name=="+name); err == nil && strings.Contains(have, digest) {
		return nil
	}
	file, err := os.CreateTemp("", "weir-image-*.tar")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := file.Close(); err != nil {
		return err
	}
	if err := writeArchive(file.Name(), name, blobs); err != nil {
		return err
	}
	_, err = ctr("images", "import", file.Name())
	return err
}

// ctr talks to the cluster's containerd, in the namespace that the kubelet uses.
func ctr(arguments ...string) (string, error) {
	full := append([]string{"--address", containerdSocket(), "--namespace", "k8s.io"}, arguments...)
	output, err := exec.Command("ctr", full...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", strings.Join(arguments, " "), err, output)
	}
	return string(output), nil
}
