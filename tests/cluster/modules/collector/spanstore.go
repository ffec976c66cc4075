package main

import (
	"context"
	"net"
	"net/http"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// spanstoreConfig is the exporter's section of the Collector's configuration.
type spanstoreConfig struct {
	// Endpoint is the address that serves the spans over HTTP.
	Endpoint string `mapstructure:"endpoint"`
	// MaxBatches bounds what is kept; the oldest batch goes first.
	MaxBatches int `mapstructure:"max_batches"`
}

// spanstore keeps the last batches of spans as lines of OTLP JSON. `GET /traces` returns them, oldest
// first, `DELETE /traces` forgets them.
type spanstore struct {
	config  *spanstoreConfig
	encode  ptrace.JSONMarshaler
	server  *http.Server
	guard   sync.Mutex
	batches [][]byte
}

func newSpanstoreFactory() exporter.Factory {
	defaults := func() component.Config {
		return &spanstoreConfig{Endpoint: "0.0.0.0:4319", MaxBatches: 4096}
	}
	create := func(_ context.Context, _ exporter.Settings, config component.Config) (exporter.Traces, error) {
		return &spanstore{config: config.(*spanstoreConfig)}, nil
	}
	kind := component.MustNewType("spanstore")
	return exporter.NewFactory(kind, defaults, exporter.WithTraces(create, component.StabilityLevelStable))
}

// Start opens the HTTP listener, so that a port that is taken ends the Collector with an error.
func (s *spanstore) Start(context.Context, component.Host) error {
	listener, err := net.Listen("tcp", s.config.Endpoint)
	if err != nil {
		return err
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /traces", s.list)
	routes.HandleFunc("DELETE /traces", s.forget)
	s.server = &http.Server{Handler: routes}
	go func() { _ = s.server.Serve(listener) }()
	return nil
}

// Shutdown closes the HTTP listener.
func (s *spanstore) Shutdown(ctx context.Context) error {
	if s.server == nil {
		return nil
	}
	return s.server.Shutdown(ctx)
}

// Capabilities says that batches are only read.
func (s *spanstore) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// ConsumeTraces keeps one batch.
func (s *spanstore) ConsumeTraces(_ context.Context, batch ptrace.Traces) error {
	line, err := s.encode.MarshalTraces(batch)
	if err != nil {
		return err
	}
	s.guard.Lock()
	defer s.guard.Unlock()
	s.batches = append(s.batches, line)
	if excess := len(s.batches) - s.config.MaxBatches; excess > 0 {
		s.batches = append([][]byte(nil), s.batches[excess:]...)
	}
	return nil
}

func (s *spanstore) list(response http.ResponseWriter, _ *http.Request) {
	s.guard.Lock()
	batches := s.batches[:len(s.batches):len(s.batches)]
	s.guard.Unlock()
	response.Header().Set("content-type", "application/x-ndjson")
	for _, line := range batches {
		_, _ = response.Write(line)
		_, _ = response.Write([]byte{'\n'})
	}
}

func (s *spanstore) forget(response http.ResponseWriter, _ *http.Request) {
	s.guard.Lock()
	s.batches = nil
	s.guard.Unlock()
	response.WriteHeader(http.StatusNoContent)
}
