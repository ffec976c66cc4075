package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// pinnedTag is the tag of the images made from pinned programs.
const pinnedTag = "pinned"

func imageName(name, tag string) string { return registryName + "/" + name + ":" + tag }

// containerfile is the part of a Containerfile that an image of one static program needs. A file with
// anything else is refused, so that this packer and a user's own build never differ in silence.
type containerfile struct {
	copies     [][2]string
	user       string
	entrypoint []string
	labels     map[string]string
}

func parseContainerfile(file string) (*containerfile, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parsed := &containerfile{labels: map[string]string{}}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := parsed.read(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, number, err)
		}
	}
	if len(parsed.copies) == 0 || len(parsed.entrypoint) == 0 {
		return nil, fmt.Errorf("%s: an image needs COPY and ENTRYPOINT", file)
	}
	return parsed, nil
}

func (c *containerfile) read(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "FROM":
		if rest != "scratch" {
			return fmt.Errorf("only FROM scratch is supported")
		}
	case "COPY":
		fields := strings.Fields(rest)
		if len(fields) != 2 || strings.HasPrefix(rest, "-") {
			return fmt.Errorf("only COPY SOURCE DESTINATION is supported")
		}
		c.copies = append(c.copies, [2]string{fields[0], fields[1]})
	case "USER":
		c.user = rest
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &c.entrypoint)
	case "LABEL":
		key, value, found := strings.Cut(rest, "=")
		if !found {
			return fmt.Errorf("only LABEL KEY=VALUE is supported")
		}
		c.labels[key] = strings.Trim(value, `"`)
	default:
		return fmt.Errorf("%s is not supported", word)
	}
	return nil
}

// blob is one content-addressed part of an image.
type blob struct {
	text      []byte
	mediaType string
}

func (b blob) digest() string {
	sum := sha256.Sum256(b.text)
	return hex.EncodeToString(sum[:])
}

func (b blob) descriptor() map[string]any {
	return map[string]any{"mediaType": b.mediaType, "digest": "sha256:" + b.digest(), "size": len(b.text)}
}

func jsonBlob(mediaType string, value any) (blob, error) {
	text, err := json.Marshal(value)
	return blob{text, mediaType}, err
}

// image packs a folder by a Containerfile: the blobs of an OCI image, its manifest last. The same input
// gives the same bytes.
func image(file, folder string) ([]blob, error) {
	parsed, err := parseContainerfile(file)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	for _, pair := range parsed.copies {
		text, err := os.ReadFile(filepath.Join(folder, pair[0]))
		if err != nil {
			return nil, err
		}
		target := strings.TrimPrefix(path.Clean(pair[1]), "/")
		if err := writeTar(archive, target, text, 0o755); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	content := blob{layer.Bytes(), "application/vnd.oci.image.layer.v1.tar"}
	config, err := jsonBlob("application/vnd.oci.image.config.v1+json", map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"User": parsed.user, "Entrypoint": parsed.entrypoint, "Labels": parsed.labels},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + content.digest()}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := jsonBlob("application/vnd.oci.image.manifest.v1+json", map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": config.descriptor(), "layers": []any{content.descriptor()},
	})
	return []blob{content, config, manifest}, err
}

// writeArchive writes the image as an OCI archive under the given full name.
func writeArchive(file, name string, blobs []blob) error {
	output, err := os.Create(file)
	if err != nil {
		return err
	}
	defer output.Close()
	archive := tar.NewWriter(output)
	descriptor := blobs[len(blobs)-1].descriptor()
	descriptor["annotations"] = map[string]string{
		"io.containerd.image.name":          name,
		"org.opencontainers.image.ref.name": name[strings.LastIndex(name, ":")+1:],
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{descriptor}})
	if err != nil {
		return err
	}
	if err := writeTar(archive, "oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	if err := writeTar(archive, "index.json", index, 0o644); err != nil {
		return err
	}
	for _, b := range blobs {
		if err := writeTar(archive, "blobs/sha256/"+b.digest(), b.text, 0o644); err != nil {
			return err
		}
	}
	return archive.Close()
}

func writeTar(archive *tar.Writer, name string, text []byte, mode int64) error {
	header := &tar.Header{Name: name, Mode: mode, Size: int64(len(text)), Typeflag: tar.TypeReg}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(text)
	return err
}
