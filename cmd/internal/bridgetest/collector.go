package bridgetest

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// A Collector receives spans by OTLP, over HTTP and gRPC, until the test ends.
type Collector struct {
	collector.UnimplementedTraceServiceServer
	HTTP, GRPC string // URLs

	mu    sync.Mutex
	spans []*otlp.Span
	text  []byte // all that was received, as it was sent
}

// NewCollector starts one.
func NewCollector(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	web := httptest.NewServer(http.HandlerFunc(c.post))
	t.Cleanup(web.Close)
	c.HTTP = web.URL
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // until it is stopped
	}()
	t.Cleanup(func() {
		server.Stop()
		<-ended
	})
	c.GRPC = "http://" + listener.Addr().String()
	return c
}

func (c *Collector) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	request := &collector.ExportTraceServiceRequest{}
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, request) != nil {
		http.Error(w, "these are no spans", http.StatusBadRequest)
		return
	}
	c.keep(request)
	w.Header().Set("Content-Type", "application/x-protobuf") // an empty answer takes all
}

// Export receives spans over gRPC.
func (c *Collector) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (
	*collector.ExportTraceServiceResponse, error) {
	c.keep(request)
	return &collector.ExportTraceServiceResponse{}, nil
}

func (c *Collector) keep(request *collector.ExportTraceServiceRequest) {
	text, _ := proto.Marshal(request) // it has just been read
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, text...)
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

// Text is all that was received.
func (c *Collector) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

// A Span is what was received of one.
type Span struct {
	Name, Trace, ID, Parent string            // ids in hex; Parent is "" for a root
	Linked                  []string          // ids of spans
	Attributes              map[string]string // values as text; numbers are not there
	Numbers                 map[string]int64
}

// Spans are those received until now.
func (c *Collector) Spans() (spans []Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		span := Span{Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
			Parent: hex.EncodeToString(s.GetParentSpanId()), Attributes: map[string]string{}, Numbers: map[string]int64{}}
		for _, link := range s.GetLinks() {
			span.Linked = append(span.Linked, hex.EncodeToString(link.GetSpanId()))
		}
		for _, a := range s.GetAttributes() {
			span.Attributes[a.GetKey()] = a.GetValue().GetStringValue()
			span.Numbers[a.GetKey()] = a.GetValue().GetIntValue()
		}
		spans = append(spans, span)
	}
	return spans
}
