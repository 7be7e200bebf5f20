//go:build !race

package tcpstack

const raceDetector = false
