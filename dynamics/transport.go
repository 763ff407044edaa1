package dynamics

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// transports are what requests go by where the caller brings nothing of his own.
//
// HTTP/2 makes all calls of an environment by one connection: more calls at once need no
// further handshake, and a connection that died silently is found by a ping before the
// next request is lost on it. What it costs was measured on loopback with TLS: a page of
// ten rows took 40 µs of CPU by HTTP/2 and 30 by HTTP/1.1, one of 5000 rows 3.0 and
// 1.4 ms. And a stream is read no faster than its receive buffer a round trip, 10 MB a
// second at 50 ms, while TCP's own window grows as far as the way is long. So long
// answers, which take a second connection's handshake with ease, go by HTTP/1.1.
type transports struct{ short, long *http.Transport }

// multiplexed is the longest answer that goes by HTTP/2 by choice, as far as its length is
// known before, in bytes.
const multiplexed = 256 << 10

// shortAnswer is what one read takes off an HTTP/1.1 connection, in bytes: a page of ten rows with
// its head. With Go's 4 KiB its end costs a read of its own.
const shortAnswer = 16 << 10

// newTransports are tuned for many requests to few hosts. There is no cookie jar
// anywhere: Dataverse's affinity cookie would pin a fleet to one web server.
func newTransports(receiveBuffer, calls int) *transports {
	short, long := newTransport(calls), newTransport(calls)
	short.Protocols.SetHTTP2(true)
	short.ReadBufferSize = shortAnswer
	// A connection's buffer is as large as those of its streams together: were it
	// smaller, answers that wait for memory would hold up the one that has it.
	short.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second,
		MaxReceiveBufferPerStream: receiveBuffer}
	return &transports{short: short, long: long}
}

func newTransport(calls int) *http.Transport {
	// A connection of HTTP/1.1 that died silently while nobody used it is found in 30 s.
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: net.KeepAliveConfig{Enable: true,
		Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		Protocols:           new(http.Protocols),
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		// Fewer than there are calls at once would be dialled again under steady load.
		MaxIdleConns:           2 * calls,
		MaxIdleConnsPerHost:    calls,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // see zips
	}
	t.Protocols.SetHTTP1(true)
	return t
}

func (t *transports) closeIdle() {
	t.short.CloseIdleConnections()
	t.long.CloseIdleConnections()
}
