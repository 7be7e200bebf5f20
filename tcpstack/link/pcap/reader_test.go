package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"
)

// A captured packet, as read back.
type captured struct {
	queue     int
	at        time.Time
	data      []byte
	length    int // on the wire
	direction uint32
}

// A capture is a file read back, by code that shares nothing with the writer but the specification.
type capture struct {
	names    []string
	packets  []captured
	received map[int]uint64
	dropped  map[int]uint64
	secrets  []string
}

// readCapture parses b and fails the test at anything the specification does not allow.
func readCapture(t *testing.T, b []byte) capture {
	t.Helper()
	c := capture{received: map[int]uint64{}, dropped: map[int]uint64{}}
	for n := 0; len(b) > 0; n++ {
		if len(b) < 12 {
			t.Fatalf("block %d: %d bytes are no block", n, len(b))
		}
		kind, size := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint32(b[4:]))
		if size%4 != 0 || size < 12 || size > len(b) || int(binary.LittleEndian.Uint32(b[size-4:])) != size {
			t.Fatalf("block %d: bad length %d of %d", n, size, len(b))
		}
		if (n == 0) != (kind == 0x0a0d0d0a) {
			t.Fatalf("block %d has type %#x", n, kind)
		}
		if err := c.block(kind, b[8:size-4]); err != nil {
			t.Fatalf("block %d: %v", n, err)
		}
		b = b[size:]
	}
	return c
}

func (c *capture) block(kind uint32, body []byte) error {
	u16, u32 := binary.LittleEndian.Uint16, binary.LittleEndian.Uint32
	switch kind {
	case 0x0a0d0d0a:
		if u32(body) != 0x1a2b3c4d || u16(body[4:]) != 1 || u16(body[6:]) != 0 {
			return errors.New("bad section header")
		}
		_, err := options(body[16:])
		return err
	case 1:
		o, err := options(body[8:])
		if u16(body) != 101 || string(o[9]) != "\x09" {
			return fmt.Errorf("link type %d, resolution %x", u16(body), o[9])
		}
		c.names = append(c.names, string(o[2]))
		return err
	case 5:
		o, err := options(body[12:])
		q := int(u32(body))
		c.received[q], c.dropped[q] = binary.LittleEndian.Uint64(o[4]), binary.LittleEndian.Uint64(o[5])
		return err
	case 6:
		if u32(body) != 0 {
			return fmt.Errorf("packet of interface %d, which was not described", u32(body))
		}
		n := int(u32(body[12:]))
		o, err := options(body[20+(n+3)/4*4:])
		c.packets = append(c.packets, captured{queue: int(u32(o[6])), data: body[20 : 20+n], length: int(u32(body[16:])),
			at: time.Unix(0, int64(u32(body[4:]))<<32|int64(u32(body[8:]))), direction: u32(o[2]) & 3})
		return err
	case 10:
		if u32(body) != 0x544c534b {
			return errors.New("secrets of an unknown kind")
		}
		c.secrets = append(c.secrets, string(body[8:8+u32(body[4:])]))
		return nil
	}
	return fmt.Errorf("unknown type %d", kind)
}

func options(b []byte) (map[uint16][]byte, error) {
	o := map[uint16][]byte{}
	for len(b) >= 4 {
		code, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if code == 0 {
			if n != 0 || len(b) != 4 {
				return o, errors.New("options do not end where the block ends")
			}
			return o, nil
		}
		o[code] = b[4 : 4+n]
		b = b[4+(n+3)/4*4:]
	}
	return o, errors.New("options without an end")
}
