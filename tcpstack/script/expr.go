package script

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A code is the text of one %{ }%: a tiny part of Python, which packetdrill hands it to. Statements are
// "assert condition[, message]", "print(...)" and "name = expression".
type code struct {
	file string
	line int
	text string
}

func parseCode(file string, t token) *code { return &code{file: file, line: t.line, text: t.text} }

// A value is a number (truth is 1 or 0) or a text.
type value struct {
	num    float64
	text   string
	isText bool
}

func (v value) String() string {
	switch {
	case v.isText:
		return v.text
	case v.num == math.Trunc(v.num) && math.Abs(v.num) < 1<<53:
		return strconv.FormatInt(int64(v.num), 10)
	}
	return strconv.FormatFloat(v.num, 'g', -1, 64)
}

func boolean(b bool) value { return value{num: float64(truth(b))} }

func (v value) truth() bool { return v.num != 0 || v.isText && v.text != "" }

// runCode runs the statements of c, one per line or semicolon.
func (r *runner) runCode(c *code) {
	for i, line := range strings.Split(c.text, "\n") {
		ev := evaluator{r: r, line: c.line + i, vars: r.vars}
		ev.lex(line)
		for ev.statement() {
		}
		r.vars = ev.vars
	}
}

// An evaluator goes over the words of one line, each function taking one level of precedence.
type evaluator struct {
	r     *runner
	line  int
	words []string
	at    int
	vars  map[string]value
	used  []string // "name = value" of what was looked up, for messages
}

func (v *evaluator) fail(format string, args ...any) { fail(v.r.file, v.line, format, args...) }

// lex cuts a line into words; a text keeps its quote in front.
func (v *evaluator) lex(s string) {
	for s = strings.TrimSpace(s); s != "" && s[0] != '#'; s = strings.TrimLeft(s, " \t\r") {
		n := 1
		switch {
		case s[0] == '"' || s[0] == '\'':
			end := strings.IndexByte(s[1:], s[0])
			if end < 0 {
				v.fail("the text %s does not end", s)
			}
			v.words = append(v.words, "'"+s[1:1+end])
			s = s[end+2:]
			continue
		case isWord(s[0]):
			n = run(s, func(c byte) bool { return isWord(c) || c == '.' })
		case len(s) > 1 && strings.Contains(" == != <= >= << >> // ** ", " "+s[:2]+" "):
			n = 2
		}
		v.words = append(v.words, s[:n])
		s = s[n:]
	}
}

func (v *evaluator) peek() string {
	if v.at < len(v.words) {
		return v.words[v.at]
	}
	return ""
}

func (v *evaluator) next() string {
	w := v.peek()
	v.at++
	return w
}

func (v *evaluator) accept(w string) bool {
	if v.at < len(v.words) && v.words[v.at] == w {
		v.at++
		return true
	}
	return false
}

// statement runs one statement and reports whether there may be another.
func (v *evaluator) statement() bool {
	if v.at >= len(v.words) {
		return false
	}
	switch {
	case v.accept(";"):
		return true
	case v.accept("assert"):
		v.assert()
	case v.accept("print"):
		v.print()
	case v.at+1 < len(v.words) && v.words[v.at+1] == "=":
		name := v.next()
		v.next()
		if v.vars == nil {
			v.vars = make(map[string]value)
		}
		v.vars[name] = v.or()
	default:
		v.fail("the statement %q is not supported: there are assert, print and assignment", v.peek())
	}
	if v.at < len(v.words) && v.peek() != ";" {
		v.fail("unexpected %q in code", v.peek())
	}
	return true
}

func (v *evaluator) assert() {
	from := v.at
	v.used = nil
	ok := v.or().truth()
	text, why := strings.Join(v.words[from:v.at], " "), strings.Join(v.used, ", ")
	if v.accept(",") {
		msg := v.or().String()
		if why != "" {
			why += "; "
		}
		why += "message: " + msg
	}
	if !ok {
		v.r.line = v.line
		v.r.mismatch("assert "+text, why, "the assertion fails")
	}
}

// print takes print(a, b) and Python 2's print a, b.
func (v *evaluator) print() {
	wrapped := v.accept("(")
	var parts []string
	for v.at < len(v.words) && v.peek() != ")" && v.peek() != ";" {
		parts = append(parts, v.or().String())
		if !v.accept(",") {
			break
		}
	}
	if wrapped && !v.accept(")") {
		v.fail("print( is not closed")
	}
	if v.r.opt.Print != nil {
		fmt.Fprintln(v.r.opt.Print, strings.Join(parts, " "))
	}
}

func (v *evaluator) or() value {
	x := v.and()
	for v.accept("or") {
		if y := v.and(); !x.truth() {
			x = y
		}
	}
	return x
}

func (v *evaluator) and() value {
	x := v.not()
	for v.accept("and") {
		if y := v.not(); x.truth() {
			x = y
		}
	}
	return x
}

func (v *evaluator) not() value {
	if v.accept("not") {
		return boolean(!v.not().truth())
	}
	return v.comparison()
}

// comparison takes chains as Python does: a < b < c.
func (v *evaluator) comparison() value {
	x := v.binary(0)
	result, chained := x, false
	for {
		op := v.peek()
		if !strings.Contains(" == != < > <= >= ", " "+op+" ") || op == "" {
			return result
		}
		v.next()
		y := v.binary(0)
		ok := v.compare(op, x, y) && (!chained || result.truth())
		result, x, chained = boolean(ok), y, true
	}
}

func (v *evaluator) compare(op string, x, y value) bool {
	if x.isText != y.isText && op != "!=" || x.isText && op != "==" && op != "!=" {
		v.fail("%v %s %v: texts compare with texts, by == and != only", x, op, y)
	}
	switch op {
	case "==":
		return x == y
	case "!=":
		return x != y
	case "<":
		return x.num < y.num
	case ">":
		return x.num > y.num
	case "<=":
		return x.num <= y.num
	}
	return x.num >= y.num
}

// levels are the binary operators by precedence, the weakest first.
var levels = []string{" | ", " ^ ", " & ", " << >> ", " + - ", " * / // % "}

func (v *evaluator) binary(level int) value {
	if level == len(levels) {
		return v.unary()
	}
	x := v.binary(level + 1)
	for op := v.peek(); op != "" && strings.Contains(levels[level], " "+op+" "); op = v.peek() {
		v.next()
		y := v.binary(level + 1)
		if x.isText || y.isText {
			v.fail("%s takes numbers", op)
		}
		x = value{num: v.arithmetic(op, x.num, y.num)}
	}
	return x
}

func (v *evaluator) arithmetic(op string, x, y float64) float64 {
	if (op == "/" || op == "//" || op == "%") && y == 0 {
		v.fail("division by zero")
	}
	a, b := int64(x), int64(y)
	if (op == "<<" || op == ">>") && (b < 0 || b > 62) {
		v.fail("cannot shift by %d", b)
	}
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "/":
		return x / y
	case "//":
		return math.Floor(x / y)
	case "%":
		return x - y*math.Floor(x/y)
	case "|":
		return float64(a | b)
	case "&":
		return float64(a & b)
	case "^":
		return float64(a ^ b)
	case "<<":
		return float64(a << b)
	}
	return float64(a >> b)
}

func (v *evaluator) unary() value {
	switch {
	case v.accept("-"):
		return value{num: -v.unary().num}
	case v.accept("+"):
		return v.unary()
	case v.accept("~"):
		return value{num: float64(^int64(v.unary().num))}
	}
	return v.primary()
}

func (v *evaluator) primary() value {
	w := v.next()
	switch {
	case w == "":
		v.fail("the expression ends too early")
	case w == "(":
		x := v.or()
		if !v.accept(")") {
			v.fail("a parenthesis is not closed")
		}
		return x
	case w[0] == '\'':
		return value{text: w[1:], isText: true}
	case isDigit(w[0]) || w[0] == '.':
		return v.literal(w)
	case v.peek() == "(":
		v.fail("the function %s is not supported", w)
	case !isWord(w[0]):
		v.fail("unexpected %q in an expression", w)
	}
	return v.lookup(w)
}

func (v *evaluator) literal(w string) value {
	if n, err := strconv.ParseInt(w, 0, 64); err == nil {
		return value{num: float64(n)}
	}
	n, err := strconv.ParseFloat(w, 64)
	if err != nil {
		v.fail("bad number %q", w)
	}
	return value{num: n}
}

// lookup finds a variable, a symbol or a field of tcp_info.
func (v *evaluator) lookup(name string) value {
	if x, ok := v.vars[name]; ok {
		v.used = append(v.used, name+" = "+x.String())
		return x
	}
	if n, ok := infoSymbols[name]; ok {
		return value{num: n}
	}
	field, ok := infoFields[name]
	if !ok {
		v.fail("the name %s is not known", name)
	}
	if v.r.under == nil {
		v.fail("%s: there is no connection", name)
	}
	i := v.r.under.conn.Info()
	x := value{num: field(&i)}
	v.used = append(v.used, name+" = "+x.String())
	return x
}
