package content

import "strings"

// mediaTypes by lower-case extension. Video types as HLS (RFC 8216 section 4, draft rfc8216bis), DASH (ISO/IEC
// 23009-1 annex C) and CMAF (ISO/IEC 23000-19) register them.
var mediaTypes = map[string]string{
	"m3u8": "application/vnd.apple.mpegurl",
	"mpd":  "application/dash+xml",
	"m4s":  "video/iso.segment",
	"cmfv": "video/iso.segment",
	"mp4":  "video/mp4",
	"m4v":  "video/mp4",
	"cmfa": "audio/mp4",
	"m4a":  "audio/mp4",
	"ts":   "video/mp2t",
	"vtt":  "text/vtt",
	"webm": "video/webm",
	"mkv":  "video/x-matroska",
	"mov":  "video/quicktime",
	"mp3":  "audio/mpeg",
	"aac":  "audio/aac",
	"html": "text/html; charset=utf-8",
	"htm":  "text/html; charset=utf-8",
	"css":  "text/css; charset=utf-8",
	"js":   "text/javascript; charset=utf-8",
	"mjs":  "text/javascript; charset=utf-8",
	"txt":  "text/plain; charset=utf-8",
	"md":   "text/markdown; charset=utf-8",
	"json": "application/json",
	"xml":  "application/xml",
	"wasm": "application/wasm",
	"pdf":  "application/pdf",
	"jpg":  "image/jpeg",
	"jpeg": "image/jpeg",
	"png":  "image/png",
	"gif":  "image/gif",
	"webp": "image/webp",
	"svg":  "image/svg+xml",
	"ico":  "image/vnd.microsoft.icon",
}

// MediaType returns the media type for a file name, application/octet-stream if the extension says nothing.
func MediaType(name string) string {
	name = name[strings.LastIndexByte(name, '/')+1:]
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		if t, ok := mediaTypes[strings.ToLower(name[dot+1:])]; ok {
			return t
		}
	}
	return "application/octet-stream"
}
