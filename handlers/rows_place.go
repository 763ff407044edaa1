package handlers

import (
	"encoding/json"
	"hash/fnv"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// placeForm is the form of the places that this version writes. It reads all older ones.
const placeForm = 1

const (
	// maxPlace bounds a place in bytes: with its seal it goes into a message's header.
	maxPlace = 20 << 10
	// maxPlacePlain bounds one that was compressed.
	maxPlacePlain = 1 << 20
	// smallPlace is up to where a place is left as it is.
	smallPlace = 1 << 10
)

// compressed begins a place that is; others begin with the brace of their JSON.
const compressed = 'z'

// A rowsPlace is where a job goes on: how far it has come, and nothing of its request. It
// may be read by another version than the one that wrote it.
type rowsPlace struct {
	Form int `json:"v"`
	// Rows is how many rows have been delivered.
	Rows int `json:"n,omitempty"`
	// Size is how many rows to ask for on a page, where fewer than were asked for; see
	// position.Size.
	Size  int    `json:"s,omitempty"`
	Total *int64 `json:"c,omitempty"`
	// At is the place of the next page, of a search in one sequence; see
	// [dynamics.Session.After].
	At string `json:"a,omitempty"`
	// Link is the next link of a reading of changes, which has no filter.
	Link  string `json:"l,omitempty"`
	Trail trail  `json:"t,omitzero"`
	// Ranges are of a search that is read in parallel.
	Ranges *rangesPlace `json:"r,omitempty"`
}

// encode makes the bytes of a place.
func (p rowsPlace) encode() ([]byte, error) {
	p.Form = placeForm
	out, err := json.Marshal(p)
	if err == nil && len(out) > smallPlace {
		if out, err = deflated(out); err == nil {
			out = append([]byte{compressed}, out...)
		}
	}
	if err == nil && len(out) > maxPlace {
		err = messages.Errorf(messages.TooLarge, "the place of the next page, which Dataverse gives, has %d bytes, "+
			"and a job keeps %d; ask for fewer fields, or for another order", len(out), maxPlace)
	}
	return out, err
}

// placeOf reads the place that a job goes on at; there is false where it begins.
func placeOf(job *route.Job) (p rowsPlace, there bool, err error) {
	from := job.From
	if from == nil {
		return p, false, nil
	}
	if len(from) > 0 && from[0] == compressed {
		if from, err = inflated(from[1:], maxPlacePlain); err != nil {
			return p, false, badPlace()
		}
	}
	if json.Unmarshal(from, &p) != nil || p.Form < 1 || p.Rows < 0 || p.Size < 0 {
		return p, false, badPlace()
	}
	if p.Form > placeForm {
		return p, false, messages.Errorf(messages.Unavailable,
			"the job was begun by a newer version of crmbridge, which has to go on with it")
	}
	return p, true, nil
}

// badPlace keeps no cause, which could quote the place.
func badPlace() error {
	return messages.Errorf(messages.Internal, "the place that the job goes on at cannot be read")
}

// A trail finds out that places go round in circles, over all executions of a job and in
// little room: it remembers the place of a page whose number is a power of two, until the
// next such page (R. P. Brent, An improved Monte Carlo factorization algorithm, 1980).
type trail struct {
	Pages uint64 `json:"p,omitempty"`
	Sum   uint64 `json:"s,omitempty,string"`
}

// circles notes the place of the next page, and reports whether it is known.
func (t *trail) circles(place string) bool {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(place))
	if t.Pages > 0 && sum.Sum64() == t.Sum {
		return true
	}
	if t.Pages++; t.Pages&(t.Pages-1) == 0 {
		t.Sum = sum.Sum64()
	}
	return false
}

// inCircles is the error of pages that do.
func inCircles() error {
	return messages.Errorf(messages.UpstreamError,
		"Dataverse's links to the next page lead round in circles; send the request again")
}
