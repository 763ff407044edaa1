package bridge

import (
	"runtime/debug"
	"time"
)

// settleWait is how long after its start a process gives back what only the start needed: the
// first requests are answered before.
const settleWait = 2 * time.Second

// settle gives back what only the start needed: garbage of several MiB, and most of the program,
// of which starting runs through nearly every part and idling needs a tenth.
func settle() {
	debug.FreeOSMemory()
	releaseProgram()
}
