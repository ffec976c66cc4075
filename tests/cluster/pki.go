package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// authority is the cluster's own certificate authority.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// identity is who a certificate of the cluster speaks for.
type identity struct {
	file    string
	user    string
	group   string
	dns     []string
	ips     []string
	kubecfg bool
}

var identities = []identity{
	{file: "apiserver", user: "kube-apiserver", dns: []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost",
	}, ips: []string{"127.0.0.1", nodeAddress, apiService}},
	{file: "kubelet", user: "system:node:" + nodeName, group: "system:nodes", dns: []string{nodeName}, ips: []string{nodeAddress}, kubecfg: true},
	{file: "admin", user: "admin", group: "system:masters", kubecfg: true},
	{file: "controller-manager", user: "system:kube-controller-manager", kubecfg: true},
	{file: "scheduler", user: "system:kube-scheduler", kubecfg: true},
	{file: "proxy", user: "system:kube-proxy", kubecfg: true},
}

// writeCredentials makes the authority, every certificate, the key of service account tokens, and the
// kubeconfig files.
func writeCredentials() error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	if err := writePEM(state("pki", "ca.crt"), "CERTIFICATE", ca.certificate.Raw); err != nil {
		return err
	}
	if err := writeKey(state("pki", "ca.key"), ca.key); err != nil {
		return err
	}
	tokens, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if err := writeKey(state("pki", "service-account.key"), tokens); err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(tokens.Public())
	if err != nil {
		return err
	}
	if err := writePEM(state("pki", "service-account.pub"), "PUBLIC KEY", public); err != nil {
		return err
	}
	for _, who := range identities {
		if err := ca.issue(who); err != nil {
			return fmt.Errorf("certificate of %s: %w", who.file, err)
		}
	}
	return nil
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificateTemplate(pkix.Name{CommonName: "weir-test-cluster"})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(raw)
	return &authority{certificate, key}, err
}

func certificateTemplate(subject pkix.Name) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(0, 1, 0),
	}
}

func (ca *authority) issue(who identity) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	subject := pkix.Name{CommonName: who.user}
	if who.group != "" {
		subject.Organization = []string{who.group}
	}
	template := certificateTemplate(subject)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = who.dns
	for _, address := range who.ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, key.Public(), ca.key)
	if err != nil {
		return err
	}
	if err := writePEM(state("pki", who.file+".crt"), "CERTIFICATE", raw); err != nil {
		return err
	}
	if err := writeKey(state("pki", who.file+".key"), key); err != nil {
		return err
	}
	if !who.kubecfg {
		return nil
	}
	return writeKubeconfig(who.file)
}

func writeKubeconfig(name string) error {
	var encoded [3]string
	for i, file := range []string{"ca.crt", name + ".crt", name + ".key"} {
		text, err := os.ReadFile(state("pki", file))
		if err != nil {
			return err
		}
		encoded[i] = base64.StdEncoding.EncodeToString(text)
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: weir
clusters: [{name: weir, cluster: {server: "https://%s:6443", certificate-authority-data: %s}}]
users: [{name: weir, user: {client-certificate-data: %s, client-key-data: %s}}]
contexts: [{name: weir, context: {cluster: weir, user: weir}}]
`, nodeAddress, encoded[0], encoded[1], encoded[2])
	return os.WriteFile(state(name+".conf"), []byte(text), 0o600)
}

func writeKey(path string, key crypto.PrivateKey) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", raw)
}

func writePEM(path, kind string, raw []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600)
}
