package interactive

import "github.com/crmbridge/crmbridge/dynamics/budget"

// leastHeld is what a request is taken to hold in any case.
const leastHeld = 4 << 10

// account opens what a request may hold, its body to begin with. There is room for
// the body at once or not at all: it is there already.
func (c *Consumer) account(r *request) (*budget.Account, error) {
	return c.memory.OpenIn(&r.account, int64(len(r.msg.Data))+leastHeld)
}
