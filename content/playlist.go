package content

import (
	"fmt"
	"strings"
)

// The playlists of generated titles (RFC 8216; fragmented MP4 needs EXT-X-VERSION 6 or more, section 7).

// master lists the renditions (section 4.3.4.2).
func (t title) master() []byte {
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n")
	for _, r := range t.ladder {
		bits := r.newSegment(0).size * 8 / segmentSeconds
		fmt.Fprintf(&b, "#EXT-X-STREAM-INF:BANDWIDTH=%d,AVERAGE-BANDWIDTH=%d,CODECS=\"%s\",RESOLUTION=%dx%d,FRAME-RATE=%d.000\n%s/%s\n",
			bits, bits, r.codec(), r.width(), r.Height, framesPerSec, r, mediaPlaylist)
	}
	return []byte(b.String())
}

// codec is the codecs parameter (RFC 6381 section 3.3).
func (r Rung) codec() string {
	return fmt.Sprintf("avc1.%02X%02X%02X", profileIDC, constraintBits, r.picture().level())
}

// media lists the segments of a rendition (section 4.3.3).
func (t title) media() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:0\n", segmentSeconds)
	b.WriteString("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n")
	fmt.Fprintf(&b, "#EXT-X-MAP:URI=\"%s\"\n", initName)
	for n := range t.segments() {
		fmt.Fprintf(&b, "#EXTINF:%d.000,\n%s\n", segmentSeconds, segmentName(n))
	}
	b.WriteString("#EXT-X-ENDLIST\n")
	return []byte(b.String())
}
