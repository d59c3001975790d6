package directory

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

const (
	// maxLDIF bounds the file, in bytes: several times the whole of Italy's.
	maxLDIF = 64 << 20
	// maxFaults bounds what may be wrong with records before the whole file is
	// held to be no directory.
	maxFaults = 1000
)

// Fault is something in a directory file that was left out.
type Fault struct {
	Line int    // of the record's first line, from 1
	DN   string // of the record, as written
	Err  error  // what is wrong, and what was left out
}

func (f *Fault) Error() string { return fmt.Sprintf("line %d, record %q: %v", f.Line, f.DN, f.Err) }

func (f *Fault) Unwrap() error { return f.Err }

// ReadLDIF reads a providers directory (RFC 6109 section 4.5.10). The base
// record and records that are no provider's are passed over.
//
// What one provider wrote wrongly costs that provider alone: the value or the
// record is left out and told in the faults. The error is for what makes the
// whole file untrustworthy: it cannot be read, is cut short, holds no provider,
// or lets two providers claim one domain.
func ReadLDIF(r io.Reader) (*Directory, []*Fault, error) {
	text, err := readText(r)
	if err != nil {
		return nil, nil, err
	}
	var providers []*pec.Provider
	var faults []*Fault
	claims := make(map[string]*record)
	for _, raw := range splitRecords(text) {
		rec := readRecord(raw)
		if err := rec.claim(claims); err != nil {
			return nil, nil, err
		}
		faults = append(faults, rec.faults...)
		if len(faults) > maxFaults {
			return nil, nil, fmt.Errorf("more than %d faults, the first: %w", maxFaults, faults[0])
		}
		if rec.provider != nil {
			providers = append(providers, rec.provider)
		}
	}
	if len(providers) == 0 {
		return nil, nil, noProvider(faults)
	}
	return newDirectory(providers), faults, nil
}

func noProvider(faults []*Fault) error {
	const text = "no provider in it: give the directory as plain LDIF, taken out of its .p7m"
	if len(faults) == 0 {
		return errors.New(text)
	}
	return fmt.Errorf("%s; the first of %d faults: %w", text, len(faults), faults[0])
}

// readText reads the whole file. A file that does not end with a line end was
// cut short.
func readText(r io.Reader) (string, error) {
	data, err := readLimited(r, maxLDIF)
	if err != nil {
		return "", err
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		return "", errors.New("the last line has no line end: the file is cut short, fetch it again")
	}
	return string(data), nil
}

// rawRecord is the text of one record, its lines unfolded and without comments.
type rawRecord struct {
	line int // the number of its first line, from 1
	text string
}

// splitRecords cuts an LDIF file (RFC 2849) into records. The library could do
// it too, but stops at the first bad record and copies a folded line anew for
// each of its pieces.
//
// QUIRK: "dn:" starts a record even where the empty line before it is missing,
// as in the examples of RFC 6109 section 4.5.10; read to the letter, such a
// record would be lost in the one before it.
func splitRecords(text string) []rawRecord {
	var records []rawRecord
	var current strings.Builder
	first, number, comment := 0, 0, false
	flush := func() {
		if current.Len() > 0 {
			records = append(records, rawRecord{first, current.String()})
			current.Reset()
		}
	}
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		folded := strings.HasPrefix(line, " ")
		comment = strings.HasPrefix(line, "#") || comment && folded
		if comment {
			continue
		}
		if line == "" || strings.HasPrefix(line, "dn:") {
			flush()
		}
		if current.Len() == 0 {
			first = number
		} else if !folded {
			current.WriteByte('\n')
		}
		current.WriteString(strings.TrimPrefix(line, " "))
	}
	flush()
	return records
}
