package durable

import "container/list"

// makeWay chooses an open job that is given back so that a connection without any open job
// gets one, where as many jobs are open as may be: of the connection with the most, one that
// waits between two pages. Where nobody has more than one, it has read a page at least.
func (b *board) makeWay(now instant) (lose func(cause error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened < b.openMax || now < b.paused || b.needy(now, b.leaving+1) <= b.leaving {
		return nil
	}
	var victim *openJob
	most := 0
	for q := range b.busy {
		stays := 0
		for _, o := range q.open {
			if !o.leaving {
				stays++
			}
		}
		if stays <= most {
			continue
		}
		for _, p := range q.pages {
			if !p.job.leaving && (stays > 1 || p.job.turns > 0) {
				victim, most = p.job, stays
				break
			}
		}
	}
	if victim == nil {
		return nil
	}
	victim.leaving = true
	b.leaving++
	return victim.lose
}

// needy counts the queues that have a job to claim and none open, up to most.
func (b *board) needy(now instant, most int) (n int) {
	for _, from := range []*list.List{&b.fresh, &b.ring} {
		for at := from.Front(); at != nil && n < most; at = at.Next() {
			if q := at.Value.(*queue); len(q.open) == 0 {
				if ok, _ := q.claimable(now); ok {
					n++
				}
			}
		}
	}
	return n
}
