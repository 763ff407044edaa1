//go:build race

package main

// raceDetector is on: it needs several times the memory.
const raceDetector = true
