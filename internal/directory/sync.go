package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Syncer fetches the providers directory and keeps the last good copy on disk (RFC
// 6109 section 4.5), where a Source finds it. A directory that cannot be believed
// never takes the place of the copy.
type Syncer struct {
	Copy    string // the file
	From    Server
	Signers string // PEM: who may sign the directory; not for LDAP
	Own     Own
	Mirror  *Server // LDAP server to write it into, if not nil
	// Progress may be nil.
	Progress Progress
	// Force takes a directory that has lost nine records of ten, or was signed
	// before the copy was. Nothing else can be forced.
	Force bool
}

// Report says what a fetch has given.
type Report struct {
	Directory *Directory
	Faults    []*Fault  // what was left out of it
	Signer    string    // who signed it; empty: nobody
	Signed    time.Time // when, as he says
	Changes   []Change  // against the copy that was there
	Mirror    *Mirrored // nil: there is no mirror, or it was not reached
}

// What a fetch may end with, beside errors of servers and files.
var (
	// ErrRefused means that a directory came and is not to be believed.
	ErrRefused = errors.New("refused")
	// ErrMirror means that the copy is good, but could not be written into the LDAP
	// mirror.
	ErrMirror = errors.New("writing into the LDAP mirror")
)

// Sync fetches the directory, checks it, stores it, and writes the mirror. An error
// means that the old copy is still in use, except for ErrMirror, which comes with
// the report. Two of them at once do no harm.
func (s *Syncer) Sync(ctx context.Context, now time.Time) (*Report, error) {
	text, report, err := s.fetch(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("fetching the providers directory from %s: %w", s.From.URL, err)
	}
	if err := s.store(text, now); err != nil {
		return nil, fmt.Errorf("storing the providers directory: %w", err)
	}
	if s.Mirror == nil {
		return report, nil
	}
	if report.Mirror, err = s.Mirror.write(ctx, report.Directory.providers); err != nil {
		return report, fmt.Errorf("%w %s: %w", ErrMirror, s.Mirror.URL, err)
	}
	return report, nil
}

// Check does the same, and stores nothing.
func (s *Syncer) Check(ctx context.Context, now time.Time) (*Report, error) {
	_, report, err := s.fetch(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("fetching the providers directory from %s: %w", s.From.URL, err)
	}
	return report, nil
}

// CheckFile judges a file as if it had been fetched. Plain LDIF is taken too.
func (s *Syncer) CheckFile(path string, now time.Time) (*Report, error) {
	data, err := readFile(path, maxP7M)
	if err != nil {
		return nil, err
	}
	taken := &fetched{ldif: data}
	if _, err := unwrap(data); err == nil {
		signers, err := ReadSigners(s.Signers)
		if err != nil {
			return nil, err
		}
		if taken, err = signers.open(data, now); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", path, ErrRefused, err)
		}
	}
	report, err := s.judge(taken, taken.ldif)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return report, nil
}

// fetch gives the file to store, and what is in it.
func (s *Syncer) fetch(ctx context.Context, now time.Time) ([]byte, *Report, error) {
	taken, err := s.From.fetch(ctx, s.Signers, now, s.Progress)
	if err != nil {
		return nil, nil, err
	}
	text := append(s.head(taken), taken.ldif...)
	report, err := s.judge(taken, text)
	return text, report, err
}

// judge reads what was taken, as text, and compares it with the copy; a copy that
// cannot be read is none.
func (s *Syncer) judge(taken *fetched, text []byte) (*Report, error) {
	now, faults, err := ReadLDIF(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	old, signed := s.present()
	err = checkNew(old, now, s.Own)
	if s.Force {
		err = s.Own.check(old, now)
	} else if err == nil && !taken.signed.IsZero() && taken.signed.Before(signed) {
		err = fmt.Errorf("signed on %s, before the copy in use, which is of %s: it is an old one",
			taken.signed.Format(time.RFC3339), signed.Format(time.RFC3339))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return &Report{Directory: now, Faults: faults, Signer: taken.signer, Signed: taken.signed, Changes: Compare(old, now)}, nil
}

// present is the copy that is there, and when it was signed; nil if there is none.
func (s *Syncer) present() (*Directory, time.Time) {
	data, err := readFile(s.Copy, maxLDIF)
	if err != nil {
		return nil, time.Time{}
	}
	d, _, err := ReadLDIF(bytes.NewReader(data))
	if err != nil {
		return nil, time.Time{}
	}
	return d, signedTime(data)
}

// signedLine is the comment in which the copy has the time of its signature. It is
// ours, before the first line of what was fetched.
const signedLine = "# signed: "

func (s *Syncer) head(taken *fetched) []byte {
	return fmt.Appendf(nil, "%s%s\n# by: %q\n# from: %q\n# Written by pec-milter, and written over by it.\n",
		signedLine, taken.signed.UTC().Format(time.RFC3339), taken.signer, s.From.URL)
}

// signedTime is zero where nothing is said of it.
func signedTime(copy []byte) time.Time {
	line, _, _ := strings.Cut(string(copy[:min(len(copy), 80)]), "\n")
	value, found := strings.CutPrefix(line, signedLine)
	if !found {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}
	}
	return t
}

// store puts the copy in its place whole or not at all. Its time of modification
// is that of the fetch: the age of the copy goes by it.
func (s *Syncer) store(text []byte, now time.Time) (err error) {
	f, err := os.CreateTemp(filepath.Dir(s.Copy), "."+filepath.Base(s.Copy)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Chtimes(f.Name(), now, now); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), s.Copy); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(s.Copy))
}

// syncDirectory makes a renaming last.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
