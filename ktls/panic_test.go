package ktls

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
)

// bomb is a connection whose first Read panics, in the middle of crypto/tls.
type bomb struct{ net.Conn }

func (bomb) Read([]byte) (int, error) { panic("boom") }

// A panic in a handshake is an error of that handshake, with the stack, and not the end of the process.
func TestHandshakePanic(t *testing.T) {
	ca := newTestCA(t)
	sc, _ := loopback(t)
	s, err := Handshake(context.Background(), bomb{sc}, ca.server)
	if s != nil || !errors.Is(err, ErrPanic) {
		t.Fatalf("%v, %v", s, err)
	}
	for _, want := range []string{"boom", "bomb", "crypto/tls"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
}
