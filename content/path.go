package content

import "strings"

// maxPath bounds the paths that are looked up, in bytes: Linux's PATH_MAX.
const maxPath = 4096

// checkPath refuses what cannot name something served. It sees the path after one percent-decoding, so an
// encoded dot or slash looks here as it would to the file system. A backslash is an ordinary character.
func checkPath(path string, hidden bool) error {
	if len(path) == 0 || path[0] != '/' || len(path) > maxPath {
		return ErrNotFound
	}
	if strings.IndexByte(path, 0) >= 0 {
		return ErrForbidden // the kernel would see another name than we do
	}
	rest := path[1:]
	for rest != "" {
		segment, after, more := strings.Cut(rest, "/")
		switch {
		case segment == "." || segment == "..":
			// RFC 3986 section 5.2.4 has the client remove these; one that arrives is an attempt at something.
			return ErrForbidden
		case segment == "":
			return ErrNotFound // "//": one name for each object, so that validators and logs mean something
		case segment[0] == '.' && !hidden:
			return ErrNotFound // not even its existence is told
		case !more:
			return nil
		}
		rest = after
	}
	return nil
}

// relative turns a checked path into a name below the root, and tells whether it ended in a slash.
func relative(path string) (name string, slash bool) {
	name = path[1:]
	if name == "" {
		return ".", true
	}
	return strings.CutSuffix(name, "/")
}
