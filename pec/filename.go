package pec

import (
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"

	"github.com/emersion/go-message/charset"
)

// maxFileName is the longest file name, in bytes, that we write: with ".hash"
// behind, a file system takes it.
const maxFileName = 200

// fileName is the file name that a part's header gives it: name in
// Content-Type, or else filename in Content-Disposition. named tells that one
// of them is there, though it be empty. It reads what Part.Name cannot, all that
// clients write: charsets other than UTF-8, encoded words, blanks without
// quotes. The name is safe to be shown and to be written into a header; no
// caller may take it for a path.
func fileName(h Header) (name string, named bool) {
	for _, place := range []struct{ field, parameter string }{{"Content-Type", "name"}, {"Content-Disposition", "filename"}} {
		value, found := parameter(h.Get(place.field), place.parameter)
		named = named || found
		if name == "" {
			name = safeFileName(value)
		}
	}
	return name, named
}

// safeFileName decodes a name, and takes from it what could end a header field,
// a quoted string or a directory.
func safeFileName(name string) string {
	name = strings.NewReplacer("/", "_", `\`, "_", `"`, "_").Replace(DecodeText(name))
	if len(name) > maxFileName {
		name = strings.ToValidUTF8(name[:maxFileName], "")
	}
	return strings.TrimSpace(name)
}

// nameParameter writes a safe name as a parameter: RFC 2045, or RFC 2231 where
// it is not ASCII.
func nameParameter(parameter, name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r > '~' }) {
		return strings.TrimPrefix(mime.FormatMediaType("x", map[string]string{parameter: name}), "x; ")
	}
	return fmt.Sprintf(`%s="%s"`, parameter, name)
}

// parameter finds a parameter of a MIME header field, in whichever form: name,
// name* with its charset, or in pieces name*0, name*1* (RFC 2231).
func parameter(value, name string) (text string, found bool) {
	forms := make(map[string]string)
	_, rest, _ := strings.Cut(value, ";")
	for rest != "" {
		var attribute, v string
		attribute, v, rest = nextParameter(rest)
		form, ok := strings.CutPrefix(attribute, name)
		if form == "*" {
			form = "*0*"
		}
		if ok && (form == "" || form[0] == '*') {
			forms[form] = v
		}
	}
	if text := extended(forms); text != "" {
		return text, true
	}
	return forms[""], len(forms) > 0
}

// nextParameter takes the first parameter off a list. It takes what is there: a
// value may lack its quotes, or their end.
func nextParameter(list string) (attribute, value, rest string) {
	end := strings.IndexAny(list, "=;")
	if end < 0 || list[end] == ';' {
		_, rest, _ = strings.Cut(list, ";")
		return "", "", rest
	}
	attribute = strings.ToLower(strings.TrimSpace(list[:end]))
	list = strings.TrimLeft(list[end+1:], " \t")
	if strings.HasPrefix(list, `"`) {
		value, list = quotedValue(list[1:])
		_, rest, _ = strings.Cut(list, ";")
		return attribute, value, rest
	}
	value, rest, _ = strings.Cut(list, ";")
	return attribute, strings.TrimSpace(value), rest
}

// quotedValue reads up to the closing quote. QUIRK: a backslash before anything
// but a quote or a backslash is one, for some clients write paths so.
func quotedValue(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// extended puts the pieces of RFC 2231 together.
func extended(forms map[string]string) string {
	var b strings.Builder
	var label string
	for n := 0; ; n++ {
		key := "*" + strconv.Itoa(n)
		if encoded, ok := forms[key+"*"]; ok {
			if parts := strings.SplitN(encoded, "'", 3); n == 0 && len(parts) == 3 {
				label, encoded = parts[0], parts[2]
			}
			b.WriteString(percentDecoded(encoded))
		} else if plain, ok := forms[key]; ok {
			b.WriteString(plain)
		} else {
			return inUTF8(label, b.String())
		}
	}
}

// percentDecoded leaves alone what is no two hexadecimal digits.
func percentDecoded(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// inUTF8 converts a text; one in a charset that is not known stays as it is.
func inUTF8(label, text string) string {
	r, err := charset.Reader(strings.ToLower(label), strings.NewReader(text))
	if err != nil {
		return text
	}
	converted, err := io.ReadAll(r)
	if err != nil {
		return text
	}
	return string(converted)
}
