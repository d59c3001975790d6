package pec

import (
	"fmt"
	"mime"
	"strings"
)

// describe sets what a part's header says of its content, RFC 2045. Its errors
// are ambiguities: fields or parameters of which readers would take one or the
// other.
func (p *Part) describe() error {
	if err := checkFields(p.Header); err != nil {
		return err
	}
	if err := p.readContentType(); err != nil {
		return err
	}
	p.Encoding = strings.ToLower(p.Header.Get("Content-Transfer-Encoding"))
	if p.Encoding == "" {
		p.Encoding = "7bit"
	}
	if p.isMultipart() && !isIdentity(p.Encoding) {
		return fmt.Errorf("multipart in %s", p.Encoding)
	}
	return nil
}

// checkFields refuses a second MIME header field of the same name, one with
// white space before its colon, and one with a CR that ends no line: some
// readers take them so, others so.
func checkFields(h Header) error {
	seen := make(map[string]bool)
	for _, f := range h {
		name := strings.ToLower(strings.TrimRight(f.Name, " \t"))
		if name != "mime-version" && !strings.HasPrefix(name, "content-") {
			continue
		}
		if seen[name] {
			return fmt.Errorf("second field %s", f.Name)
		}
		if len(name) != len(f.Name) {
			return fmt.Errorf("white space before the colon of field %s", f.Name)
		}
		if strings.Contains(strings.ReplaceAll(f.Value, "\r\n", ""), "\r") {
			return fmt.Errorf("lone CR in field %s", f.Name)
		}
		seen[name] = true
	}
	return nil
}

// readContentType: parameters that cannot be read are an error in a multipart;
// elsewhere they are left out.
func (p *Part) readContentType() error {
	p.MediaType, p.Params = "text/plain", map[string]string{}
	if p.Header.Count("Content-Type") == 0 {
		return nil
	}
	value := p.Header.Get("Content-Type")
	mediaType, params, err := mime.ParseMediaType(value)
	if mediaType == "" || err != nil && strings.HasPrefix(mediaType, "multipart/") {
		return fmt.Errorf("field Content-Type %.100q: %w", value, err)
	}
	p.MediaType = mediaType
	if params != nil {
		p.Params = params
	}
	return nil
}
