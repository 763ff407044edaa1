package durable

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/crmbridge/crmbridge/messages"
)

// A checkpoint is what goes with a stored page for whoever runs the job from there.
type checkpoint struct {
	place []byte // as Part.Place gave it
	bytes int64  // of the results up to here
}

// Forms of a checkpoint, its first byte. All of them can be opened; the last one is made.
const (
	// checkpointForm has the bytes of the results as a varint, then the place, the two
	// compressed by DEFLATE.
	checkpointForm = 1
)

// maxPlace bounds an opened checkpoint in bytes: what is sealed has at most MaxCheckpoint.
const maxPlace = 1 << 20

// Errors of a checkpoint that cannot be used.
var (
	// errNewerForm: a newer version made it.
	errNewerForm = errors.New("the checkpoint has a form of a newer version")
	// errUnreadable: it is not of this job, page and incarnation, or has been changed.
	errUnreadable = errors.New("the checkpoint of the last stored page cannot be opened")
)

// checkpointData is what a checkpoint is bound to, so that one of another job or page, or of
// a connection that is gone, does not open.
func checkpointData(key jobKey, incarnation string, page int) []byte {
	return []byte("crmbridge checkpoint\x00" + key.connection + "\x00" + incarnation + "\x00" + key.id + "\x00" +
		strconv.Itoa(page))
}

// leastCheckpoint is room for most checkpoints, in bytes.
const leastCheckpoint = 512

// deflaters keeps writers: a new one takes 1.2 MB, which is more than most pages. Reset makes
// one like new: it looks back at nothing that was written before.
var deflaters = sync.Pool{New: func() any {
	small, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil { // of a level that does not exist
		panic(err)
	}
	return small
}}

// seal makes the header of a checkpoint. Its error is of code internal where there is too
// much in it: JetStream takes 64 KiB of headers.
func (l *Lane) seal(c checkpoint, key jobKey, incarnation string, page int) (string, error) {
	plain := bytes.NewBuffer(make([]byte, 0, leastCheckpoint))
	plain.WriteByte(checkpointForm)
	small := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(small)
	small.Reset(plain)
	if _, err := small.Write(binary.AppendUvarint(nil, uint64(c.bytes))); err != nil {
		return "", fmt.Errorf("compress a checkpoint: %w", err)
	}
	if _, err := small.Write(c.place); err != nil {
		return "", fmt.Errorf("compress a checkpoint: %w", err)
	}
	if err := small.Close(); err != nil {
		return "", fmt.Errorf("compress a checkpoint: %w", err)
	}
	sealed, err := l.options.Sealer.Seal(plain.Bytes(), checkpointData(key, incarnation, page))
	if err != nil {
		return "", fmt.Errorf("seal a checkpoint: %w", err)
	}
	text := base64.StdEncoding.EncodeToString(sealed)
	if len(text) > messages.MaxCheckpoint {
		return "", final(messages.Errorf(messages.Internal,
			"the place to go on from takes %d bytes, and crmbridge stores at most %d; nothing more can be read",
			len(text), messages.MaxCheckpoint))
	}
	return text, nil
}

// open reads a checkpoint. Its errors are errNewerForm and errUnreadable.
func (l *Lane) open(text string, key jobKey, incarnation string, page int) (checkpoint, error) {
	var c checkpoint
	if len(text) > messages.MaxCheckpoint {
		return c, fmt.Errorf("%w: it has %d bytes", errUnreadable, len(text))
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return c, fmt.Errorf("%w: it is not base64", errUnreadable)
	}
	plain, err := l.options.Sealer.Open(sealed, checkpointData(key, incarnation, page))
	if err != nil {
		return c, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if len(plain) == 0 || plain[0] == 0 {
		return c, fmt.Errorf("%w: it has no form", errUnreadable)
	}
	if plain[0] > checkpointForm {
		return c, fmt.Errorf("%w: %d", errNewerForm, plain[0])
	}
	whole, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(plain[1:])), maxPlace+1))
	if err != nil || len(whole) > maxPlace {
		return c, fmt.Errorf("%w: it is not compressed as it should be", errUnreadable)
	}
	used, n := binary.Uvarint(whole)
	if n <= 0 || used > mostCounted {
		return c, fmt.Errorf("%w: it does not say how much is stored", errUnreadable)
	}
	return checkpoint{place: whole[n:], bytes: int64(used)}, nil
}
