package lmtpdeliver

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"sort"

	"github.com/pec-milter/pec-milter/pec"
)

// readHeader reads up to and with the first empty line, or pec.MaxHeader bytes
// and what the reader holds of the line at that place.
func readHeader(in *bufio.Reader) ([]byte, error) {
	var section []byte
	line := 0 // where the last line begins
	for len(section) < pec.MaxHeader {
		piece, err := in.ReadSlice('\n')
		section = append(section, piece...)
		switch {
		case err == io.EOF:
			return section, nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err
		case len(bytes.TrimRight(section[line:], "\r\n")) == 0:
			return section, nil
		}
		line = len(section)
	}
	return section, nil
}

// splitHeader gives the fields of a header section, and what stands behind the
// last line that pec takes for a part of a header; nothing, but for messages
// that no MTA of ours lets pass.
func splitHeader(section []byte) (header pec.Header, rest []byte) {
	if header, err := parse(section); err == nil {
		return header, nil
	}
	ends := lineEnds(section)
	good := sort.Search(len(ends), func(i int) bool {
		_, err := parse(section[:ends[i]])
		return err != nil
	})
	if good == 0 {
		return nil, section
	}
	header, _ = parse(section[:ends[good-1]])
	return header, section[ends[good-1]:]
}

func parse(section []byte) (pec.Header, error) {
	m, err := pec.ReadMessage(bytes.NewReader(section), int64(len(section)))
	return m.Header, err
}

// lineEnds are the places behind each line.
func lineEnds(section []byte) (ends []int) {
	for at, b := range section {
		if b == '\n' {
			ends = append(ends, at+1)
		}
	}
	return ends
}

// received is the end of the trace field that Postfix and Sendmail write, up to
// the queue id: "by HOST (Postfix) with ESMTP id QUEUEID". What the client said
// of itself stands before it, and can hold no parentheses.
var received = regexp.MustCompile(`\sby \S+ \([^()]*\)(?:\s+with \S+)?\s+id ([0-9A-Za-z]+)(?:[;\s]|$)`)

// queueID is the MTA's name for the message, empty if it cannot be told. LMTP
// does not say it, but the topmost Received field is our own MTA's.
func queueID(h pec.Header) string {
	match := received.FindStringSubmatch(" " + h.Get("Received"))
	if match == nil {
		return ""
	}
	return match[1]
}
