package devenv

import (
	"errors"
	"os"
	"syscall"
)

// reserve binds a socket that never listens. Linux then chooses its port for nobody
// else, and lets those who name it share it (SO_REUSEADDR in socket(7) and ip(7)).
func reserve() (port int, release func() error, err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, os.NewSyscallError("socket", err)
	}
	release = func() error { return os.NewSyscallError("close", syscall.Close(fd)) }
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, nil, errors.Join(os.NewSyscallError("setsockopt", err), release())
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, nil, errors.Join(os.NewSyscallError("bind", err), release())
	}
	address, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, nil, errors.Join(os.NewSyscallError("getsockname", err), release())
	}
	at, ok := address.(*syscall.SockaddrInet4)
	if !ok {
		return 0, nil, errors.Join(errors.New("the socket has no IPv4 address"), release())
	}
	return at.Port, release, nil
}
