package ktls

import (
	"testing"

	"go.uber.org/goleak"
)

// A handshake that fails or is given up must leave no goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
