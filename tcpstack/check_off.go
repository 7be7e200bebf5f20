//go:build !ocaserve_debug

package tcpstack

// Without the tag ocaserve_debug nobody checks books.

func (c *Conn) checkBook() {}
func (s *Shard) turned()   {}
