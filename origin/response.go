package origin

import (
	"strconv"

	"ocaserve/sendfile"
)

// serverName is what the Server field says; no version, which would only help those who look for old ones.
const serverName = "ocaserve"

// reasons are the statuses we answer with.
var reasons = map[int]string{
	200: "OK", 204: "No Content", 206: "Partial Content",
	301: "Moved Permanently", 304: "Not Modified",
	400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	408: "Request Timeout", 412: "Precondition Failed", 413: "Content Too Large", 414: "URI Too Long",
	416: "Range Not Satisfiable", 431: "Request Header Fields Too Large",
	500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
	505: "HTTP Version Not Supported",
}

// allowed is the Allow field of 405 and OPTIONS.
const allowed = "GET, HEAD, OPTIONS"

// Fields that let a player on another site read what it needs (Fetch standard, section 3.2; Resource Timing
// section 4.5). The answer is the same for every origin, so that no Vary is needed and caches may share it.
const (
	corsFields = "Access-Control-Allow-Origin: *\r\n" +
		"Access-Control-Expose-Headers: Accept-Ranges, Content-Length, Content-Range, Date, ETag, Last-Modified, Server\r\n" +
		"Timing-Allow-Origin: *\r\n"
	preflightFields = "Access-Control-Allow-Methods: " + allowed + "\r\n" +
		"Access-Control-Allow-Headers: Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range, " +
		"Cache-Control, Pragma, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status\r\n" +
		"Access-Control-Max-Age: 86400\r\n"
)

// A response is what is being sent. One belongs to a session from the complete head to the last byte
// appended, then returns to its shard.
type response struct {
	xfer   sendfile.Transfer
	block  *block // the head and other literal bytes; our own hold on it
	body   body   // what must be given back at the end
	status int
	head   int64 // bytes of xfer that are no body
	log    *entry
	ranges rangeSet
}

// headOf is what every head says.
type headOf struct {
	status   int
	close    bool // "Connection: close"
	keep     bool // "Connection: keep-alive", for HTTP/1.0
	length   int64
	noLength bool // 204 and 304 carry none (RFC 9110 section 8.6)
}

// begin writes the status line and the fields of every response. The caller goes on with its own fields and
// ends with a blank line.
func (sh *shard) begin(b []byte, h headOf) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(h.status), 10)
	b = append(b, ' ')
	b = append(b, reasons[h.status]...)
	b = append(b, "\r\nServer: "+serverName+"\r\nDate: "...)
	b = append(b, sh.date[:]...)
	b = append(b, "\r\n"...)
	if !h.noLength {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, h.length, 10)
		b = append(b, "\r\n"...)
	}
	switch {
	case h.close:
		b = append(b, "Connection: close\r\n"...)
	case h.keep:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	if !sh.srv.opts.NoCORS {
		b = append(b, corsFields...)
	}
	return b
}

// appendField writes one field whose value we trust.
func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// appendContentRange writes "Content-Range: bytes a-b/n" (RFC 9110 section 14.4).
func appendContentRange(b []byte, r byteRange, size int64) []byte {
	b = append(b, "Content-Range: bytes "...)
	b = strconv.AppendInt(b, r.off, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, r.off+r.length-1, 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, size, 10)
	return append(b, "\r\n"...)
}

// boundaryLen is the length of a multipart boundary: 32 hex digits. Half of it is secret to the process and
// half counts, so that nobody can prepare a file that contains the next one.
const boundaryLen = 32

func (sh *shard) boundary() (b [boundaryLen]byte) {
	sh.boundaries++
	key := sh.srv.boundaryKey
	hi, lo := key[0], key[1]^sh.boundaries*0x9e3779b97f4a7c15
	for i := range 16 {
		b[i] = hexDigits[hi>>(4*i)&15]
		b[16+i] = hexDigits[lo>>(4*i)&15]
	}
	return b
}

// appendPartHead writes the delimiter and the head of one part (RFC 9110 section 14.6).
func appendPartHead(b []byte, boundary []byte, media string, r byteRange, size int64) []byte {
	b = append(b, "\r\n--"...)
	b = append(b, boundary...)
	b = append(b, "\r\nContent-Type: "...)
	b = append(b, media...)
	b = append(b, "\r\n"...)
	b = appendContentRange(b, r, size)
	return append(b, "\r\n"...)
}

// appendPartsEnd writes the closing delimiter.
func appendPartsEnd(b []byte, boundary []byte) []byte {
	b = append(b, "\r\n--"...)
	b = append(b, boundary...)
	return append(b, "--\r\n"...)
}
