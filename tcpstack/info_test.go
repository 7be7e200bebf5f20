package tcpstack

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
)

// TestInfoCounts compares tcp_info with what a transfer of known size over a path that loses two frames did.
func TestInfoCounts(t *testing.T) {
	p := newPair(t, Config{Functions: FunctionsBase})
	client, server := p.connect()
	n := 0
	p.db.drop = func(f *link.Frame) bool { n++; return n == 5 || n == 9 }
	const size = 200 * 1448
	server.send, server.chunk = make([]byte, size), size
	server.Writable(server.c)
	p.run(5*time.Second, func() bool { return client.got.Len() == size })
	p.run(time.Second, nil)
	i, j, st := server.c.Info(), client.c.Info(), &p.b.stats
	for _, c := range []struct {
		name      string
		got, want int64
	}{
		{"bytes_sent", i.BytesSent, int64(st.BytesSent)},
		{"bytes_retrans", i.BytesRetrans, int64(st.BytesRetransmitted)},
		{"bytes_acked", i.BytesAcked, size},
		{"total_retrans", int64(i.TotalRetrans), int64(st.BytesRetransmitted) / 1448},
		{"data_segs_out", int64(i.DataSegsOut), int64(st.BytesSent) / 1448},
		{"delivered", int64(i.Delivered), 200},
		{"unacked", int64(i.Unacked), 0},
		{"the client's bytes_received", j.BytesRecv, size},
		{"segs_out is segs_in of the other end", int64(j.SegsOut), int64(i.SegsIn)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.name, c.got, c.want)
		}
	}
	if i.TotalRetrans == 0 || j.RcvOOOPack == 0 || j.DataSegsIn == 0 {
		t.Errorf("nothing was lost: %+v", i)
	}
}

// TestInfoJSON makes sure that ss gets what the shard sent.
func TestInfoJSON(t *testing.T) {
	var i, j Info
	fillFields(reflect.ValueOf(&i).Elem(), 1)
	b, err := json.Marshal(&i)
	if err == nil {
		err = json.Unmarshal(b, &j)
	}
	if err != nil || i != j {
		t.Errorf("%v\n got %+v\nwant %+v", err, j, i)
	}
}

// fillFields gives every field another value.
func fillFields(v reflect.Value, n int64) int64 {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Int, reflect.Int64:
			n++
			f.SetInt(n)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Uint8: // a limit
			f.SetUint(3)
		case reflect.Array:
			for k := range f.Len() {
				n++
				f.Index(k).SetInt(n)
			}
		}
	}
	return n
}
