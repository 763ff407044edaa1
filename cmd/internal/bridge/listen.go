package bridge

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// mostConnections bounds the open connections of a listener, and mostHeader what each may send
// before it is heard: strangers reach HTTP_ADDR, and what they hold stands beside the memory budget.
// One with a half-sent header holds about three times its bytes. A connection that asks nothing is
// closed soon, so that nobody fills a listener by a request now and then.
const (
	mostConnections = 512
	mostHeader      = 16 << 10 // bytes: a code of Entra has some 2 KB, and a browser sends its cookies
	idleTime        = 10 * time.Second
)

// listen serves HTTP on an address until the process stops; that it is taken is found
// at once.
func (b *Bridge) listen(name, addr string, handler http.Handler) error {
	return b.serve(name, addr, &http.Server{Handler: handler, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute})
}

// serve is listen with a server's own times.
func (b *Bridge) serve(name, addr string, server *http.Server) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	server.ReadHeaderTimeout, server.IdleTimeout, server.MaxHeaderBytes = 5*time.Second, idleTime, mostHeader
	server.DisableGeneralOptionsHandler = true // each answer is its handler's, with what that adds to it
	server.ErrorLog = slog.NewLogLogger(b.log.Handler(), slog.LevelDebug)
	go func() {
		err := server.Serve(netutil.LimitListener(listener, mostConnections))
		if !errors.Is(err, http.ErrServerClosed) {
			b.failed <- fmt.Errorf("%s: %w", name, err)
		}
	}()
	b.onStop(server.Shutdown)
	return nil
}
