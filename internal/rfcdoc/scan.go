package main

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A cite is one mention at its place.
type cite struct {
	mention
	file string // from the root, with slashes
	decl string // the function or declaration around it; "" for the package's or the script's own words
	test bool
}

// A remark is a comment, joined to one line, with its place.
type remark struct {
	text string
	decl string
}

// scan finds every citation of the module.
func scan(root fs.FS) ([]cite, error) {
	files := map[string][]cite{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && leftOut(name):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		var remarks []remark
		switch path.Ext(name) {
		case ".go":
			remarks, err = goRemarks(root, name)
		case ".pkt":
			remarks, err = pktRemarks(root, name)
		}
		if found := resolve(name, remarks); len(found) > 0 {
			files[name] = found
		}
		return err
	})
	return adopt(files), err
}

// leftOut names the folders that prove nothing: this tool's examples, and the scripts that are known to fail.
func leftOut(folder string) bool {
	base := path.Base(folder)
	return folder == "internal/rfcdoc" || base == "known" || len(base) > 1 && base[0] == '.'
}

// resolve gives a section that stands alone to the last document its comment has named.
func resolve(name string, remarks []remark) []cite {
	test := strings.HasSuffix(name, "_test.go") || path.Ext(name) == ".pkt"
	var found []cite
	for _, r := range remarks {
		last := ""
		for _, m := range mentions(r.text) {
			if m.doc == "" {
				m.doc = last
			}
			last = m.doc
			found = append(found, cite{m, name, r.decl, test})
		}
	}
	return found
}

// adopt gives the sections that no document in their comment claims to the file's home, or to the first document it names
// of which this very section is named elsewhere. What stays in doubt is left out.
func adopt(files map[string][]cite) (all []cite) {
	known := map[mention]bool{}
	docs := map[string][]string{} // by file, in the order of their first naming
	for name, cites := range files {
		for _, c := range cites {
			if c.doc != "" && !slices.Contains(docs[name], c.doc) {
				docs[name] = append(docs[name], c.doc)
			}
		}
		for i := range cites {
			if c := &cites[i]; c.doc == "" {
				c.doc = home(name, docs[name])
			}
			known[cites[i].mention] = true
		}
	}
	for name, cites := range files {
		for _, c := range cites {
			if c.doc == "" {
				c.doc = owner(docs[name], c.section, known)
			}
			if c.doc != "" {
				all = append(all, c)
			}
		}
	}
	return all
}

// home is the document whose sections a file's bare numbers are: as the list says, or the only one that it names.
func home(name string, docs []string) string {
	for pattern, doc := range homes {
		if ok, _ := path.Match(pattern, name); ok {
			return doc
		}
	}
	if len(docs) == 1 {
		return docs[0]
	}
	return ""
}

func owner(docs []string, section string, known map[mention]bool) string {
	for _, d := range docs {
		if known[mention{d, section}] {
			return d
		}
	}
	return ""
}

// goRemarks are the comment groups of a Go file. In tests the strings count too: the name of a case and the message of
// a failure say which rule is proved.
func goRemarks(root fs.FS, name string) ([]remark, error) {
	src, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var remarks []remark
	for _, g := range f.Comments {
		remarks = append(remarks, remark{g.Text(), around(f, g)})
	}
	if strings.HasSuffix(name, "_test.go") {
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.Contains(lit.Value, "RFC ") {
				text, _ := strconv.Unquote(lit.Value)
				remarks = append(remarks, remark{text, around(f, lit)})
			}
			return true
		})
	}
	return remarks, nil
}

// around names the top-level declaration that a node stands in or documents.
func around(f *ast.File, n ast.Node) string {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if within(n, d, d.Doc) {
				return funcName(d)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if name, doc, comment := specName(s); within(n, s, doc) || comment == n {
					return name
				}
			}
			if within(n, d, d.Doc) {
				name, _, _ := specName(d.Specs[0])
				return name
			}
		}
	}
	return ""
}

func within(n ast.Node, decl ast.Node, doc *ast.CommentGroup) bool {
	return doc == n || decl.Pos() <= n.Pos() && n.End() <= decl.End()
}

// funcName is a function's name with its receiver's type: (*Conn).Close is "Conn.Close".
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if s, ok := t.(*ast.StarExpr); ok {
		t = s.X
	}
	if g, ok := t.(*ast.IndexExpr); ok {
		t = g.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "." + d.Name.Name
	}
	return d.Name.Name
}

func specName(s ast.Spec) (name string, doc, comment *ast.CommentGroup) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		return s.Name.Name, s.Doc, s.Comment
	case *ast.ValueSpec:
		return s.Names[0].Name, s.Doc, s.Comment
	}
	return "", nil, nil
}

// pktRemarks are the comments of a packetdrill script; lines that follow each other are one.
func pktRemarks(root fs.FS, name string) ([]remark, error) {
	src, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	var remarks []remark
	var text []string
	lines := bufio.NewScanner(bytes.NewReader(append(src, "\n\n"...)))
	for lines.Scan() {
		comment, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "//")
		switch {
		case ok:
			text = append(text, comment)
		case text != nil:
			remarks, text = append(remarks, remark{text: strings.Join(text, " ")}), nil
		}
	}
	return remarks, lines.Err()
}
