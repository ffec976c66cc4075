package main

import (
	"encoding/base64"
	"testing"
)

// RFC 6605 6.1 gives a P-256 DNSKEY with its key tag.
func TestKeyTagOfTheRFCsExample(t *testing.T) {
	point, err := base64.StdEncoding.DecodeString("GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==")
	if err != nil {
		t.Fatal(err)
	}
	if tag := keyTag(append([]byte{1, 1, 3, 13}, point...)); tag != 55648 {
		t.Errorf("key tag %d", tag)
	}
}

func TestKeysOfZonesStayTheSame(t *testing.T) {
	if newZoneKey("demo.").DS != zoneKeys["demo"].DS || zoneKeys["root"].DS == zoneKeys["demo"].DS {
		t.Error("a zone's key must depend on its name and on nothing else")
	}
}
