package lifetime

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxQuestion is more than the name of a map, a queue id and an address can have.
const maxQuestion = 2048

// readNetstring reads "LENGTH:BYTES,". io.EOF means that there was none.
func readNetstring(in *bufio.Reader) (string, error) {
	length, err := readLength(in)
	if err != nil {
		return "", err
	}
	text := make([]byte, length+1)
	if _, err := io.ReadFull(in, text); err != nil {
		return "", fmt.Errorf("reading %d bytes: %w", length, noEnd(err))
	}
	if text[length] != ',' {
		return "", fmt.Errorf("after %d bytes there is %q, not a comma", length, text[length])
	}
	return string(text[:length]), nil
}

// readLength reads a decimal number without leading zeros, and the colon after it.
func readLength(in *bufio.Reader) (length int, err error) {
	for digits := 0; ; digits++ {
		c, err := in.ReadByte()
		switch {
		case err != nil && digits == 0:
			return 0, err
		case err != nil:
			return 0, noEnd(err)
		case c == ':' && digits > 0:
			return length, nil
		case c < '0' || c > '9' || digits == 1 && length == 0:
			return 0, fmt.Errorf("%q is not part of a length", c)
		}
		if length = 10*length + int(c-'0'); length > maxQuestion {
			return 0, fmt.Errorf("longer than %d bytes", maxQuestion)
		}
	}
}

// noEnd: the end in the middle of something is no end.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func netstring(text string) string { return strconv.Itoa(len(text)) + ":" + text + "," }
