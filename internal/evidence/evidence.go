// Package evidence writes what the legal log has of a message into a zip archive that a
// court's expert can check without this program: with a shell, openssl and sha256sum.
// README.txt, which is in each archive, says what proves what.
//
// It knows nothing of the log: what it is given it takes for true.
package evidence

import (
	"archive/zip"
	"crypto/sha256"
	"crypto/x509"
	_ "embed" // the scripts
	"encoding/pem"
	"fmt"
	"io"
	"strings"
	"time"
)

// Evidence is what there is about one message.
type Evidence struct {
	Made    time.Time // now: when it is signed
	Rows    []Row
	Seals   []Seal
	Notices []Notice
	// Authorities are those of the provider's signatures, StampAuthorities those of the
	// time stamps.
	Authorities, StampAuthorities []*x509.Certificate
	// Missing is what is not proved, one a line, for people.
	Missing []string
	// Sign makes the provider's detached signature (CMS, DER) of a SHA-256.
	Sign func(digest [32]byte) ([]byte, error)
}

// Row is a row of the log.
type Row struct {
	Seq  int64
	Line []byte // with its line feed
	Seal string // the name of its seal; empty: it has none
	Path []Step
}

// Step is a step from a row to the root of its seal: the neighbour, in hexadecimal
// digits, and whether it is on the left.
type Step struct {
	Hash string
	Left bool
}

// Seal is a signed manifest.
type Seal struct {
	Name                       string // without an ending
	Manifest, Signature, Stamp []byte // Stamp nil: it has none
}

// Notice is a notice about the message, made again.
type Notice struct {
	Kind    string
	Message io.WriterTo
}

var (
	//go:embed README.txt
	readme []byte
	//go:embed verify.sh
	verifyScript []byte
	//go:embed steps.sh
	steps []byte
)

// archive is a zip archive that is written, with the sums of its files.
type archive struct {
	zip  *zip.Writer
	made time.Time
	sums strings.Builder
}

// Write writes the archive. After an error what was written is of no use.
func (e *Evidence) Write(w io.Writer) error {
	a := &archive{zip: zip.NewWriter(w), made: e.Made.UTC()}
	a.zip.SetComment("sh verify.sh")
	for _, write := range []func(*archive) error{e.writeTexts, e.writeSeals, e.writeRows, e.writeNotices, e.writeSums} {
		if err := write(a); err != nil {
			return err
		}
	}
	return a.zip.Close()
}

// add adds a file and its sum.
func (a *archive) add(name string, content []byte) error {
	return a.stream(name, func(w io.Writer) error { _, err := w.Write(content); return err })
}

func (a *archive) stream(name string, write func(io.Writer) error) error {
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: a.made})
	if err != nil {
		return err
	}
	sum := sha256.New()
	if err := write(io.MultiWriter(w, sum)); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	fmt.Fprintf(&a.sums, "%x  %s\n", sum.Sum(nil), name)
	return nil
}

func (e *Evidence) writeTexts(a *archive) error {
	files := []struct {
		name    string
		content []byte
	}{
		{"README.txt", readme}, {"verify.sh", verifyScript}, {"steps.sh", steps},
		{"MADE", fmt.Appendf(nil, "%d %s\n", a.made.Unix(), a.made.Format(time.RFC3339))},
		{"certificates/authorities.pem", inPEM(e.Authorities)},
		{"certificates/tsa-authorities.pem", inPEM(e.StampAuthorities)},
		{"MISSING", []byte(strings.Join(e.Missing, "\n") + "\n")},
	}
	if len(e.Missing) == 0 {
		files = files[:len(files)-1]
	}
	for _, f := range files {
		if err := a.add(f.name, f.content); err != nil {
			return err
		}
	}
	return nil
}

// inPEM has the subject of each certificate above it.
func inPEM(certificates []*x509.Certificate) []byte {
	var text []byte
	for _, c := range certificates {
		text = fmt.Appendf(text, "%s\nSHA-256 %x\n", strings.Map(printable, c.Subject.String()), sha256.Sum256(c.Raw))
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

// printable keeps a name on its line, and from looking like the start of a block.
func printable(r rune) rune {
	if r < ' ' || r == '-' {
		return ' '
	}
	return r
}

func (e *Evidence) writeSeals(a *archive) error {
	for _, s := range e.Seals {
		err := a.add("seals/"+s.Name+".json", s.Manifest)
		if err == nil {
			err = a.add("seals/"+s.Name+".p7s", s.Signature)
		}
		if err == nil && s.Stamp != nil {
			err = a.add("seals/"+s.Name+".tsr", s.Stamp)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Evidence) writeRows(a *archive) error {
	for _, row := range e.Rows {
		name := fmt.Sprintf("rows/%012d", row.Seq)
		err := a.add(name+".ndjson", row.Line)
		if err == nil && row.Seal != "" {
			err = a.add(name+".path", row.path())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Row) path() []byte {
	text := fmt.Appendf(nil, "seal %s\n", r.Seal)
	for _, step := range r.Path {
		side := "right"
		if step.Left {
			side = "left"
		}
		text = fmt.Appendf(text, "%s %s\n", side, step.Hash)
	}
	return text
}

func (e *Evidence) writeNotices(a *archive) error {
	for n, notice := range e.Notices {
		name := fmt.Sprintf("notices/%03d-%s.eml", n+1, notice.Kind)
		if err := a.stream(name, func(w io.Writer) error { _, err := notice.Message.WriteTo(w); return err }); err != nil {
			return err
		}
	}
	return nil
}

// writeSums signs the sums of all files, and has a sum for the signature too: not all
// of its bytes are signed.
func (e *Evidence) writeSums(a *archive) error {
	sums := []byte(a.sums.String())
	signature, err := e.Sign(sha256.Sum256(sums))
	if err != nil {
		return err
	}
	err = a.add("SHA256SUMS", sums)
	if err == nil {
		err = a.add("SHA256SUMS.p7s", signature)
	}
	if err == nil {
		err = a.add("SHA256SUMS.p7s.sha256", fmt.Appendf(nil, "%x  SHA256SUMS.p7s\n", sha256.Sum256(signature)))
	}
	return err
}
