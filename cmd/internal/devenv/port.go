package devenv

import "fmt"

// Reserve settles a port of 127.0.0.1 that was left to choose (0), since addresses
// made of it must be known before anything listens. A port that is set is left as it is.
//
// A port that was only found free is anybody's until it is listened on: the kernel
// gives it to the next listener or connection that leaves the choice to it. So it
// stays reserved until release is called. Who names it may listen meanwhile, as often
// as he likes, if his socket has SO_REUSEADDR, as Go's listeners and redis-server have.
func Reserve(port *int) (release func() error, err error) {
	if *port != 0 {
		return func() error { return nil }, nil
	}
	if *port, release, err = reserve(); err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	return release, nil
}
