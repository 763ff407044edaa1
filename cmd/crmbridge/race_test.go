//go:build race

package main

// underRace: the race detector makes everything several times slower, so that
// tests by chance take fewer samples.
const underRace = true
