package tokens

import "time"

// pace decides how long a process pauses between renewals after failures. What one
// customer's directory refuses must not slow the renewal of all others; what everybody
// meets, a wrong secret or an Entra that is away or throttles, must not be asked for
// at full rate.
type pace struct {
	calm time.Duration
	// refused are the directories that have refused since the last answer that was
	// none: many in a row have one cause, whatever each of them says.
	refused map[string]bool
}

const (
	calmFirst = time.Second // a process's pause after failures in a row
	calmMost  = 2 * time.Minute
	// refusedMost is how many directories in a row are one customer's own cause each.
	refusedMost = 8
)

// renewed is how one renewal ended; a nil outcome says nothing about anybody.
type renewed struct {
	directory string
	err       *Error // nil: Entra gave a token, or said that a person must connect again
}

// after takes the outcomes of renewals that ran side by side and returns the pause
// before the next ones.
func (w *pace) after(all []*renewed) time.Duration {
	var trouble *Error
	answered := false
	for _, r := range all {
		switch {
		case r == nil:
		case r.err == nil:
			answered = true
			w.refused = nil
		case r.err.Code == CodeInternal: // a defect
		case !r.err.own:
			trouble = r.err
		default:
			if w.refused == nil {
				w.refused = map[string]bool{}
			}
			if w.refused[r.directory] = true; len(w.refused) > refusedMost {
				trouble = r.err
			}
		}
	}
	switch {
	case answered: // what failed at the same time has causes of its own
		w.calm = 0
	case trouble == nil: // nothing is known but what single directories say
	case w.calm == 0:
		w.calm = max(calmFirst, min(trouble.RetryAfter, calmMost))
	default:
		w.calm = min(max(w.calm*2, trouble.RetryAfter), calmMost)
	}
	if trouble == nil {
		return 0
	}
	return w.calm
}
