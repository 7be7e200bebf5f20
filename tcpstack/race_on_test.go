//go:build race

package tcpstack

// raceDetector says that the race detector is on, which makes simulations many times slower and finds
// nothing in them: they have one goroutine.
const raceDetector = true
