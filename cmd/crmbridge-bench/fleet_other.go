//go:build !unix

package main

import "errors"

func askToCollect(int) error {
	return errors.New("the memory that a process keeps is measured on Unix only")
}

func collectOnSignal() (stop func()) { return func() {} }
