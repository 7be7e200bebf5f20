package origin

import (
	"errors"

	"ocaserve/ktls"
	"ocaserve/tcpstack/mono"
)

// receive moves some bytes from the connection to the inbox and reports whether it should be called again
// if they were not enough.
func (s *session) receive(now mono.Time) bool {
	if s.opener != nil {
		return s.receiveRecord(now)
	}
	if s.c.Readable() == 0 {
		return false
	}
	n := s.c.Read(s.in.grow(&s.sh.buffers, 1))
	s.in.added(&s.sh.buffers, n)
	return n > 0
}

// readAhead opens records while a response is running, until one holds a request: a peer that updates its
// keys during a long download must not have to wait for its end (RFC 8446 section 4.6.3). Plain bytes stay
// where they are; the window closes.
func (s *session) readAhead(now mono.Time) {
	for s.opener != nil && s.in.len() == 0 && s.state != stateLinger && s.state != stateOver {
		if !s.receiveRecord(now) {
			return
		}
	}
}

// receiveRecord opens one record, where it lies if it lies in one run.
func (s *session) receiveRecord(now mono.Time) bool {
	if s.peerClosed {
		return false
	}
	switch {
	case s.raw != nil:
		return s.assemble(now)
	case len(s.early) > 0:
		return s.receiveEarly(now)
	}
	run := s.c.Peek()
	if len(run) == 0 {
		return false
	}
	need, err := ktls.RecordLen(run)
	switch {
	case err != nil:
		return s.tlsFailed(now, err)
	case len(run) >= need:
		ok := s.open(now, run[:need])
		if s.state != stateOver && s.state != stateLinger {
			s.c.Discard(need)
		}
		return ok
	case s.c.Readable() < need:
		return false // the window is larger than a record: wait for the rest without holding a buffer
	}
	s.raw = s.sh.buffers.get(need)
	return s.assemble(now)
}

// receiveEarly opens one record of what arrived during the handshake. The last one may go on in the
// connection.
func (s *session) receiveEarly(now mono.Time) bool {
	need, err := ktls.RecordLen(s.early)
	if err != nil {
		return s.tlsFailed(now, err)
	}
	if len(s.early) < need {
		s.raw = append(s.sh.buffers.get(need), s.early...)
		s.early = nil
		return s.assemble(now)
	}
	record := s.early[:need]
	if s.early = s.early[need:]; len(s.early) == 0 {
		s.early = nil
	}
	return s.open(now, record)
}

// assemble puts a record that is spread over several runs together.
func (s *session) assemble(now mono.Time) bool {
	for {
		need, err := ktls.RecordLen(s.raw)
		if err != nil {
			return s.tlsFailed(now, err)
		}
		if len(s.raw) == need {
			break
		}
		if cap(s.raw) < need {
			b := append(s.sh.buffers.get(need), s.raw...)
			s.dropRaw()
			s.raw = b
		}
		n := s.c.Read(s.raw[len(s.raw):need])
		if n == 0 {
			return false
		}
		s.raw = s.raw[:len(s.raw)+n]
	}
	ok := s.open(now, s.raw)
	s.dropRaw()
	return ok
}

func (s *session) dropRaw() {
	s.sh.buffers.put(s.raw)
	s.raw = nil
}

// open decrypts one whole record into the inbox and does what it asks for.
func (s *session) open(now mono.Time, record []byte) bool {
	_, plain, event, err := s.opener.Open(record)
	s.sh.stats.tls.opened(event, err)
	if err == nil {
		err = s.framer.Answer((*queue)(s), event)
	}
	if err != nil {
		return s.tlsFailed(now, err)
	}
	if len(plain) > 0 {
		n := copy(s.in.grow(&s.sh.buffers, len(plain)), plain)
		s.in.added(&s.sh.buffers, n)
	}
	s.peerClosed = event == ktls.EventClose
	return !s.peerClosed
}

// eof reports that the peer will send no more and everything it sent was received.
func (s *session) eof() bool { return s.peerClosed || len(s.early) == 0 && s.c.EOF() }

// tlsFailed ends a TLS connection. Our own finding is told to the peer in exactly one alert, then we
// half-close and drain, or the alert would be lost in a RST. Always false: nothing more is received.
func (s *session) tlsFailed(now mono.Time, err error) bool {
	s.sh.stats.tlsErrors.Add(1)
	if s.res != nil {
		s.finish(now, true)
	}
	var alert *ktls.AlertError
	if !errors.As(err, &alert) || alert.Remote {
		s.abort()
		return false
	}
	s.framer.Alert((*queue)(s), alert.Alert)
	s.shutdown(now) // close_notify is dropped by the framer: a fatal alert was the last word
	return false
}
