package dynamics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/crmbridge/crmbridge/dynamics/budget"
)

// body reads a bounded, decompressed answer and remembers whether a failure was
// the network's: only then may another attempt help.
type body struct {
	ctx    context.Context // of the attempt
	from   io.Reader
	header http.Header
	most   int64 // bounds what a page becomes
	left   int64
	read   int64
	err    error       // first failure other than io.EOF
	echoes *echoReader // from, where it looks for tokens
	ended  bool        // it was read to its end

	work    *budget.Lease // of the attempt's buffers
	kept    *budget.Lease // of what the answer becomes
	pending int64         // bytes of kept that are not taken yet
}

var errBodyTooLarge = errors.New("the answer is too large")

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more than allowed shows an answer that is longer
	}
	n, err := b.from.Read(p)
	b.read += int64(n)
	if int64(n) > b.left {
		b.err = errBodyTooLarge
		return int(b.left), b.err
	}
	b.left -= int64(n)
	if err == io.EOF {
		b.ended = true
	} else if err != nil {
		b.err = err
	}
	return n, err
}

// consume lets r read the answer and says whose fault a failure is.
func (b *body) consume(r *request) error {
	limit := b.left
	err := r.answered(b)
	switch {
	case errors.Is(b.err, errBodyTooLarge):
		return &Error{Kind: TooLarge, Op: r.op, Message: fmt.Sprintf("the answer is longer than %d bytes", limit),
			Err: errBodyTooLarge}
	case errors.Is(b.err, io.ErrUnexpectedEOF):
		return &Error{Kind: Upstream, Op: r.op, Message: "the answer broke off", Err: b.err, retry: true}
	case b.err != nil:
		return b.err
	case err == nil:
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return unusable(r.op, "the answer is not the JSON that was expected", err)
}

// networkError tells what failed in words that cannot hold the URL or anything
// that the other side sent; the cause stays below Unwrap, without *url.Error.
func networkError(op string, err error) *Error {
	message := "the connection failed"
	timeout, isNet := errors.AsType[net.Error](err)
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		message = "the host name does not exist"
	} else if isNet && timeout.Timeout() {
		// Not wrapped: the caller's own deadline has not passed.
		return &Error{Kind: Unavailable, Op: op, Message: "no answer in time", retry: true}
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		message = "the connection was refused"
	} else if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) {
		message = "the connection was cut"
	} else if isCertificateFault(err) {
		return &Error{Kind: Unavailable, Op: op, Message: "the host's certificate is not trusted", Err: withoutURL(err)}
	}
	return &Error{Kind: Unavailable, Op: op, Message: message, Err: withoutURL(err), retry: true}
}
