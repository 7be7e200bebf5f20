package ktls

import (
	"crypto/rand"
	"sync"
	"time"
)

const (
	ticketKeyCount     = 3
	ticketRotationTime = 12 * time.Hour
)

// ticketKeys are the keys that encrypt session tickets, newest first. A leaked key opens every session whose
// ticket it sealed, so they live in memory only and not for long: a ticket can be redeemed for two to three
// rotations. They belong to the server, not to a certificate: reloading one does not end resumption.
type ticketKeys struct {
	mu   sync.Mutex
	keys [][32]byte
	next time.Time // when the newest key is to be replaced
}

// now reads the wall clock, by which ticket keys age.
func (c *ServerConfig) now() time.Time {
	if c.Time != nil {
		return c.Time()
	}
	return time.Now()
}

// rotate makes new keys when they are due and hands the whole set to install. After a silence of several
// rotations as many keys are replaced, so that none is honoured for longer than promised.
func (t *ticketKeys) rotate(now time.Time, every time.Duration, install func([][32]byte)) {
	if every == 0 {
		every = ticketRotationTime
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	due := 1
	if len(t.keys) > 0 {
		if now.Before(t.next) {
			return
		}
		due = int(min(1+now.Sub(t.next)/every, ticketKeyCount))
	}
	keys := make([][32]byte, due, due+len(t.keys))
	for i := range keys {
		rand.Read(keys[i][:]) // never fails (crypto/rand)
	}
	keys = append(keys, t.keys...)
	t.keys = keys[:min(len(keys), ticketKeyCount)]
	t.next = now.Add(every)
	install(t.keys)
}
