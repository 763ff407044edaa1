package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// batchesLevel is the level of JetStream's API that has atomic batches: nats-server 2.12.
// See https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-44.md.
const batchesLevel = 2

// recent fails where there is no JetStream, or one without atomic batches.
func recent(ctx context.Context, js jetstream.JetStream) error {
	_, err := account(ctx, js)
	return err
}

// account is what JetStream says of the account; its errors are those of recent.
func account(ctx context.Context, js jetstream.JetStream) (*jetstream.AccountInfo, error) {
	info, err := js.AccountInfo(ctx)
	switch {
	case err != nil && Absent(err):
		return nil, fmt.Errorf("%w: it needs JetStream, and %s", ErrStreams, Why(err))
	case err != nil:
		return nil, fmt.Errorf("ask for JetStream: %w", err)
	case info.API.Level >= batchesLevel:
		return info, nil
	}
	return nil, fmt.Errorf("%w: it needs nats-server 2.12 for atomic batches, and the JetStream of this account is older "+
		"(the server that crmbridge is connected to is %s)", ErrStreams, js.Conn().ConnectedServerVersion())
}

// Error codes of JetStream where a stream cannot be made.
const (
	codeAccountResources = 10002
	codeNoPeers          = 10005
	codeNoResources      = 10023
	codeNoStorage        = 10047
	codeOverlaps         = 10065
	codeNoReplicas       = 10074
	codeMaxBytesRequired = 10113
	codeMaxBytesExceeded = 10122
)

// lacksRoom reports whether a stream could not be made because of the bytes that it reserves.
func lacksRoom(err error) bool {
	fault, ok := errors.AsType[*jetstream.APIError](err)
	return ok && slices.Contains([]jetstream.ErrorCode{codeNoStorage, codeNoResources, codeAccountResources, codeNoPeers,
		codeMaxBytesExceeded}, fault.ErrorCode)
}

// noRoom words why a stream cannot be made: which limit says no, and which setting of
// crmbridge asked for as much.
func noRoom(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, err error) error {
	fault, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return fmt.Errorf("make stream %s: %w", want.Name, err)
	}
	asked := fmt.Sprintf("stream %s asks for %s of file storage", want.Name, gibibytes(want.MaxBytes))
	if want.Name == messages.ResultsStream {
		asked += " (RESULTS_MAX_BYTES)"
	}
	var why string
	switch fault.ErrorCode {
	case codeNoStorage, codeNoResources:
		why = asked + ", and the server's jetstream.max_file_store has no room for it"
	case codeAccountResources:
		why = asked + ", which is above what the account's limit on disk storage has left"
	case codeMaxBytesExceeded:
		why = asked + ", which is above the account's limit on the bytes of one stream"
	case codeMaxBytesRequired:
		why = fmt.Sprintf("the account asks for a bound in bytes of every stream (max_bytes_required), and %s has "+
			"none; make it by hand", want.Name)
	case codeNoReplicas:
		why = fmt.Sprintf("NATS_REPLICAS is %d, and the server is not in a cluster", want.Replicas)
	case codeNoPeers:
		why = fmt.Sprintf("%s on %d servers (NATS_REPLICAS), and so many with room for it (jetstream.max_file_store) "+
			"are not there", asked, want.Replicas)
	case codeOverlaps:
		why = fmt.Sprintf("stream %s cannot be made, since %s", want.Name, taken(ctx, js, want))
	default:
		return fmt.Errorf("make stream %s: %w", want.Name, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrStreams, why, fault)
}

// taken says which streams have subjects of one that is to be made.
func taken(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) string {
	var names []string
	for _, subject := range want.Subjects {
		ctx, cancel := context.WithTimeout(ctx, streamsWait)
		for name := range js.StreamNames(ctx, jetstream.WithStreamListSubject(subject)).Name() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		cancel()
	}
	if len(names) == 0 {
		return "another stream has some of its subjects"
	}
	return "these have some of its subjects: " + strings.Join(names, ", ")
}

// gibibytes spells a bound of a stream.
func gibibytes(n int64) string {
	switch {
	case n <= 0:
		return "any amount"
	case n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// addRounds is how often subjects are added: JetStream has no compare-and-set for a stream's
// configuration. Processes that serve the same tables write the same; where others start in
// the same moment, the look after the update finds most of what they overwrote.
const addRounds = 4

// addSubjects adds what a stream lacks of subjects, and returns what it has then. The
// configuration is passed on as the server gave it: a newer one has fields that this
// client does not know.
func addSubjects(ctx context.Context, js jetstream.JetStream, stream string, subjects []string) ([]string, error) {
	for range addRounds {
		info, err := call(ctx, js.Conn(), "$JS.API.STREAM.INFO."+stream, nil)
		if err != nil {
			return nil, fmt.Errorf("look at stream %s: %w", stream, err)
		}
		var has []string
		if err := json.Unmarshal(info["subjects"], &has); err != nil {
			return nil, fmt.Errorf("look at stream %s: its subjects: %w", stream, err)
		}
		lacking := missing(subjects, has)
		if len(lacking) == 0 {
			return has, nil
		}
		if info["subjects"], err = json.Marshal(slices.Concat(has, lacking)); err != nil {
			return nil, err
		}
		if _, err := call(ctx, js.Conn(), "$JS.API.STREAM.UPDATE."+stream, info); err != nil {
			return nil, fmt.Errorf("add %s to the subjects of stream %s: %w", strings.Join(lacking, ", "), stream, err)
		}
	}
	return nil, fmt.Errorf("the subjects of stream %s are changed by somebody else again and again", stream)
}

// call asks JetStream's API and returns the configuration of the stream in its answer.
func call(ctx context.Context, nc *nats.Conn, subject string,
	config map[string]jsontext.Value) (map[string]jsontext.Value, error) {
	var ask []byte
	if config != nil {
		var err error
		if ask, err = json.Marshal(config); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, streamsWait)
	defer cancel()
	reply, err := nc.RequestWithContext(ctx, subject, ask)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error  *jetstream.APIError       `json:"error"`
		Config map[string]jsontext.Value `json:"config"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, fmt.Errorf("the answer is not JetStream's: %w", err)
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	return answer.Config, nil
}
