package bisect

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
)

// A wrongByte is the worst that can happen.
type wrongByte struct{ at int64 }

func (e *wrongByte) Error() string { return fmt.Sprintf("byte %d of the file is wrong", e.at) }

// fetch gets the file over a new connection and compares it; got is how many bytes have arrived and were right.
func (w *world) fetch(ctx context.Context, secure, v6 bool, got *atomic.Int64) error {
	raw, err := w.dial(ctx, secure, v6)
	if err != nil {
		return err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	c := raw
	if secure {
		t := tls.Client(raw, &tls.Config{ServerName: hostName, RootCAs: w.roots})
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		c = t
	}
	return w.get(c, got)
}

func (w *world) dial(ctx context.Context, secure, v6 bool) (net.Conn, error) {
	family, port := 0, uint16(80)
	if v6 {
		family = 1
	}
	if secure {
		port = 443
	}
	return w.client.DialFrom(ctx, netip.AddrPortFrom(ends[1][family], 0), netip.AddrPortFrom(ends[0][family], port))
}

// get speaks HTTP over c.
func (w *world) get(c net.Conn, got *atomic.Int64) error {
	req, err := http.NewRequest(http.MethodGet, "http://"+hostName+"/"+fileName, nil)
	if err != nil {
		return err
	}
	req.Close = true
	if err := req.Write(c); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("answered with %s", res.Status)
	}
	return w.compare(res.Body, got)
}

// compare reads body to its end. What the file has more is missing, and what it has less is too much.
func (w *world) compare(body io.Reader, got *atomic.Int64) error {
	buf := make([]byte, 64<<10)
	for at := 0; ; {
		n, err := body.Read(buf)
		if rest := w.file[at:]; n > len(rest) || !bytes.Equal(buf[:n], rest[:n]) {
			return &wrongByte{int64(at + differ(buf[:n], rest))}
		}
		at += n
		got.Add(int64(n))
		switch {
		case err == io.EOF && at == len(w.file):
			return nil
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

func differ(a, b []byte) int {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return i
}
