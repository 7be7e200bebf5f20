package origin

import (
	"html"
	"slices"
	"strconv"
	"strings"

	"ocaserve/content"
	"ocaserve/sendfile"
)

const listingStyle = "<style>body{font:15px/1.6 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}" +
	"table{border-collapse:collapse;width:100%}td{padding:.1em .8em .1em 0}td+td{text-align:right;white-space:nowrap;color:#777}" +
	"a{text-decoration:none}</style>"

// listing answers with the entries of a directory.
func (s *session) listing(req *request) error {
	l, err := s.sh.srv.opts.Catalogue.List(string(req.path), s.retryFunc())
	switch err {
	case nil:
	case content.ErrBusy:
		return err
	default:
		s.failure(req, 404) // gone since the lookup
		return nil
	}
	page := s.sh.rendered(l)
	if page == nil {
		s.failure(req, 503)
		return nil
	}
	r := s.res
	b := s.sh.begin(r.block.b, s.head(req, 200, int64(len(page.b))))
	b = append(b, "Content-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"+
		"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nCache-Control: no-cache\r\n\r\n"...)
	r.put(200, b)
	if req.method == methodGet {
		// In pieces, so that the send queue takes no more of a large page at a time than of a file.
		for rest := range slices.Chunk(page.b, listingPiece) {
			page.Retain()
			r.xfer.Add(sendfile.Part{Bytes: rest, Ref: page})
		}
	}
	return nil
}

const (
	listingPiece  = 64 << 10
	listingMemory = 64 << 20 // bytes of rendered pages that one shard's connections may hold
)

// A listingPage is a rendered listing. Everybody who is sent the same one shares it: a page can be megabytes
// long, and clients that do not read would each hold theirs. It belongs to its shard and counts its holds.
type listingPage struct {
	sh    *shard
	of    *content.Listing
	b     []byte
	holds int32
}

// Retain adds a hold.
func (p *listingPage) Retain() { p.holds++ }

// Release drops a hold.
func (p *listingPage) Release() {
	if p.holds--; p.holds == 0 {
		p.sh.listingBytes -= cap(p.b)
	}
}

// rendered returns the page of l, which the shard holds until it renders another one. It is nil when slow
// clients hold as many pages as may be.
func (sh *shard) rendered(l *content.Listing) *listingPage {
	if p := sh.listing; p != nil {
		if p.of == l {
			return p
		}
		sh.listing = nil
		p.Release()
	}
	if sh.listingBytes >= listingMemory {
		return nil
	}
	p := &listingPage{sh: sh, of: l, b: appendListing(nil, l), holds: 1}
	sh.listingBytes += cap(p.b)
	sh.listing = p
	return p
}

// appendListing writes the page. Names are escaped twice over: percent-encoded in the link, as HTML where
// they are shown. A link begins with "./", so that a name with a colon is no scheme.
func appendListing(b []byte, l *content.Listing) []byte {
	title := html.EscapeString(l.Path)
	b = append(b, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>"...)
	b = append(b, title...)
	b = append(b, "</title>"+listingStyle+"</head><body><h1>"...)
	b = append(b, title...)
	b = append(b, "</h1>\n<table>\n"...)
	if l.Path != "/" {
		b = append(b, "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n"...)
	}
	for i := range l.Entries {
		b = appendEntry(b, &l.Entries[i])
	}
	b = append(b, "</table>\n"...)
	if l.More {
		b = append(b, "<p>and more</p>\n"...)
	}
	return append(b, "</body></html>\n"...)
}

func appendEntry(b []byte, e *content.Entry) []byte {
	slash := ""
	if e.Dir {
		slash = "/"
	}
	b = append(b, "<tr><td><a href=\"./"...)
	b = appendEncoded(b, []byte(e.Name))
	b = append(b, slash+"\">"...)
	b = append(b, html.EscapeString(strings.ToValidUTF8(e.Name, "\ufffd"))...)
	b = append(b, slash+"</a></td><td>"...)
	if !e.Dir {
		b = appendSize(b, e.Size)
	}
	b = append(b, "</td><td>"...)
	b = e.ModTime.UTC().AppendFormat(b, "2006-01-02 15:04")
	return append(b, "</td></tr>\n"...)
}

// appendSize writes a size as people read it.
func appendSize(b []byte, n int64) []byte {
	const units = "KMGTPE"
	if n < 1024 {
		return append(appendInt(b, n), " B"...)
	}
	unit, f := 0, float64(n)/1024
	for f >= 1023.95 && unit < len(units)-1 {
		f, unit = f/1024, unit+1
	}
	b = strconv.AppendFloat(b, f, 'f', 1, 64)
	return append(b, ' ', units[unit], 'i', 'B')
}
