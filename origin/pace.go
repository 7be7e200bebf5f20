package origin

import (
	"bytes"

	"ocaserve/pacing"
	"ocaserve/tcpstack/mono"
)

// paced is what a session needs of its connection to give a response a pace. The rate ends with the response:
// the session opens a range of the stream with the first byte appended and closes it behind the last, so that
// nothing is left over for the next response, whatever the transmission is doing by then.
type paced interface {
	PaceRange(r pacing.Range) bool
	EndPace()
}

// A PaceRequest is what Options.Pace decides by. It is valid during the call only, as are the slices.
type PaceRequest struct {
	req   *request
	Now   mono.Time
	Bytes int64 // of the response, with its head
}

// Path is the decoded path.
func (p PaceRequest) Path() []byte { return p.req.path }

// Query is what follows the '?', still encoded.
func (p PaceRequest) Query() []byte { return p.req.target.query }

// Field returns the first line of a header field; empty if absent.
func (p PaceRequest) Field(name string) []byte { return p.req.field(name) }

// minAskedRate is the lowest rate that a client may ask for: 64 kb/s, less than any media needs. A response
// must not be made to last for days by asking.
const minAskedRate pacing.Rate = 8000

// PaceByQuery is an Options.Pace that does as the client asks: "?pace=25Mbps". Since it can only slow down the
// client's own response, the worst that a stranger does with it is to keep a connection busy for longer, with a
// full send queue; that is why it is not on by default. What cannot be read as a rate is no rate.
func PaceByQuery(p PaceRequest) pacing.Range {
	const name = "pace="
	for rest := p.Query(); len(rest) > 0; {
		var field []byte
		field, rest, _ = bytes.Cut(rest, []byte{'&'})
		if value, ok := bytes.CutPrefix(field, []byte(name)); ok {
			r, err := pacing.ParseRate(string(value))
			if err != nil || r == 0 {
				return pacing.Range{}
			}
			return pacing.Range{Rate: max(r, minAskedRate)}
		}
	}
	return pacing.Range{}
}

// beginPace gives the response that is about to be appended the pace that it is to have.
func (s *session) beginPace(now mono.Time, req *request) {
	pace := s.sh.srv.opts.Pace
	if pace == nil {
		return
	}
	n := s.res.xfer.Len()
	r := pace(PaceRequest{req, now, n})
	if r.Rate == 0 && !r.CatchUp {
		return
	}
	// Records make it longer; endPace says how much. A deadline is met a little early.
	r.From, r.To = 0, n+n/64+1024
	s.paced = s.c.PaceRange(r)
}

// endPace ends the rate with the response.
func (s *session) endPace() {
	if s.paced {
		s.c.EndPace()
		s.paced = false
	}
}
