package recovery

// Entries is the length of the scoreboard. The memory held for what is in flight and the most that an ACK can cost
// follow it, and a receiver that makes up SACK blocks must not drive it: it stays within maxEntries and a few.
func (s *Sender) Entries() int { return s.board.len() }
