// Package account knows the mailboxes of a provider's certified domains: which
// users may send as an address, and what its holder wants done with ordinary
// mail. It reads a text file and reads it again when it changes.
//
// It knows no passwords (the MTA authenticates) and not whether a mailbox
// exists in the mailbox store: that is the store's answer at delivery.
package account

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// File is the accounts file; it is safe for concurrent use. Every question
// looks whether the file has changed (one stat). A change that cannot be read,
// or has a fault, is logged once, and what was read before stays in force.
//
// Write a new version beside the file and rename it: who writes in place may
// have half of it read.
type File struct {
	path     string
	reserved map[string]bool
	log      *slog.Logger

	mu        sync.Mutex
	seen      fs.FileInfo // of the version read last, good or bad; nil: the file is away
	fault     string      // of the last try; empty: none
	mailboxes map[string]mailbox
}

// mailbox is one line of the file.
type mailbox struct {
	users    []string
	disabled bool
	ordinary point.OrdinaryPolicy
}

// Open reads the accounts file. Each line is
//
//	address  users  status  ordinary
//
// separated by white space: users are the authenticated names, separated by
// commas, that may send as the address, or "-"; status is "active" or
// "disabled"; ordinary, for ordinary mail, is "refuse", "accept" (in an anomaly
// envelope) or "forward:" and the address it is handed on to. Empty lines
// and what follows a # do not count. Users are compared exactly, addresses with
// the domain in any case and the local part exactly. The errors name file and
// line, all at once.
//
// The reserved addresses (the service address, the service mailbox) are nobody's:
// they must not be in the file, in any case.
func Open(path string, reserved []string, log *slog.Logger) (*File, error) {
	f := &File{path: path, reserved: make(map[string]bool), log: log}
	for _, address := range reserved {
		f.reserved[strings.ToLower(address)] = true
	}
	if err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// Move takes another file in its place, or reads it again if it is the same. With an
// error what was read before stays in force, and so does the old file.
func (f *File) Move(path string) error {
	next := &File{path: path, reserved: f.reserved, log: f.log}
	if err := next.read(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.path, f.seen, f.fault, f.mailboxes = next.path, next.seen, "", next.mailboxes
	return nil
}

// Owns tells whether an authenticated user may send as an address. Nobody may
// as a disabled mailbox.
func (f *File) Owns(user, address string) bool {
	found, _ := f.mailbox(address)
	if user == "" || found.disabled {
		return false
	}
	for _, owner := range found.users {
		if owner == user {
			return true
		}
	}
	return false
}

// Policy is what a mailbox wants done with ordinary mail. One that is disabled
// or not in the file refuses; but a postmaster who is not in the file accepts:
// every domain must take mail for him (RFC 5321 section 4.5.1).
func (f *File) Policy(address string) point.OrdinaryPolicy {
	found, named := f.mailbox(address)
	switch {
	case !named:
		return point.OrdinaryPolicy{Accept: strings.HasPrefix(key(address), postmaster)}
	case found.disabled:
		return point.OrdinaryPolicy{}
	}
	return found.ordinary
}

// mailbox finds an address in the file as it is now.
func (f *File) mailbox(address string) (found mailbox, named bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	found, named = f.mailboxes[key(address)]
	return found, named
}

// postmaster is the one local part that has no case: RFC 5321 section 4.5.1.
const postmaster = "postmaster@"

// key is the form in which addresses are compared: domain in lower case.
func key(address string) string {
	local := address[:strings.LastIndexByte(address, '@')+1]
	if strings.EqualFold(local, postmaster) {
		local = postmaster
	}
	return local + pec.Domain(address)
}

// refresh reads the file again if it has changed.
func (f *File) refresh() {
	now, err := os.Stat(f.path)
	if err == nil && f.seen != nil && sameVersion(now, f.seen) {
		return
	}
	if err == nil {
		err = f.read()
	} else {
		f.seen = nil // should it come back, it is read whatever it looks like
	}
	f.report(err)
}

// report logs how reading again ended; a fault that lasts, once.
func (f *File) report(err error) {
	if err == nil {
		f.fault = ""
		f.log.Info("accounts file read again", "file", f.path, "mailboxes", len(f.mailboxes))
		return
	}
	if err.Error() != f.fault {
		f.fault = err.Error()
		f.log.Error("accounts file cannot be used as it is now; what was read before stays in force", "error", err)
	}
}

func sameVersion(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// read takes the file's content if it is good.
func (f *File) read() (err error) {
	file, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("reading accounts: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// Before the content: what is written meanwhile is seen at the next look.
	if f.seen, err = file.Stat(); err != nil {
		return fmt.Errorf("reading accounts: %w", err)
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("reading accounts: %w", err)
	}
	mailboxes, err := parse(f.path, string(content), f.reserved)
	if err != nil {
		return err
	}
	f.mailboxes = mailboxes
	return nil
}
