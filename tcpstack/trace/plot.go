package trace

import (
	"compress/gzip"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
)

// The parts of the page. They are put into one file, so that it can be mailed and opened anywhere.
var (
	//go:embed plot.html
	plotHTML string
	//go:embed plot.css
	plotCSS string
	//go:embed plot.js
	plotJS string
	//go:embed plot_draw.js
	plotDrawJS string
)

// A plotConn is what the page gets of a connection.
type plotConn struct {
	Conn
	Lost   uint64 `json:"lost"`
	Count  int    `json:"count"`
	Events string `json:"events"` // as in the file, gzip, base64
}

// Plot writes one HTML page that draws t. It refers to nothing outside itself.
func Plot(w io.Writer, t *Trace) error {
	data := struct {
		Header
		Cut   bool       `json:"cut"`
		Conns []plotConn `json:"conns"`
	}{t.Header, t.Cut, []plotConn{}}
	for _, c := range t.Conns {
		events, err := pack(c.Events)
		if err != nil {
			return err
		}
		data.Conns = append(data.Conns, plotConn{c.Conn, c.Lost, len(c.Events), events})
	}
	b, err := json.Marshal(data) // it escapes <, > and &, so that no text can end the script element
	if err != nil {
		return err
	}
	_, err = strings.NewReplacer(
		"{{css}}", plotCSS, "{{data}}", string(b), "{{draw}}", plotDrawJS, "{{js}}", plotJS,
	).WriteString(w, plotHTML)
	return err
}

// pack compresses events: what lies 64 bytes apart is much alike, and a browser takes it apart again.
func pack(events []Event) (string, error) {
	var text strings.Builder
	b64 := base64.NewEncoder(base64.StdEncoding, &text)
	z := gzip.NewWriter(b64)
	var buf []byte
	for i := range events {
		if _, err := z.Write(events[i].append(buf[:0])); err != nil {
			return "", err
		}
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	err := b64.Close()
	return text.String(), err
}
