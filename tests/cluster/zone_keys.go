package main

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// zoneKey is the key that signs one zone of the demo's internet, in the forms that its files want.
type zoneKey struct {
	// Public is the DNSKEY record.
	Public string
	// Private holds the lines of the private key's file.
	Private []string
	// DS is the record that the parent has of the key; of the root's key, the trust anchor.
	DS string
}

// zoneKeys are the keys of the signed zones, by the name of their files.
var zoneKeys = map[string]zoneKey{
	"root":    newZoneKey("."),
	"demo":    newZoneKey("demo."),
	"harbour": newZoneKey("harbour.demo."),
}

// newZoneKey derives a key from the zone's name, so that the trust anchor stays the same however often the
// internet is made. It protects nothing: everyone can derive it.
func newZoneKey(zone string) zoneKey {
	secret := sha256.Sum256([]byte("weir demo zone key " + zone))
	key, err := ecdh.P256().NewPrivateKey(secret[:])
	if err != nil {
		panic(err)
	}
	// DNSKEY (RFC 4034 2.1): flags of a secure entry point, protocol 3, algorithm 13, the point without the
	// octet that says that it is not compressed (RFC 6605 4).
	point := key.PublicKey().Bytes()[1:]
	rdata := append([]byte{1, 1, 3, 13}, point...)
	digest := sha256.Sum256(append(wireName(zone), rdata...))
	return zoneKey{
		Public: fmt.Sprintf("%s 3600 IN DNSKEY 257 3 13 %s", zone, base64.StdEncoding.EncodeToString(point)),
		Private: []string{
			"Private-key-format: v1.3",
			"Algorithm: 13 (ECDSAP256SHA256)",
			"PrivateKey: " + base64.StdEncoding.EncodeToString(secret[:]),
		},
		DS: fmt.Sprintf("%s 3600 IN DS %d 13 2 %s", zone, keyTag(rdata), strings.ToUpper(hex.EncodeToString(digest[:]))),
	}
}

// keyTag is the checksum by which a signature names its key (RFC 4034, appendix B).
func keyTag(rdata []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(rdata); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(rdata[i:]))
	}
	return uint16(sum + sum>>16)
}

func wireName(name string) []byte {
	var wire []byte
	for label := range strings.SplitSeq(strings.Trim(name, "."), ".") {
		if label != "" {
			wire = append(append(wire, byte(len(label))), label...)
		}
	}
	return append(wire, 0)
}
