package antivirus

import (
	"fmt"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// maxName is the longest name of a virus, in bytes, that is passed on.
const maxName = 128

// What clamd finds where it could not look: names that begin so are no viruses.
const (
	limitsPrefix    = "Heuristics.Limits.Exceeded"
	encryptedPrefix = "Heuristics.Encrypted."
)

// parseFinding reads the reply to INSTREAM. Only "stream: OK" and "stream: NAME
// FOUND", whole and alone, are verdicts.
func parseFinding(reply string) (point.Finding, error) {
	text, err := oneReply(reply)
	if err != nil {
		return point.Finding{}, err
	}
	result, ok := strings.CutPrefix(text, "stream: ")
	if ok && result == "OK" {
		return point.Finding{}, nil
	}
	name, found := strings.CutSuffix(result, " FOUND")
	if !ok || !found || name == "" {
		return point.Finding{}, noVerdict(text)
	}
	switch {
	case strings.HasPrefix(name, limitsPrefix):
		return point.Finding{Limits: true}, nil
	case strings.HasPrefix(name, encryptedPrefix):
		return point.Finding{Encrypted: true}, nil
	}
	return point.Finding{Virus: printable(name, maxName)}, nil
}

// parseVersion reads the reply to VERSION: "ClamAV 1.4.6/27500/Tue Jan  7
// 09:31:07 2025", or without an official base "ClamAV 1.4.6".
func parseVersion(reply string) (engine, base string, date time.Time, err error) {
	text, err := oneReply(reply)
	if err != nil {
		return "", "", time.Time{}, err
	}
	version, ok := strings.CutPrefix(text, "ClamAV ")
	fields := strings.Split(printable(version, maxReply), "/")
	if !ok || fields[0] == "" || len(fields) != 1 && len(fields) != 3 {
		return "", "", time.Time{}, fmt.Errorf("replied %q: that is no version", text)
	}
	if len(fields) == 3 {
		if date, err = time.Parse(time.ANSIC, fields[2]); err != nil {
			return "", "", time.Time{}, fmt.Errorf("date of the signatures: %w", err)
		}
		base = fields[1]
	}
	return fields[0], base, date, nil
}

// oneReply gives the text of a reply, which a NUL ends.
func oneReply(reply string) (string, error) {
	text, rest, ended := strings.Cut(reply, "\x00")
	switch {
	case reply == "":
		return "", fmt.Errorf("hung up without a reply")
	case !ended:
		return "", fmt.Errorf("reply broken off or too long: %q", printable(reply, maxName))
	case rest != "":
		return "", fmt.Errorf("more than one reply: %q", printable(reply, maxName))
	}
	return text, nil
}

// noVerdict is the error of a reply that says nothing about the message.
func noVerdict(reply string) error {
	hint := ""
	if strings.HasPrefix(reply, "INSTREAM size limit exceeded") {
		hint = ": set StreamMaxLength in clamd.conf above the largest message"
	}
	return fmt.Errorf("replied %q%s", printable(strings.TrimRight(reply, "\x00"), maxName), hint)
}

// printable is a text of clamd's for logs and notices: at most limit bytes, all
// of them printable ASCII.
func printable(text string, limit int) string {
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return ascii[:min(len(ascii), limit)]
}
