package interactive

import "github.com/crmbridge/crmbridge/dynamics/budget"

// leastHeld is what a request is taken to hold in any case.
const leastHeld = 4 << 10

// account opens what a request may hold, its body to begin with. There is room for
// the body at once or not at all: it is there already.
func (c *Consumer) account(body []byte) (*budget.Account, error) {
	return c.memory.Open(int64(len(body)) + leastHeld)
}
