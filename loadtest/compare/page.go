package compare

import "io"

// WriteHTML is not there yet.
func (r *Report) WriteHTML(w io.Writer) error { return r.WriteJSON(w) }
