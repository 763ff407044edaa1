package handlers

const (
	// usualReaders is how many pages are read at once where Dataverse recommends no number.
	usualReaders = 12
	// leastHinted is how many are read at once where it recommends fewer than half of that:
	// its recommendation is for writing, and pages are read.
	leastHinted = 4
	// mostReaders bounds them whatever it recommends.
	mostReaders = 16
	// readersGrow is after how many pages without a refusal there is one reader more.
	readersGrow = 20
)

// readers is how many pages are read at once.
type readers struct {
	now, most int
	pages     int // since the number changed
	round     int // how often it was halved
}

// newReaders are as many as the environment's hint says, 0 for none, and half of the calls
// that the user may have in flight, 0 for any number.
func newReaders(hint, userCalls int) readers {
	n := usualReaders
	if hint > 0 {
		n = max(leastHinted, 2*min(hint, mostReaders))
	}
	return readers{}.bounded(n, userCalls)
}

// bounded are n readers within the bounds of this process.
func (readers) bounded(n, userCalls int) readers {
	n = min(n, mostReaders)
	if userCalls > 0 {
		n = min(n, userCalls/2)
	}
	n = max(n, 1)
	return readers{now: n, most: n}
}

// learn takes a page into account that was begun in a round. Dataverse refuses all that is
// under way, so what was begun before the number was halved does not halve it again.
func (r *readers) learn(limited bool, round int) {
	switch {
	case limited && round == r.round:
		r.now, r.pages = max(1, r.now/2), 0
		r.round++
	case !limited:
		if r.pages++; r.pages >= readersGrow {
			r.now, r.pages = min(r.now+1, r.most), 0
		}
	}
}
