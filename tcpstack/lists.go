package tcpstack

// connList is an intrusive FIFO of connections, linked by one of Conn's two link fields.
type connList struct {
	head, tail *Conn
	link       func(*Conn) **Conn
}

func pendLink(c *Conn) **Conn  { return &c.pendNext }
func eventLink(c *Conn) **Conn { return &c.eventNext }

func (l *connList) empty() bool { return l.head == nil }

// push appends c, which must not be on the list.
func (l *connList) push(c *Conn) {
	if l.tail == nil {
		l.head = c
	} else {
		*l.link(l.tail) = c
	}
	l.tail = c
}

// pop removes and returns the first connection, or nil.
func (l *connList) pop() *Conn {
	c := l.head
	if c == nil {
		return nil
	}
	next := l.link(c)
	l.head, *next = *next, nil
	if l.head == nil {
		l.tail = nil
	}
	return c
}
