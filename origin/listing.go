package origin

import (
	"html"
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
	page := appendListing(nil, l)
	r := s.res
	b := s.sh.begin(r.block.b, s.head(req, 200, int64(len(page))))
	b = append(b, "Content-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"+
		"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nCache-Control: no-cache\r\n\r\n"...)
	r.put(200, b)
	if req.method == methodGet {
		r.xfer.Add(sendfile.Part{Bytes: page})
	}
	return nil
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
