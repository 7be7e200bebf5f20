package main

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestPage: docs/rfc.md says what the comments say, every document has a title, and what must be tested is.
func TestPage(t *testing.T) {
	if err := run(true); err != nil {
		t.Error(err)
	}
}

func TestMentions(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"as RFC 9293 section 3.8.6.2.1 says", "9293 3.8.6.2.1"},
		{"(RFC 9293 sections 3.8.6 and 3.10.7.4).", "9293 3.8.6, 9293 3.10.7.4"},
		{"RFC 9293\nsection\n3.5, figure 7", "9293 3.5"},
		{"doubles (RFC 6298 (5.5))", "6298 5.5"},
		{"RFC 6298 (2.2) and (2.3)", "6298 2.2, 6298 2.3"},
		{"RFC 6298 section 5 (5.7)", "6298 5.7"},
		{"RFC 6675 section 5 step (4.3)", "6675 5 step (4.3)"},
		{"RFC 8985 section 6.2 step 5.", "8985 6.2 step 5"},
		{"(RFC 6582 section 3.2 step 3)", "6582 3.2 step 3"},
		{"RFC 6675 section 5 (C)", "6675 5 (C)"},
		{"RFC 7323 section 5.3 (PAWS)", "7323 5.3"},
		{"RFC 7323 appendix A", "7323 appendix A"},
		{"RFC 2544 appendix C.2.2", "2544 appendix C.2.2"},
		{"RFC 5681 equation (4)", "5681 equation (4)"},
		{"RFC 8446, 5.2: the record", "8446 5.2"},
		{"RFC 8446 5: change_cipher_spec", "8446 5"},
		{"RFC 3042, 4 bytes of it", "3042"},
		{"RFC 6928, 10 segments", "6928"},
		{"RFC 9937's safeACK", "9937"},
		{"RFC 7323, RFC 2018", "7323, 2018"},
		{"draft-ietf-ccwg-bbr section 4.1, here", "draft-ietf-ccwg-bbr 4.1"},
		{"draft-ietf-ccwg-bbr-06 section 5.3", "draft-ietf-ccwg-bbr 5.3"},
		{"kept (section 3.10.4 permits it)", " 3.10.4"},
		{"ISO/IEC 14496-15 section 5.4.2", ""},
		{"a section 3 of the file", ""},
		{"no RFC here", ""},
	} {
		var got []string
		for _, m := range mentions(c.text) {
			got = append(got, strings.TrimRight(m.doc+" "+m.section, " "))
		}
		if g := strings.Join(got, ", "); g != c.want {
			t.Errorf("%q names %q, want %q", c.text, g, c.want)
		}
	}
}

const source = `// Package p follows RFC 1.
package p

// T holds (RFC 7323 section 5.3) and (section 5.5).
type T struct {
	a int // section 3.8.6
}

// Close ends it, RFC 9293 section 3.6.
func (t *T) Close() {
	// RFC 9293 section 3.8.6
}

// Section 9.9 belongs to nobody.
var v = "RFC 4015 section 3"
`

// TestScan: a citation is told with its declaration; a section alone goes to the document of its comment, or to the
// only one that can be meant, or nowhere.
func TestScan(t *testing.T) {
	cites, err := scan(fstest.MapFS{
		"a/p.go":                   {Data: []byte(source)},
		"a/p_test.go":              {Data: []byte("package p\n\nfunc TestX() { println(`RFC 4015 section 3`) }\n")},
		"b/s.pkt":                  {Data: []byte("// RFC 5961\n// section 7: ten.\n0 close(3) = 0\n// Section 5.2 too.\n")},
		"internal/rfcdoc/cite.go":  {Data: []byte("package main // RFC 2\n")},
		".git/x.go":                {Data: []byte("no Go")},
		"a/testdata/crasher.txt":   {Data: []byte("RFC 3")},
		"a/testdata/known/bad.pkt": {Data: []byte("// Known to fail: RFC 3042.\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range cites {
		kind := "code"
		if c.test {
			kind = "test"
		}
		got = append(got, strings.Join([]string{c.file, c.decl, c.doc, c.section, kind}, "|"))
	}
	slices.Sort(got)
	want := []string{
		"a/p.go|T.Close|9293|3.6|code",
		"a/p.go|T.Close|9293|3.8.6|code",
		"a/p.go|T|7323|5.3|code",
		"a/p.go|T|7323|5.5|code",
		"a/p.go|T|9293|3.8.6|code",
		"a/p_test.go|TestX|4015|3|test",
		"b/s.pkt||5961|5.2|test",
		"b/s.pkt||5961|7|test",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestVerify: each thing that can be wrong with the list is told.
func TestVerify(t *testing.T) {
	entries := []entry{
		{"1", "no test", implemented, true, ""},
		{"2", "no citation", implemented, false, ""},
		{"3", "not yet", planned, true, ""},
		{"4", "good", partly, true, ""},
	}
	cites := []cite{
		{mention{"1", "2"}, "a.go", "f", false}, {mention{"4", ""}, "a_test.go", "TestF", true}, {mention{"5", ""}, "a.go", "f", false},
	}
	want := `RFC 1 must have a test that names it
RFC 2 is in the list, but no comment names it
RFC 5 is cited, but has no title and status in internal/rfcdoc/list.go`
	if err := verify(cites, entries); err == nil || err.Error() != want {
		t.Errorf("verify: %v, want\n%s", err, want)
	}
	if err := verify(cites[1:2], entries[3:]); err != nil {
		t.Errorf("nothing is wrong, yet: %v", err)
	}
}

// TestRender: the order of documents and sections, the mark of what has no test, the links.
func TestRender(t *testing.T) {
	page := string(render([]cite{
		{mention{"793", "3.10"}, "a/b.go", "f", false}, {mention{"793", "3.9"}, "a/b.go", "g", false},
		{mention{"793", "3.9"}, "a/b.go", "f", false}, {mention{"draft-x", ""}, "a/b_test.go", "TestB", true},
	}, []entry{{"draft-x", "X", partly, false, "half"}, {"793", "TCP", implemented, false, ""}}))
	at := 0
	for _, line := range []string{
		"| [RFC 793](#rfc793) | TCP | implemented, **no test names it** | 2 | 2 | 0 |\n",
		"| [draft-x](#draft-x) | X | partly | 0 | 0 | 1 |\n",
		"<a id=\"rfc793\"></a>",
		"| 3.9 | [a/b.go](../a/b.go) `f`, `g` |  |\n",
		"| 3.10 | [a/b.go](../a/b.go) `f` |  |\n",
		"partly: half.\n",
		"| as a whole |  | [a/b_test.go](../a/b_test.go) `TestB` |\n",
	} {
		i := strings.Index(page[at:], line)
		if i < 0 {
			t.Fatalf("%q is missing or stands too early in\n%s", line, page)
		}
		at += i
	}
}
