package main

import (
	_ "embed"
	"fmt"
)

//go:embed manifests/internet-services.yaml
var internetServices string

//go:embed manifests/internet.yaml
var internetServers string

//go:embed manifests/collector.yaml
var collectorManifest string

// internetNames are the authoritative servers of the demo's internet: each is a Service and a Deployment.
var internetNames = []string{"root", "tld", "zones"}

// internet runs the demo's internet in a namespace and returns the address of its root server.
func (t target) internet(namespace string) (string, error) {
	picture, err := t.provideProgram("coredns")
	if err != nil {
		return "", err
	}
	address := map[string]string{}
	values := map[string]any{"Namespace": namespace, "Servers": internetNames, "Image": picture, "Address": address, "Key": zoneKeys, "Digest": ""}
	services, err := fill(internetServices, values)
	if err != nil {
		return "", err
	}
	if err := t.apply(services); err != nil {
		return "", err
	}
	for _, name := range internetNames {
		address[name], err = t.kubectl("get", "service", name, "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
		if err != nil {
			return "", err
		}
	}
	servers, err := fill(internetServers, values)
	if err != nil {
		return "", err
	}
	values["Digest"] = blob{text: []byte(servers)}.digest()[:16]
	if servers, err = fill(internetServers, values); err != nil {
		return "", err
	}
	if err := t.apply(servers); err != nil {
		return "", err
	}
	return address["root"], t.rolledOut(namespace, internetNames...)
}

// collector runs an OpenTelemetry Collector in a namespace that exists.
func (t target) collector(namespace string) error {
	picture, err := t.provideProgram("collector")
	if err != nil {
		return err
	}
	manifest, err := fill(collectorManifest, map[string]any{"Namespace": namespace, "Image": picture})
	if err != nil {
		return err
	}
	if err := t.apply(manifest); err != nil {
		return err
	}
	return t.rolledOut(namespace, "collector")
}

// runAnchor prints the DS record of the internet's root, the trust anchor to give a Resolver.
func runAnchor([]string) error {
	fmt.Println(zoneKeys["root"].DS)
	return nil
}

// runInternet starts the internet and prints its root server's address, the root hint to give a Resolver.
func runInternet(arguments []string) error {
	if len(arguments) != 1 {
		return fmt.Errorf("internet needs NAMESPACE")
	}
	root, err := own.internet(arguments[0])
	if err == nil {
		fmt.Println(root)
	}
	return err
}

func runCollector(arguments []string) error {
	if len(arguments) != 1 {
		return fmt.Errorf("collector needs NAMESPACE")
	}
	return own.collector(arguments[0])
}
