package pec

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// BriefOriginal is the original message as a brief delivery notification
// encloses it (RFC 6109 section 3.3.2.2): each part that has a file name, and
// each attached message, is replaced by a text file with its SHA-1 in 40
// hexadecimal digits, named as the part with ".hash" behind. Every byte outside
// of these parts is as it was; brief is a window on original, which must stay
// readable as long as brief is used.
//
// What is hashed is the part's body as it was transferred, base64 and all, with
// CRLF line ends: the RFC's SHOULD. If decoded is set it is the content, as the
// sender has it in a file; of a part that does not decode still the body.
//
// whole says why original is given back whole; it is empty where it is not. So
// it is with an S/MIME message in one piece, as the RFC demands, and with a
// message whose parts cannot be told (see Structure, ReadMessage): the
// notification is owed all the same, and then is as long as a complete one. The
// error is one of reading.
//
// Decided where the RFC is silent: a multipart is structure and never replaced,
// whatever its name; only a signature that is the second part of a top-level
// multipart/signed is left alone, one deeper inside is an attachment.
func BriefOriginal(original Body, decoded bool) (brief Body, whole string, err error) {
	source := &watchedBody{Body: original}
	root, header, err := readOriginal(source)
	switch {
	case source.err != nil:
		return nil, "", fmt.Errorf("reading the original message: %w", source.err)
	case err != nil:
		return original, err.Error(), nil
	case root.MediaType == "application/pkcs7-mime", root.MediaType == "application/x-pkcs7-mime":
		return original, "S/MIME message in one piece: " + root.MediaType, nil
	}
	b := &briefing{original: original, root: root, header: header, decoded: decoded}
	if err := b.part(root, false); err != nil {
		return nil, "", fmt.Errorf("hashing the original message: %w", err)
	}
	b.keepTo(original.Size())
	return &b.pieces, "", nil
}

// readOriginal gives the tree of a message's parts and the length of its header
// section with the empty line.
func readOriginal(original Body) (root *Part, header int64, err error) {
	m, err := ReadMessage(original, original.Size())
	if err != nil {
		return nil, 0, err
	}
	root, err = Structure(m)
	return root, original.Size() - m.Body.Size(), err
}

// briefing goes over the parts of an original message in their order.
type briefing struct {
	original Body
	root     *Part
	header   int64 // where the body begins, from which parts count
	decoded  bool
	pieces   joined
	done     int64 // what of original is in pieces, or replaced there
}

// part replaces p or what is to be replaced in it.
func (b *briefing) part(p *Part, inDigest bool) error {
	if !p.isMultipart() {
		return b.leaf(p, inDigest)
	}
	for n, child := range p.Parts {
		if n == 1 && b.isSigned(p) && strings.HasSuffix(child.MediaType, "-signature") {
			continue
		}
		if err := b.part(child, p.MediaType == "multipart/digest"); err != nil {
			return err
		}
	}
	return nil
}

// isSigned: the S/MIME form of a message is that of its top-level entity.
func (b *briefing) isSigned(p *Part) bool { return p == b.root && p.MediaType == "multipart/signed" }

func (b *briefing) leaf(p *Part, inDigest bool) error {
	name, replaced := hashName(p, inDigest)
	if !replaced {
		return nil
	}
	sum, err := b.hash(p)
	if err != nil {
		return err
	}
	start := b.header + p.start
	if p == b.root {
		start = 0 // its header is the message's
	}
	b.keepTo(start)
	b.pieces.add(text(hashHeader(p.Header, name).String() + "\r\n" + sum))
	b.done = b.header + p.end
	return nil
}

// keepTo takes over what of the original is before end.
func (b *briefing) keepTo(end int64) {
	b.pieces.add(io.NewSectionReader(b.original, b.done, end-b.done))
}

// hash is the SHA-1 of a part, RFC 6109 section 3.3.2.2.
func (b *briefing) hash(p *Part) (string, error) {
	sum := sha1.New()
	if b.decoded {
		_, err := io.Copy(sum, p.Content())
		if !errors.Is(err, ErrEncoding) {
			return hex.EncodeToString(sum.Sum(nil)), err
		}
		sum.Reset()
	}
	body := p.Body()
	_, err := copyBody(&canonicalWriter{w: sum}, body)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// hashName is the name of the file with a part's hash; a part that is none of
// those that are replaced has none. In a multipart/digest a part is an attached
// message unless it says otherwise (RFC 2046 section 5.1.5), or is nothing at all.
func hashName(p *Part, inDigest bool) (name string, replaced bool) {
	name, named := fileName(p.Header)
	attached := p.MediaType == "message/rfc822" || inDigest && p.Header.Count("Content-Type") == 0 && p.end > p.start
	switch {
	case name == "" && attached:
		name = "messaggio.eml"
	case name == "" && named:
		name = "allegato"
	}
	return name + ".hash", named || attached
}

// hashHeader is the header of a replaced part: of the fields that tell of its
// content only Content-ID stays, for other parts refer to it.
func hashHeader(h Header, name string) Header {
	fields := Header{
		NewField("Content-Type", "text/plain; charset=us-ascii;\r\n "+nameParameter("name", name)),
		NewField("Content-Transfer-Encoding", "7bit"),
		NewField("Content-Disposition", "attachment;\r\n "+nameParameter("filename", name)),
	}
	var header Header
	for _, f := range h {
		switch {
		case f.is("Content-ID") || !strings.HasPrefix(strings.ToLower(f.Name), "content-"):
			header = append(header, f)
		default:
			header, fields = append(header, fields...), nil
		}
	}
	return append(header, fields...)
}
