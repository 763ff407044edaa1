//go:build !linux

package devenv

import "net"

// reserve finds a port that is free now. Elsewhere than on Linux a bound socket keeps
// out those who name its port, too, so that nothing can hold it for them.
func reserve() (port int, release func() error, err error) {
	listener, err := net.Listen("tcp", Address(0))
	if err != nil {
		return 0, nil, err
	}
	return listener.Addr().(*net.TCPAddr).Port, func() error { return nil }, listener.Close()
}
