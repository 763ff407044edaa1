package bridge

import (
	"net/url"
	"os"
	"strconv"
	"strings"
)

// Traces say whether spans are exported, and how.
type Traces struct {
	On       bool
	Protocol string // protocolGRPC or protocolHTTP
	Queue    int    // spans that may wait
}

// Protocols of OTLP that this build speaks.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// spansQueued is OpenTelemetry's own default of OTEL_BSP_MAX_QUEUE_SIZE, and mostSpansQueued
// the most.
const (
	spansQueued     = 2048
	mostSpansQueued = 1 << 17
)

// traceVariables are those of OpenTelemetry that count here. They are its SDK's, which reads
// them from the environment, so that they have no flags.
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
var traceVariables = []string{
	"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES",
	"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
	"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
	"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
	"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
	"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
	"OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
	"OTEL_EXPORTER_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
	"OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
	"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
	"OTEL_EXPORTER_OTLP_CLIENT_KEY", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
	"OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_EXPORT_TIMEOUT",
	"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
}

// traces reads what has to be known here. What the SDK would only complain of, in words with the
// value in it, is a fault.
func (r *reader) traces() Traces {
	t := Traces{Protocol: protocolHTTP, Queue: spansQueued}
	if strings.EqualFold(strings.TrimSpace(os.Getenv("OTEL_SDK_DISABLED")), "true") {
		return t
	}
	switch exporter := strings.TrimSpace(os.Getenv("OTEL_TRACES_EXPORTER")); exporter {
	case "none":
		return t
	case "", "otlp":
	default:
		r.fault("OTEL_TRACES_EXPORTER", "must be otlp or none")
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if text := os.Getenv(name); text != "" {
			t.On = true
			if !isCollector(text) {
				r.fault(name, "must be the URL of a collector, such as http://127.0.0.1:4318")
			}
		}
	}
	if !t.On {
		return t
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		switch protocol := strings.TrimSpace(os.Getenv(name)); protocol {
		case "":
		case protocolGRPC, protocolHTTP:
			t.Protocol = protocol
		default:
			r.fault(name, "must be %s or %s", protocolHTTP, protocolGRPC)
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
		"OTEL_RESOURCE_ATTRIBUTES"} {
		if !isPairs(os.Getenv(name)) {
			r.fault(name, "must be a list such as key=value,key=value, percent-encoded where a value needs it")
		}
	}
	if text := strings.TrimSpace(os.Getenv("OTEL_BSP_MAX_QUEUE_SIZE")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostSpansQueued {
			r.fault("OTEL_BSP_MAX_QUEUE_SIZE", "must be a number from 1 to %d", mostSpansQueued)
		} else {
			t.Queue = n
		}
	}
	return t
}

// isCollector reports whether text is the URL of a collector.
func isCollector(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// isPairs reports whether text is a list of pairs as OpenTelemetry has them; "" is one.
func isPairs(text string) bool {
	if strings.TrimSpace(text) == "" {
		return true
	}
	for pair := range strings.SplitSeq(text, ",") {
		name, value, found := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(value); !found || strings.TrimSpace(name) == "" || err != nil {
			return false
		}
	}
	return true
}
