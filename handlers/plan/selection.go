package plan

import (
	"encoding/binary"
	"strings"
	"sync"

	"github.com/crmbridge/crmbridge/dynamics"
)

// selections keeps what lists of fields become, where that is the same in every
// environment: most requests ask for the same ones. What it holds is read only.
type selections struct {
	mu    sync.Mutex
	known map[string][]dynamics.Output
}

// maxSelections and maxSelectionKey bound what is kept: longer lists are planned each time.
const (
	maxSelections   = 256
	maxSelectionKey = 2 << 10
)

// selectionKey holds the names so that they cannot run together.
func selectionKey(key []byte, names []string) []byte {
	for _, name := range names {
		key = append(binary.AppendUvarint(key, uint64(len(name))), name...)
		if len(key) > maxSelectionKey {
			break
		}
	}
	return key
}

// of returns what is kept of a key, nil where nothing is.
func (s *selections) of(key []byte) []dynamics.Output {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[string(key)]
}

// keep keeps outputs that were made just now, with names of their own.
func (s *selections) keep(key []byte, outputs []dynamics.Output) {
	if len(key) > maxSelectionKey {
		return
	}
	for i := range outputs { // of the request's body nothing is kept
		outputs[i].As = strings.Clone(outputs[i].As)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string][]dynamics.Output{}
	}
	for other := range s.known { // any one: most are used again, and it is made again soon
		if len(s.known) < maxSelections {
			break
		}
		delete(s.known, other)
	}
	s.known[string(key)] = outputs
}
