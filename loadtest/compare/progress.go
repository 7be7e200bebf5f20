package compare

import (
	"math"
	"time"

	"ocaserve/ktls"
)

// A Progress says which measurement comes next.
type Progress struct {
	Done, Total int
	Round       int // from 1
	Cell        Key
	Left        time.Duration // that this and the others will take, by those that are done
}

// An estimate says how long measurements will take. A cell takes again what it took in the last round; one that has
// not been measured takes what is guessed, as much longer or shorter as the others were.
type estimate struct {
	opts           *Options
	took           map[Key]time.Duration
	spent, guessed time.Duration // on all that are done
}

func newEstimate(o *Options) *estimate { return &estimate{opts: o, took: make(map[Key]time.Duration)} }

// note is told how long a measurement took.
func (e *estimate) note(k Key, took time.Duration) {
	e.took[k] = took
	e.spent += took
	e.guessed += e.guess(k)
}

// left is the time for the cells from place `from` on in a round, counted from 0, and for the rounds behind it.
func (e *estimate) left(keys []Key, round, from int) (sum time.Duration) {
	for i, k := range keys {
		times := e.opts.Rounds - round - 1
		if i >= from {
			times++
		}
		sum += time.Duration(times) * e.of(k)
	}
	return sum
}

func (e *estimate) of(k Key) time.Duration {
	if took, is := e.took[k]; is {
		return took
	}
	guess := e.guess(k)
	if e.guessed == 0 {
		return guess
	}
	return time.Duration(float64(guess) * float64(e.spent) / float64(e.guessed))
}

// guess is what a measurement takes on some machine. Where packets are lost, some SYN or its answer is sooner or
// later, and its connection is awaited: for a second, the first time-out of TCP.
func (e *estimate) guess(k Key) time.Duration {
	const (
		firstTimeout = time.Second
		handshake    = 1500 * time.Microsecond // of both sides' processors
		trips        = 2                       // of a handshake
	)
	d := e.opts.Duration + warmUpLeast + warmUpTrips*e.opts.RTT
	waves := (k.Conns + joinAtOnce - 1) / joinAtOnce
	d += time.Duration(waves*trips) * e.opts.RTT
	if k.Mode != ktls.ModeOff {
		d += time.Duration(k.Conns) * handshake
	}
	someLost := 1 - math.Pow(1-k.Loss, float64(2*k.Conns))
	return d + time.Duration(someLost*float64(firstTimeout))
}
