package doctor

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// Scanner is the antivirus.
type Scanner interface {
	point.Scanner
	// Version: base is empty where there is no official base of signatures.
	Version(ctx context.Context) (engine, base string, date time.Time, err error)
}

// maxSignatureAge is how old the base of signatures may be: there is a new one
// each day.
const maxSignatureAge = 72 * time.Hour

const (
	startClamd     = "systemctl restart clamav-daemon"
	configureClamd = "put contrib/clamav/pec-milter.conf before all other lines of clamd.conf, then " + startClamd
)

// Antivirus tells whether clamd answers, has fresh signatures, finds the test
// virus, and takes a message of the largest size, in bytes.
func Antivirus(ctx context.Context, scanner Scanner, maxSize int64, now time.Time) []Finding {
	engine, base, date, err := scanner.Version(ctx)
	if err != nil {
		return []Finding{bad("clamd", startClamd, "%v: certified mail gets 451", err)}
	}
	return []Finding{
		good("clamd", "version %s answers", engine),
		judgeSignatures(base, date, now),
		findTestVirus(ctx, scanner),
		takeLargest(ctx, scanner, maxSize),
	}
}

func judgeSignatures(base string, date, now time.Time) Finding {
	const check = "clamd.signatures"
	if base == "" {
		return notChecked(check, "clamd has no official base of signatures: whether its own ones are fresh it does not tell")
	}
	if age := now.Sub(date); age > maxSignatureAge {
		return bad(check, "systemctl restart clamav-freshclam", "base %s is %d days old", base, age/(24*time.Hour))
	}
	return good(check, "base %s of %s", base, date.Format(time.DateOnly))
}

// findTestVirus: a clamd without signatures calls everything clean.
func findTestVirus(ctx context.Context, scanner Scanner) Finding {
	const check = "clamd.test-virus"
	// Put together when it runs, so that nobody takes this program for a virus.
	virus := strings.Replace(`X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-*-ANTIVIRUS-TEST-FILE!$H+H*`, "*", "STANDARD", 1)
	finding, err := scanner.Scan(ctx, text("Subject: test\r\n\r\n"+virus+"\r\n"))
	switch {
	case err != nil:
		return bad(check, startClamd, "%v", err)
	case finding.Virus == "":
		return bad(check, "systemctl stop clamav-freshclam && freshclam && systemctl start clamav-freshclam && "+startClamd,
			"clamd takes the test virus EICAR for clean: it has no signatures")
	}
	return good(check, "EICAR is found, as %s", finding.Virus)
}

// takeLargest sends a message of the largest size: clamd does not tell its
// limits in another way.
func takeLargest(ctx context.Context, scanner Scanner, size int64) Finding {
	const check = "clamd.size"
	finding, err := scanner.Scan(ctx, zeros(size))
	switch {
	case err != nil:
		return bad(check, configureClamd, "a message of mta.max_size, %d bytes: %v", size, err)
	case finding.Limits:
		return bad(check, configureClamd, "a message of mta.max_size, %d bytes, is over clamd's limits: users get a refusal for it", size)
	}
	return good(check, "a message of mta.max_size, %d bytes, is scanned", size)
}

type text string

func (t text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(t))
	return int64(n), err
}

// zeros is a message of that many bytes with nothing in it.
type zeros int64

func (z zeros) WriteTo(w io.Writer) (written int64, err error) {
	block := make([]byte, 64<<10)
	for written < int64(z) && err == nil {
		var n int
		n, err = w.Write(block[:min(int64(len(block)), int64(z)-written)])
		written += int64(n)
	}
	return written, err
}
