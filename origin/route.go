package origin

import (
	"errors"
	"strings"

	"ocaserve/cache"
	"ocaserve/content"
	"ocaserve/sendfile"
)

// body is what a response holds until its last byte is appended.
type body struct {
	obj  *content.Object
	file *cache.File
}

func (b *body) release() {
	if b.file != nil {
		b.file.Close()
	}
	if b.obj != nil {
		b.obj.Release()
	}
	*b = body{}
}

// route fills s.res with the answer to req. The only error is [content.ErrBusy]: the session's retry will
// be called.
func (s *session) route(req *request) error {
	switch {
	case req.method == methodUnknown:
		s.failure(req, 501)
	case req.method == methodRefused:
		s.failure(req, 405)
	case s.scan.body:
		// A GET with content has no meaning (RFC 9110 section 9.3.1), and skipping it would be a way to
		// hide a request from us or from a proxy: refused, and the connection ends.
		s.failure(req, 413)
	case req.method == methodOptions:
		s.options()
	case req.status != 0:
		s.failure(req, req.status)
	default:
		return s.lookup(req)
	}
	return nil
}

// lookup asks the catalogue.
func (s *session) lookup(req *request) error {
	obj, err := s.sh.srv.opts.Catalogue.Lookup(string(req.path), s.retryFunc())
	switch {
	case err == nil:
		s.res.body.obj = obj
		s.object(req, obj)
	case errors.Is(err, content.ErrBusy):
		return err
	case errors.Is(err, content.ErrMissingSlash):
		s.redirect(req)
	case errors.Is(err, content.ErrIsDir) && s.sh.srv.opts.Listing:
		return s.listing(req)
	case errors.Is(err, content.ErrIsDir):
		s.failure(req, 403)
	case errors.Is(err, content.ErrNotFound):
		s.failure(req, 404)
	case errors.Is(err, content.ErrForbidden):
		s.failure(req, 403)
	default:
		s.failure(req, 503)
	}
	return nil
}

// object answers a GET or HEAD of a file: preconditions first, then ranges (RFC 9110 section 13.2.2).
func (s *session) object(req *request, obj *content.Object) {
	v := validators{etag: obj.ETag, modified: obj.ModTime.Unix()}
	switch req.cond.evaluate(v) {
	case 304:
		s.notModified(req, obj)
		return
	case 412:
		s.failure(req, 412)
		return
	}
	r, size := s.res, obj.Size()
	verdict := rangeIgnore
	if req.ranges != nil && req.cond.rangeApplies(v, s.sh.unix) {
		verdict = r.ranges.parse(req.ranges, size)
	}
	switch {
	case verdict == rangeNoneThat:
		s.unsatisfiable(req, size)
	case verdict == rangePartial && r.ranges.n > 1:
		s.multipart(req, obj)
	case verdict == rangePartial:
		s.whole(req, obj, 206, r.ranges.r[0])
	default:
		s.whole(req, obj, 200, byteRange{0, size})
	}
}

// openFile gives the response its file; only now, because opening costs something that 304 and HEAD save.
func (s *session) openFile(obj *content.Object) *cache.File {
	b := &s.res.body
	b.file = s.sh.srv.opts.Cache.Open(cache.Key(obj.Key()), obj)
	return b.file
}

// whole answers with one run of the file: all of it, or a single range.
func (s *session) whole(req *request, obj *content.Object, status int, part byteRange) {
	r := s.res
	b := s.sh.begin(r.block.b, s.head(req, status, part.length))
	b = appendField(b, "Content-Type", obj.MediaType)
	if status == 206 {
		b = appendContentRange(b, part, obj.Size())
	}
	b = s.sh.appendValidators(b, obj)
	r.put(status, append(b, "\r\n"...))
	if req.method == methodGet && part.length > 0 {
		r.xfer.Add(sendfile.Part{File: s.openFile(obj), Off: part.off, Len: part.length})
	}
}

// multipart answers with several ranges as multipart/byteranges (RFC 9110 section 14.6).
func (s *session) multipart(req *request, obj *content.Object) {
	r, size, boundary := s.res, obj.Size(), s.sh.boundary()
	// The separators are written behind the head, in the same block, to know the length that the head has
	// to say; a first pass over a scratch would cost as much as moving them.
	seps, ends := s.sh.scratch[:0], [maxRanges + 1]int{}
	length := int64(0)
	for i, p := range r.ranges.list() {
		seps = appendPartHead(seps, boundary[:], obj.MediaType, p, size)
		ends[i] = len(seps)
		length += p.length
	}
	seps = appendPartsEnd(seps, boundary[:])
	ends[r.ranges.n] = len(seps)
	s.sh.scratch = seps

	b := s.sh.begin(r.block.b, s.head(req, 206, length+int64(len(seps))))
	b = append(b, "Content-Type: multipart/byteranges; boundary="...)
	b = append(b, boundary[:]...)
	b = append(b, "\r\n"...)
	b = s.sh.appendValidators(b, obj)
	b = append(b, "\r\n"...)
	at := len(b)
	b = append(b, seps...)
	r.put(206, b[:at])
	r.block.b = b

	file := s.openFile(obj)
	from := 0
	for i, p := range r.ranges.list() {
		r.literal(b[at+from : at+ends[i]])
		r.xfer.Add(sendfile.Part{File: file, Off: p.off, Len: p.length})
		from = ends[i]
	}
	r.literal(b[at+from:])
}

// notModified answers 304 with the fields that a 200 would have had and that a cache may need (RFC 9110
// section 15.4.5).
func (s *session) notModified(req *request, obj *content.Object) {
	h := s.head(req, 304, 0)
	h.noLength = true
	b := s.sh.begin(s.res.block.b, h)
	s.res.put(304, append(s.sh.appendValidators(b, obj), "\r\n"...))
}

// options answers a preflight, and OPTIONS in general, without looking at the target: what is allowed is
// the same everywhere.
func (s *session) options() {
	h := s.head(s.sh.req, 204, 0)
	h.noLength = true // RFC 9110 section 8.6: "MUST NOT send a Content-Length ... with a status code of 204"
	b := s.sh.begin(s.res.block.b, h)
	b = appendField(b, "Allow", allowed)
	if !s.sh.srv.opts.NoCORS {
		b = append(b, preflightFields...)
	}
	s.res.put(204, append(b, "\r\n"...))
}

// redirect adds the missing slash. The Location is built from the cleaned path, never from what was sent:
// "//host/dir" sent back would lead to another host.
func (s *session) redirect(req *request) {
	location := appendEncoded(s.sh.scratch[:0], req.path)
	location = append(location, '/')
	if len(req.target.query) > 0 {
		location = appendQuery(append(location, '?'), req.target.query)
	}
	s.sh.scratch = location
	s.short(req, 301, "Location", string(location))
}

// failure answers with an error and a body of one line.
func (s *session) failure(req *request, status int) {
	switch status {
	case 405:
		s.short(req, status, "Allow", allowed)
	default:
		s.short(req, status, "", "")
	}
}

// unsatisfiable answers 416 and says how long the file is (RFC 9110 section 15.5.17).
func (s *session) unsatisfiable(req *request, size int64) {
	b := append(s.sh.scratch[:0], "bytes */"...)
	s.sh.scratch = appendInt(b, size)
	s.short(req, 416, "Content-Range", string(s.sh.scratch))
}

// short answers with one line of text and at most one field of its own.
func (s *session) short(req *request, status int, name, value string) {
	r, text := s.res, reasons[status]
	b := s.sh.begin(r.block.b, s.head(req, status, int64(len("404 \n")+len(text))))
	b = append(b, "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"...)
	if name != "" {
		b = appendField(b, name, value)
	}
	if status >= 400 {
		b = append(b, "Cache-Control: no-store\r\n"...) // an error should not outlive its cause in a cache
	}
	b = append(b, "\r\n"...)
	at := len(b)
	if req.method != methodHead {
		b = appendInt(b, int64(status))
		b = append(b, ' ')
		b = append(b, text...)
		b = append(b, '\n')
	}
	r.put(status, b[:at])
	r.block.b = b
	r.literal(b[at:])
}

// head fills in what all heads have in common.
func (s *session) head(req *request, status int, length int64) headOf {
	return headOf{status: status, close: s.closing, keep: !s.closing && req.keepAlive, length: length}
}

// put settles the status and makes b, which was written into the response's block, the head.
func (r *response) put(status int, b []byte) {
	r.status, r.block.b, r.head = status, b, int64(len(b))
	r.literal(b)
}

// literal adds bytes of the response's block.
func (r *response) literal(b []byte) {
	if len(b) > 0 {
		r.block.Retain()
		r.xfer.Add(sendfile.Part{Bytes: b, Ref: r.block})
	}
}

// appendValidators writes what a cache or a player needs to come back with.
func (sh *shard) appendValidators(b []byte, obj *content.Object) []byte {
	b = append(b, "Accept-Ranges: bytes\r\n"...)
	b = appendField(b, "ETag", obj.ETag)
	b = append(b, "Last-Modified: "...)
	// RFC 9110 section 8.8.2.1: a date in the future "MUST" be replaced by that of the message. Conditions are
	// judged by the true one, so that such a file is sent once too often rather than too seldom.
	b = appendDate(b, min(obj.ModTime.Unix(), sh.unix))
	b = append(b, "\r\n"...)
	return appendField(b, "Cache-Control", cacheControl(obj.MediaType))
}

// cacheControl: playlists may grow and are asked for again each time, which a 304 makes cheap. Media is
// kept; whoever replaces a segment under its old name needs the hour, or a new name.
func cacheControl(media string) string {
	switch {
	case strings.HasSuffix(media, "mpegurl"), strings.HasPrefix(media, "application/dash"):
		return "no-cache"
	case strings.HasPrefix(media, "video/"), strings.HasPrefix(media, "audio/"), media == "text/vtt":
		return "public, max-age=3600"
	}
	return "public, max-age=60"
}
