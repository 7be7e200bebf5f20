package main

import (
	"regexp"
	"strings"
)

// A mention is a document, and a part of it, that a comment names.
type mention struct {
	doc     string // "9293", or the name of a draft; "" when only a section is named
	section string // "3.8.6", "5 step (4.3)", "appendix A"; "" for the document as a whole
}

const (
	number = `\d{1,2}(?:\.\d{1,2})*` // 3.10.7.4
	word   = `(?:\d{1,2}(?:\.\d)?[a-z]?|[A-Z])`
	step   = `(?: (?:steps?|rules?) (?:\(` + word + `\)|` + word + `)| \((?:[A-Z]|\d(?:\.\d{1,2})?)\))?` // step 2, rule (4), (C)
	item   = `(?:` + number + step + `|[A-Z]\b(?:\.\d)*)`
)

var (
	document = regexp.MustCompile(`\bRFCs? ?(\d{3,5})\b|\b(draft(?:-[a-z][a-z0-9]*)+)(?:-\d\d)?\b`)

	// What may follow a document: its sections in words, its rules in brackets, or sections after a comma.
	sections = regexp.MustCompile(`^(?:'s)?,? \(?((?:[Ss]ections?|[Aa]ppendix|[Aa]ppendices|equations?) ` +
		`(?:` + item + `|\(\d+\))(?:(?:, | and |, and | or | to )` + item + `)*)`)
	brackets = regexp.MustCompile(`^ ((?:\(\d\.\d{1,2}\)(?:, | and | or | to )?)+)`)
	bare     = regexp.MustCompile(`^,? (` + number + `(?:(?:, | and )` + number + `)*)(?:[:;.)]| \(|, [a-z]|$)`)

	// A section without a document: at the start of a comment, a sentence, a bracket or a list.
	alone = regexp.MustCompile(`(?:^|[(:;.] ?|, |\band |\bof |\bis |\bin |\bas |\bby )\(?((?:[Ss]ections?|[Aa]ppendix) ` +
		item + `(?:(?:, | and |, and | or | to )` + item + `)*)( of RFC ?\d+)?`)

	plural   = regexp.MustCompile(`\b(step|rule)s\b`)
	numbered = regexp.MustCompile(`^\d \((\d\.\d{1,2})\)$`)

	one     = regexp.MustCompile(item + `|\(\d+\)`)
	foreign = regexp.MustCompile(`(?:ISO/IEC|ITU-T|virtio|standard|Timing)[^;:]{0,24}$`) // another body's section
)

// mentions finds what a comment names, in the order of the text.
func mentions(comment string) []mention {
	text := strings.Join(strings.Fields(comment), " ")
	var found []mention
	for text != "" {
		at := document.FindStringSubmatchIndex(text)
		if at == nil {
			return append(found, undocumented(text)...)
		}
		found = append(found, undocumented(text[:at[0]])...)
		doc := group(text, at, 1) + group(text, at, 2)
		text = text[at[1]:]
		parts, used := follow(text)
		if len(parts) == 0 {
			parts = []string{""}
		}
		for _, p := range parts {
			found = append(found, mention{doc, p})
		}
		text = text[used:]
	}
	return found
}

func group(text string, at []int, n int) string {
	if at[2*n] < 0 {
		return ""
	}
	return text[at[2*n]:at[2*n+1]]
}

// follow reads the sections after a document's name and says how much of the text they take.
func follow(text string) (parts []string, used int) {
	if at := sections.FindStringSubmatchIndex(text); at != nil {
		return split(group(text, at, 1)), at[3]
	}
	if at := brackets.FindStringSubmatchIndex(text); at != nil {
		return regexp.MustCompile(`\d\.\d{1,2}`).FindAllString(group(text, at, 1), -1), at[3]
	}
	if at := bare.FindStringSubmatchIndex(text); at != nil {
		return split(group(text, at, 1)), at[3]
	}
	return nil, 0
}

// undocumented finds the sections named in a text that names no document.
func undocumented(text string) []mention {
	var found []mention
	for _, at := range alone.FindAllStringSubmatchIndex(text, -1) {
		if foreign.MatchString(text[:at[2]]) {
			continue
		}
		for _, p := range split(group(text, at, 1)) {
			found = append(found, mention{section: p})
		}
	}
	return found
}

// split takes "sections 2.2, 5 step (4) and 7" apart.
func split(text string) []string {
	word, rest, ok := strings.Cut(text, " ")
	if !ok || one.MatchString(word) {
		word, rest = "", text
	}
	var parts []string
	for _, p := range one.FindAllString(rest, -1) {
		switch strings.ToLower(word) {
		case "appendix", "appendices":
			p = "appendix " + p
		case "equation", "equations":
			p = "equation " + p
		}
		p = plural.ReplaceAllString(p, "$1")
		if rule := numbered.FindStringSubmatch(p); rule != nil { // RFC 6298 section 5 (5.7)
			p = rule[1]
		}
		parts = append(parts, p)
	}
	return parts
}
