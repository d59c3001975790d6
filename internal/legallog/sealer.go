package legallog

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Signer is the key to sign a seal with now, and its chain: the signing certificate
// first, then its intermediates.
type Signer interface {
	Current() (crypto.Signer, []*x509.Certificate, error)
}

// Sealer seals the rows of one node: it writes them into a file, signs what it
// says of that file, and has the signature time-stamped. Each step leaves a file
// with its final name, and the next run goes on after the last of them: with the
// same bytes, whatever stopped it.
type Sealer struct {
	Log       *Log
	Directory string // of the sealed files, made if it is not there
	MaxRows   int64  // in one file
	Signer    Signer
	// Stamp has a digest time-stamped; nil: there is no authority.
	Stamp  func(ctx context.Context, digest [32]byte) ([]byte, error)
	Logger *slog.Logger
}

// Seal finishes what was begun, and seals all rows since. It gives the number of
// seals made. What is not stamped stays sealed, and is stamped the next time: that
// error comes last.
func (s *Sealer) Seal(ctx context.Context, now time.Time) (int, error) {
	unlock, err := s.lock()
	if err != nil {
		return 0, fmt.Errorf("sealing the legal log: %w", err)
	}
	defer unlock()
	head, err := s.Log.Head(ctx)
	if err != nil {
		return 0, err
	}
	made := 0
	for {
		more, err := s.sealNext(ctx, now, head.Seq)
		if err != nil {
			return made, fmt.Errorf("sealing the legal log: %w", err)
		}
		if !more {
			break
		}
		made++
	}
	if err := s.stampAll(ctx); err != nil {
		return made, fmt.Errorf("time-stamping the seals of the legal log: %w", err)
	}
	return made, nil
}

// lock keeps a second sealer out, in this process or another one.
func (s *Sealer) lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.Directory, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.Directory, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: somebody else is sealing: %w", f.Name(), err), f.Close())
	}
	return func() { f.Close() }, nil
}

// last is the last seal of the node; nil: there is none.
func (s *Sealer) last() (last *seal, err error) {
	seals, err := readSeals(s.Directory, s.Log.node)
	if err != nil {
		return nil, err
	}
	for _, next := range seals[s.Log.node] {
		// The first ones may have gone after their 30 months.
		if err := next.follows(last); err != nil && (last != nil || next.Number == 1) {
			return nil, fmt.Errorf("%s: %w: see pec-milter log verify", next.path(manifestEnding), err)
		}
		last = next
	}
	return last, nil
}

// sealNext makes the next seal, or finishes the last; false: the rows up to that
// one are sealed.
func (s *Sealer) sealNext(ctx context.Context, now time.Time, upTo int64) (bool, error) {
	last, err := s.last()
	if err != nil {
		return false, err
	}
	if last != nil {
		signed, err := exists(last.path(signatureEnding))
		if err == nil && !signed {
			return true, s.sign(last)
		}
		if err != nil || last.Last >= upTo {
			return false, err
		}
	}
	next := Manifest{Node: s.Log.node, Number: 1, Before: First(s.Log.node)}
	if last != nil {
		next = Manifest{Node: s.Log.node, Number: last.Number + 1, First: last.Last + 1, Before: last.After, Previous: last.hash()}
	}
	base, err := s.writeRows(ctx, next, now)
	if base == "" || err != nil {
		return false, err
	}
	return true, s.writeManifest(next, base, now)
}

// writeRows writes the rows of the next seal into a file, unless they are there
// from a run before, and gives the base of its name; empty: there are no rows.
func (s *Sealer) writeRows(ctx context.Context, next Manifest, now time.Time) (base string, err error) {
	prefix, suffix := filepath.Join(s.Directory, url.PathEscape(s.Log.node)), fmt.Sprintf("-%d", next.Number)
	there, err := filepath.Glob(escapeGlob(prefix) + "-????????" + suffix + rowsEnding)
	if err != nil {
		return "", err
	}
	if len(there) > 0 {
		return strings.TrimSuffix(there[0], rowsEnding), nil
	}
	base = prefix + pec.LegalTime(now).Format("-20060102") + suffix
	rows := int64(0)
	err = writeFile(base+rowsEnding, func(w io.Writer) error {
		for row, err := range s.Log.Events(ctx, Filter{After: next.First - 1, Node: s.Log.node}) {
			if err != nil {
				return err
			}
			line, err := row.Line()
			if err == nil {
				_, err = w.Write(line)
			}
			if rows++; err != nil || rows == s.MaxRows {
				return err
			}
		}
		if rows == 0 {
			return errNothing
		}
		return nil
	})
	if errors.Is(err, errNothing) {
		return "", nil
	}
	return base, err
}

var errNothing = errors.New("nothing to write")

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// writeManifest sums the file up, as it is on the disk, and signs that. A row that
// does not follow from the one before is not sealed: the database was changed.
func (s *Sealer) writeManifest(next Manifest, base string, now time.Time) error {
	f, err := os.Open(base + rowsEnding)
	if err != nil {
		return err
	}
	defer f.Close()
	reader := newRowReader(f, next.Before)
	for {
		row, _, err := reader.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: row %d: %w: nothing is sealed before this is explained, see pec-milter log verify", f.Name(), row.Seq, err)
		}
	}
	found := reader.end()
	found.Node, found.Number, found.Previous = next.Node, next.Number, next.Previous
	found.File, found.Sealed = filepath.Base(f.Name()), now.UTC().Truncate(time.Second)
	text, err := found.encode()
	if err != nil {
		return err
	}
	done := &seal{Manifest: found, text: text, base: base}
	if err := writeFile(base+manifestEnding, func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
		return err
	}
	return s.sign(done)
}

// sign signs a manifest, with its own time: made again, an RSA signature has the
// same bytes.
func (s *Sealer) sign(m *seal) error {
	key, chain, err := s.Signer.Current()
	if err != nil {
		return fmt.Errorf("signing key: %w", err)
	}
	signature, err := pec.SignDetached(m.hash(), key, chain, m.Sealed)
	if err != nil {
		return fmt.Errorf("signing %s: %w", m.path(manifestEnding), err)
	}
	s.Logger.Info("legal log sealed", "file", m.File, "rows", m.Rows, "first", m.First, "last", m.Last, "hash", m.After)
	return writeFile(m.path(signatureEnding), func(w io.Writer) error { _, err := w.Write(signature); return err })
}

// stampAll has all signatures stamped that are not yet.
func (s *Sealer) stampAll(ctx context.Context) error {
	if s.Stamp == nil {
		return nil
	}
	seals, err := readSeals(s.Directory, s.Log.node)
	if err != nil {
		return err
	}
	for _, m := range seals[s.Log.node] {
		if stamped, err := exists(m.path(stampEnding)); stamped || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		signature, err := os.ReadFile(m.path(signatureEnding))
		if err != nil {
			return err
		}
		stamp, err := s.Stamp(ctx, sha256.Sum256(signature))
		if err != nil {
			return err // the next ones would wait as long
		}
		if err := writeFile(m.path(stampEnding), func(w io.Writer) error { _, err := w.Write(stamp); return err }); err != nil {
			return err
		}
		s.Logger.Info("seal of the legal log time-stamped", "file", m.File)
	}
	return nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// writeFile writes a file that has its name once it is whole and on the disk. One
// that is left from a run that was stopped is begun anew.
func writeFile(path string, write func(io.Writer) error) (err error) {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary))
		}
	}()
	w := bufio.NewWriterSize(f, 1<<16)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes the names in a directory durable.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Age is how far sealing is behind.
type Age struct {
	// Unsealed is when the oldest rows that are not sealed were written; zero: all are.
	Unsealed time.Time
	// Sealed is when the last seal was made; zero: there is none.
	Sealed time.Time
	// Unstamped is when the oldest seal without a time stamp was made; zero: all have one.
	Unstamped time.Time
	// Rows is about how many rows are not sealed.
	Rows int64
}

// Age looks how far sealing is behind.
func (s *Sealer) Age(ctx context.Context) (Age, error) {
	seals, err := readSeals(s.Directory, s.Log.node)
	if err != nil {
		return Age{}, fmt.Errorf("looking at the seals: %w", err)
	}
	var age Age
	var last int64
	for _, m := range seals[s.Log.node] {
		age.Sealed, last = m.Sealed, m.Last
		stamped, err := exists(m.path(stampEnding))
		if err != nil {
			return Age{}, fmt.Errorf("looking at the seals: %w", err)
		}
		if !stamped && age.Unstamped.IsZero() {
			age.Unstamped = m.Sealed
		}
	}
	for row, err := range s.Log.Events(ctx, Filter{After: last, Node: s.Log.node, Limit: 1}) {
		if err != nil {
			return Age{}, err
		}
		age.Unsealed = row.Time
		break
	}
	head, err := s.Log.Head(ctx)
	age.Rows = head.Seq - last
	return age, err
}

// Due tells whether it is time to seal: a day is over, or so many rows came.
func (a Age) Due(now time.Time, maxRows int64) bool {
	today := func(t time.Time) bool { return bytes.Equal(day(t), day(now)) }
	return !a.Unsealed.IsZero() && (a.Rows >= maxRows || !today(a.Unsealed) && !today(a.Sealed))
}

// day is the day of the legal time.
func day(t time.Time) []byte { return pec.LegalTime(t).AppendFormat(nil, time.DateOnly) }

// Late is what is too late, for people; empty: nothing. stamps: there is an
// authority to stamp the seals.
func (a Age) Late(now time.Time, after time.Duration, stamps bool) string {
	since := a.Sealed
	if since.IsZero() {
		since = a.Unsealed
	}
	switch {
	case !a.Unsealed.IsZero() && now.Sub(since) > after:
		return "rows of the legal log are not sealed since " + since.UTC().Format(time.RFC3339)
	case stamps && !a.Unstamped.IsZero() && now.Sub(a.Unstamped) > after:
		return "the seal of " + a.Unstamped.UTC().Format(time.RFC3339) + " has no time stamp yet"
	}
	return ""
}
