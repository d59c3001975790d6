package pec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
)

// Part is one entity of a message: the message itself, or a part of a
// multipart. It holds no content: it is a window on the message's body, which
// must stay readable as long as the part is used.
type Part struct {
	Header Header
	// MediaType is type/subtype in lower case; text/plain where nothing is said.
	MediaType string
	// Params are the parameters of Content-Type, names in lower case, values
	// decoded (RFC 2231). Never nil.
	Params map[string]string
	// Encoding is the Content-Transfer-Encoding in lower case; 7bit where
	// nothing is said.
	Encoding string
	// Parts are the parts of a multipart, in their order.
	Parts []*Part

	source Body
	// The entity is source[start:end], its body source[body:end].
	start, body, end int64
}

// MaxEncodedMessage is the largest message, in bytes, that Part.Decoded decodes.
const MaxEncodedMessage = 8 << 20

// ErrNotMessage means that a part is no message/rfc822.
var ErrNotMessage = errors.New("part is no attached message")

// Raw is the entity as it stands in the message: header, empty line, body,
// without the line end that belongs to the delimiter after it. Of the message
// itself it is the body alone, for its header is not among these bytes.
func (p *Part) Raw() Body { return io.NewSectionReader(p.source, p.start, p.end-p.start) }

// Body is the part's body as it was transferred: not decoded.
func (p *Part) Body() Body { return io.NewSectionReader(p.source, p.body, p.end-p.body) }

// Name is the part's file name: the parameter name of Content-Type, or else the
// parameter filename of Content-Disposition; empty where there is neither. It
// is what the sender wrote: no path.
func (p *Part) Name() string {
	if name := p.Params["name"]; name != "" {
		return name
	}
	_, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return params["filename"]
}

// Content reads the part's body, decoded by its Content-Transfer-Encoding. An
// error that wraps ErrEncoding tells of the part, any other of the source.
func (p *Part) Content() io.Reader {
	return decode(p.Encoding, io.NewSectionReader(p.source, p.body, p.end-p.body))
}

// Message opens an attached message (message/rfc822).
func (p *Part) Message() (Message, error) {
	if p.MediaType != "message/rfc822" {
		return Message{}, fmt.Errorf("%w: it is %s", ErrNotMessage, p.MediaType)
	}
	body, err := p.Decoded()
	if err != nil {
		return Message{}, err
	}
	m, err := ReadMessage(body, body.Size())
	if err != nil {
		return Message{}, fmt.Errorf("attached message: %w", err)
	}
	return m, nil
}

// Decoded is the part's content as a body. Of a part in 7bit, 8bit or binary,
// as RFC 2046 section 5.2.1 demands of an attached message, it is a window like
// the part itself. Of one in base64 or quoted-printable, which some clients
// make all the same, the decoded bytes are kept in memory, at most
// MaxEncodedMessage; for more, write Content to a file. An error that wraps
// ErrEncoding tells of the part, any other of the source.
func (p *Part) Decoded() (Body, error) {
	if isIdentity(p.Encoding) {
		return p.Body(), nil
	}
	decoded, err := io.ReadAll(io.LimitReader(p.Content(), MaxEncodedMessage+1))
	if err != nil {
		return nil, fmt.Errorf("decoding an attached message: %w", err)
	}
	if len(decoded) > MaxEncodedMessage {
		return nil, fmt.Errorf("%w: attached message in %s is over %d bytes", ErrEncoding, p.Encoding, MaxEncodedMessage)
	}
	return bytes.NewReader(decoded), nil
}

// isMultipart tells whether the part has parts in it.
func (p *Part) isMultipart() bool { return strings.HasPrefix(p.MediaType, "multipart/") }

// endAt sets where the entity ends. Of a part without body the last line end
// is the delimiter's, even if it is the one that made the empty line.
func (p *Part) endAt(end int64) {
	p.end = max(end, p.start)
	p.body = min(p.body, p.end)
}
