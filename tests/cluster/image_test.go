package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestContainerfilesOfTheRepositoryArePacked(t *testing.T) {
	for _, name := range []string{"dataplane", "operator"} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "weir-"+name), []byte("program"), 0o755); err != nil {
			t.Fatal(err)
		}
		blobs, err := image(filepath.Join("..", "..", name, "Containerfile"), folder)
		if err != nil {
			t.Fatal(err)
		}
		config := string(blobs[1].text)
		if !strings.Contains(config, `"User":"65532:65532"`) || !strings.Contains(config, `"Entrypoint":["/weir-`+name+`"]`) {
			t.Errorf("%s: %s", name, config)
		}
		again, err := image(filepath.Join("..", "..", name, "Containerfile"), folder)
		if err != nil || again[2].digest() != blobs[2].digest() {
			t.Errorf("%s: the same folder gives another image (%v)", name, err)
		}
	}
}

func TestContainerfileRefusesWhatItCannotPack(t *testing.T) {
	for text, expected := range map[string]string{
		"FROM debian\n":                             "Containerfile:1: only FROM scratch",
		"FROM scratch\nRUN true\n":                  "Containerfile:2: RUN is not supported",
		"FROM scratch\nCOPY --from=x a /a\n":        "Containerfile:2: only COPY SOURCE DESTINATION",
		"FROM scratch\nCOPY a /a\n":                 "needs COPY and ENTRYPOINT",
		"FROM scratch\nCOPY a /a\nENTRYPOINT a b\n": "Containerfile:3",
	} {
		file := filepath.Join(t.TempDir(), "Containerfile")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := parseContainerfile(file); err == nil || !strings.Contains(err.Error(), expected) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
