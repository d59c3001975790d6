package pec

import (
	"errors"
	"fmt"
)

// The limits of ASN.1. A CMS signature with certificates and a time stamp is
// nested about 20 deep and has less than 3,000 elements.
const (
	maxNesting  = 64
	maxElements = 100_000
)

var errTruncated = errors.New("element is longer than what holds it")

// berToDER turns BER into DER as far as lengths go, which encoding/asn1 needs:
// some signers write indefinite lengths. DER comes out as it went in. Time is in
// proportion to the input, whatever it claims of itself: each element must lie
// inside the one that holds it, and depth is limited.
func berToDER(ber []byte) ([]byte, error) {
	d := &derWriter{out: make([]byte, 0, len(ber))}
	rest, err := d.element(ber, 0)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes after the end", len(rest))
	}
	return d.out, nil
}

// derWriter collects elements in DER.
type derWriter struct {
	out      []byte
	elements int
}

// element appends the first element of in, and gives what comes after it.
func (d *derWriter) element(in []byte, depth int) (rest []byte, err error) {
	if d.elements++; depth > maxNesting || d.elements > maxElements {
		return nil, fmt.Errorf("more than %d elements, or nested more than %d deep", maxElements, maxNesting)
	}
	if len(in) == 0 {
		return nil, errTruncated
	}
	tag := in[0]
	constructed := tag&0x20 != 0
	length, indefinite, rest, err := readLength(in[1:])
	d.out = append(d.out, tag)
	switch {
	case tag&0x1f == 0x1f:
		return nil, errors.New("tag number over 30, which CMS does not have")
	case err != nil:
		return nil, err
	case indefinite && !constructed:
		return nil, errors.New("primitive element of indefinite length")
	case indefinite:
		return d.indefinite(rest, depth)
	case constructed:
		return rest[length:], d.definite(rest[:length], depth)
	}
	d.out = append(appendLength(d.out, length), rest[:length]...)
	return rest[length:], nil
}

// definite appends the elements of a constructed one, with their length.
func (d *derWriter) definite(in []byte, depth int) error {
	start := len(d.out)
	for len(in) > 0 {
		var err error
		if in, err = d.element(in, depth+1); err != nil {
			return err
		}
	}
	d.insertLength(start)
	return nil
}

// indefinite does the same up to the end-of-contents octets, and gives what
// comes after them.
func (d *derWriter) indefinite(in []byte, depth int) (rest []byte, err error) {
	start := len(d.out)
	for {
		if len(in) >= 2 && in[0] == 0 && in[1] == 0 {
			d.insertLength(start)
			return in[2:], nil
		}
		if in, err = d.element(in, depth+1); err != nil {
			return nil, err
		}
	}
}

// insertLength puts the length of what was appended since start before it.
func (d *derWriter) insertLength(start int) {
	var octets [5]byte
	length := appendLength(octets[:0], len(d.out)-start)
	d.out = append(d.out, length...)
	copy(d.out[start+len(length):], d.out[start:])
	copy(d.out[start:], length)
}

// readLength reads the length octets. The length is never more than what rest
// has.
func readLength(in []byte) (length int, indefinite bool, rest []byte, err error) {
	if len(in) == 0 {
		return 0, false, nil, errTruncated
	}
	first, rest := in[0], in[1:]
	if first == 0x80 {
		return 0, true, rest, nil
	}
	length = int(first)
	if first > 0x80 {
		n := int(first & 0x7f)
		if n > 4 || n > len(rest) {
			return 0, false, nil, errTruncated
		}
		length = 0
		for _, octet := range rest[:n] {
			length = length<<8 | int(octet)
		}
		rest = rest[n:]
	}
	if length < 0 || length > len(rest) {
		return 0, false, nil, errTruncated
	}
	return length, false, rest, nil
}

// appendLength appends the shortest length octets.
func appendLength(out []byte, length int) []byte {
	if length < 0x80 {
		return append(out, byte(length))
	}
	n := 1
	for length>>(8*n) > 0 {
		n++
	}
	out = append(out, 0x80|byte(n))
	for n--; n >= 0; n-- {
		out = append(out, byte(length>>(8*n)))
	}
	return out
}
