package e2e

import "github.com/crmbridge/crmbridge/cmd/internal/bridgetest"

// raceDetector is on: it needs several times the memory, and the time.
const raceDetector = bridgetest.Raced
