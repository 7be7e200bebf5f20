package tcpstack

// connList is an intrusive FIFO of connections, linked by one of Conn's two link fields.
type connList struct {
	head, tail *Conn
	link       func(*Conn) **Conn
}

func pendLink(c *Conn) **Conn  { return &c.pendNext }
func eventLink(c *Conn) **Conn { return &c.eventNext }
func memLink(c *Conn) **Conn   { return &c.memNext }

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

// waitList is connections in the order in which they came: those in TIME-WAIT, and those whose peer's window
// is shut. A connection is on one such list at most.
type waitList struct{ head, tail *Conn }

func (l *waitList) push(c *Conn) {
	c.waitOn, c.waitPrev = l, l.tail
	if l.tail == nil {
		l.head = c
	} else {
		l.tail.waitNext = c
	}
	l.tail = c
}

// remove takes c off the list, if it is on it.
func (l *waitList) remove(c *Conn) {
	if c.waitOn != l {
		return
	}
	if c.waitPrev == nil {
		l.head = c.waitNext
	} else {
		c.waitPrev.waitNext = c.waitNext
	}
	if c.waitNext == nil {
		l.tail = c.waitPrev
	} else {
		c.waitNext.waitPrev = c.waitPrev
	}
	c.waitOn, c.waitNext, c.waitPrev = nil, nil, nil
}

// leaveWait takes c off the waitList it is on.
func (c *Conn) leaveWait() {
	if c.waitOn != nil {
		c.waitOn.remove(c)
	}
}
