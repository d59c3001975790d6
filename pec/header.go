package pec

import (
	"fmt"
	"slices"
	"strings"
)

// Field is one header field as it stands in a message.
type Field struct {
	// Name is all that stands before the colon; RFC 5322 section 4.5 allows
	// white space at its end.
	Name string
	// Value is all that follows the colon, with its leading space and its
	// folding (CRLF and white space), but without the last CRLF.
	Value string
}

// NewField makes a field with the usual space after the colon.
func NewField(name, value string) Field { return Field{name, " " + value} }

// Text is the value without folding and surrounding white space.
func (f Field) Text() string {
	return strings.TrimSpace(unfolding.Replace(f.Value))
}

var unfolding = strings.NewReplacer("\r\n", "", "\n", "", "\r", "")

// String is the field as it travels, with its last CRLF.
func (f Field) String() string { return f.Name + ":" + f.Value + "\r\n" }

// Header is the header section of a message: its fields in their order.
type Header []Field

// String is the header section as it travels, without the empty line.
func (h Header) String() string {
	var b strings.Builder
	for _, f := range h {
		b.WriteString(f.Name)
		b.WriteByte(':')
		b.WriteString(f.Value)
		b.WriteString("\r\n")
	}
	return b.String()
}

// is tells whether the field has that name. Case does not matter.
func (f Field) is(name string) bool {
	return strings.EqualFold(strings.TrimRight(f.Name, " \t"), name)
}

// All gives the fields of that name, in their order. Names are compared
// without regard to case.
func (h Header) All(name string) []Field {
	var all []Field
	for _, f := range h {
		if f.is(name) {
			all = append(all, f)
		}
	}
	return all
}

// Get is the text of the first field of that name; empty where there is none.
func (h Header) Get(name string) string {
	for _, f := range h {
		if f.is(name) {
			return f.Text()
		}
	}
	return ""
}

// Count is the number of fields of that name.
func (h Header) Count(name string) int { return len(h.All(name)) }

// Without is the header less all fields of these names.
func (h Header) Without(names ...string) Header {
	var rest Header
	for _, f := range h {
		if !f.isOneOf(names) {
			rest = append(rest, f)
		}
	}
	return rest
}

func (f Field) isOneOf(names []string) bool {
	return slices.ContainsFunc(names, f.is)
}

// headerReader gathers the lines of a header section into fields.
type headerReader struct {
	header Header
	folded []string // the lines of the last field's value
}

// add takes one line, its end cut off.
func (r *headerReader) add(line string) error {
	if len(r.header) > 0 && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) {
		r.folded = append(r.folded, line)
		return nil
	}
	name, value, found := strings.Cut(line, ":")
	if !found || !validFieldName(strings.TrimRight(name, " \t")) {
		if len(r.header) == 0 {
			return ErrNoHeader
		}
		return fmt.Errorf("%w: line after header field %q is no header field", ErrHeader, r.header[len(r.header)-1].Name)
	}
	r.end()
	r.header = append(r.header, Field{Name: name})
	r.folded = append(r.folded[:0], value)
	return nil
}

// end completes the last field, and gives all.
func (r *headerReader) end() Header {
	if len(r.header) > 0 {
		r.header[len(r.header)-1].Value = strings.Join(r.folded, "\r\n")
	}
	return r.header
}

// validFieldName: RFC 5322 section 2.2, printable ASCII without the colon.
func validFieldName(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 127 || name[i] == ':' {
			return false
		}
	}
	return name != ""
}
