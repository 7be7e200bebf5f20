package script

import (
	"fmt"
	"strings"
)

// A SyntaxError is a script that cannot be run: wrong syntax, or something this runner does not know.
type SyntaxError struct {
	File string
	Line int
	Msg  string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg) }

// kind of a token.
type kind uint8

const (
	tokEnd kind = iota
	tokInt
	tokFloat
	tokWord
	tokString   // "..."
	tokCommand  // `...`
	tokCode     // %{ ... }%
	tokOption   // --name=value
	tokEllipsis // ...
	tokPunct    // any other single character
)

// A token is one word of a script. text is without the delimiters; of an integer it may be hexadecimal.
type token struct {
	kind kind
	text string
	line int
}

func (t token) String() string {
	if t.kind == tokEnd {
		return "the end of the script"
	}
	return fmt.Sprintf("%q", t.text)
}

// is reports whether t is that punctuation or word.
func (t token) is(text string) bool {
	return (t.kind == tokPunct || t.kind == tokWord || t.kind == tokEllipsis) && t.text == text
}

// lexer cuts a script into tokens by packetdrill's rules: the longest match wins.
type lexer struct {
	file, src string
	at, line  int
}

// fail panics with a SyntaxError, which the parser's entry recovers: errors end the parse wherever they are.
func fail(file string, line int, format string, args ...any) {
	panic(&SyntaxError{File: file, Line: line, Msg: fmt.Sprintf(format, args...)})
}

// tokens returns all tokens, the last being tokEnd.
func (l *lexer) tokens() []token {
	var all []token
	for {
		l.skip()
		t := l.next()
		all = append(all, t)
		if t.kind == tokEnd {
			return all
		}
	}
}

// skip passes white space and comments: // and # to the end of the line, /* to */.
func (l *lexer) skip() {
	for l.at < len(l.src) {
		rest := l.src[l.at:]
		switch {
		case strings.HasPrefix(rest, "//"), rest[0] == '#':
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			l.at += n
		case strings.HasPrefix(rest, "/*"):
			l.take(2, "*/", "comment")
		case isSpace(rest[0]):
			l.line += strings.Count(rest[:1], "\n")
			l.at++
		default:
			return
		}
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isWord(c byte) bool {
	return isDigit(c) || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// take passes an opening delimiter of n bytes and all up to the closing one, and returns what is between.
func (l *lexer) take(n int, end, what string) string {
	body := l.src[l.at+n:]
	size := strings.Index(body, end)
	if size < 0 {
		fail(l.file, l.line, "the %s does not end", what)
	}
	l.line += strings.Count(body[:size], "\n")
	l.at += n + size + len(end)
	return body[:size]
}

// next returns the token that begins here.
func (l *lexer) next() token {
	t := token{line: l.line}
	if l.at == len(l.src) {
		return t
	}
	rest := l.src[l.at:]
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "..."):
		t.kind, t.text = tokEllipsis, "..."
		l.at += 3
	case strings.HasPrefix(rest, "--"):
		t.kind, t.text = tokOption, rest[2:run(rest, func(c byte) bool { return !isSpace(c) })]
		l.at += 2 + len(t.text)
	case strings.HasPrefix(rest, "%{"):
		t.kind, t.text = tokCode, l.take(2, "}%", "code")
	case c == '"':
		t.kind, t.text = tokString, l.take(1, `"`, "string")
	case c == '`':
		t.kind, t.text = tokCommand, l.take(1, "`", "command")
	default:
		t.kind, t.text = number(rest)
		l.at += len(t.text)
	}
	return t
}

// run is how many bytes at the start of s satisfy ok.
func run(s string, ok func(byte) bool) int {
	n := 0
	for n < len(s) && ok(s[n]) {
		n++
	}
	return n
}

// number cuts a number, a word or one character off s.
func number(s string) (kind, string) {
	sign := 0
	if s[0] == '-' {
		sign = 1
	}
	whole := sign + run(s[sign:], isDigit)
	if rest := s[whole:]; len(rest) > 1 && rest[0] == '.' && isDigit(rest[1]) {
		return tokFloat, s[:whole+1+run(rest[1:], isDigit)]
	}
	word := run(s, isWord)
	switch {
	case word > whole && strings.HasPrefix(s, "0x"):
		return tokInt, s[:word]
	case word > whole:
		return tokWord, s[:word]
	case whole > sign:
		return tokInt, s[:whole]
	}
	return tokPunct, s[:1]
}
