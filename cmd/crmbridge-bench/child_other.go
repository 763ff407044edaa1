//go:build !unix

package main

import (
	"errors"
	"os"
)

var errNoPause = errors.New("processes cannot be paused on this system")

func signalStop(*os.Process) error     { return errNoPause }
func signalContinue(*os.Process) error { return errNoPause }
