// Package quarantine keeps the infected messages, with what is known of them,
// for the 30 months that the law asks (RFC 6109 section 2.2.4), in a directory that
// nobody but the daemon can read:
//
//	2026/03/14/<id>.eml    the message as it was scanned, byte for byte
//	2026/03/14/<id>.json   an Item
//	.put-*                 being written, or left by a crash
//
// The day is that of Item.Time, in the legal time of Italy. A message is there
// when its .json is: that comes last and goes first. Every error is temporary.
package quarantine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

const (
	messageSuffix  = ".eml"
	metadataSuffix = ".json"
	dayLayout      = "2006/01/02"
)

// Quarantine is the directory. It is safe for concurrent use within one
// process; no other may have the same directory.
type Quarantine struct {
	directory string
	changing  sync.Mutex // held while names appear or disappear
}

// New takes a directory, which it makes if it is not there. One that is open to
// other users is an error.
func New(directory string) (*Quarantine, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	info, err := os.Stat(directory)
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("quarantine %s is open to other users (mode %04o): chmod 700 it", directory, mode)
	}
	return &Quarantine{directory: filepath.Clean(directory)}, nil
}

// Open finds a message by its id; the error is fs.ErrNotExist where there is
// none. The caller closes what it reads. That the bytes are still those that Put
// was given is for the reader to check (Item.SHA256).
func (q *Quarantine) Open(id string) (Item, io.ReadCloser, error) {
	if err := checkID(id); err != nil {
		return Item{}, nil, fmt.Errorf("quarantine: %w", err)
	}
	day, item, err := q.find(id)
	if err == nil && item == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Item{}, nil, fmt.Errorf("quarantine: message %s: %w", id, err)
	}
	file, err := os.Open(q.path(day, id+messageSuffix))
	if err != nil {
		return Item{}, nil, fmt.Errorf("quarantine: %w", err)
	}
	return *item, file, nil
}

// find looks for an id on all days; item is nil where it is on none.
func (q *Quarantine) find(id string) (day time.Time, item *Item, err error) {
	days, err := q.days()
	if err != nil {
		return time.Time{}, nil, err
	}
	for _, day := range days {
		item, err := q.read(day, id)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return day, item, err
		}
	}
	return time.Time{}, nil, nil
}

// read gives the metadata of a message; the error is fs.ErrNotExist where there
// is none.
func (q *Quarantine) read(day time.Time, id string) (*Item, error) {
	path := q.path(day, id+metadataSuffix)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	item := new(Item)
	if err := json.Unmarshal(text, item); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if item.ID != id {
		return nil, fmt.Errorf("%s is of another message, %.150q", path, item.ID)
	}
	return item, nil
}

// days are the days that have a directory, the earliest first.
func (q *Quarantine) days() (days []time.Time, err error) {
	err = fs.WalkDir(os.DirFS(q.directory), ".", func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != "." {
			return nil // its time was over meanwhile
		}
		if err != nil || !entry.IsDir() {
			return err
		}
		day, notADay := time.Parse(dayLayout, path)
		if notADay != nil {
			return nil
		}
		days = append(days, day)
		return fs.SkipDir
	})
	return days, err
}

// dayOf is the day of the legal time of Italy.
func dayOf(t time.Time) time.Time {
	year, month, day := pec.LegalTime(t).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func (q *Quarantine) path(day time.Time, name string) string {
	return filepath.Join(q.directory, filepath.FromSlash(day.Format(dayLayout)), name)
}

// ctxWriter writes to a file until the context ends.
type ctxWriter struct {
	ctx  context.Context
	file *os.File
}

func (w ctxWriter) Write(p []byte) (int, error) {
	if err := context.Cause(w.ctx); err != nil {
		return 0, err
	}
	return w.file.Write(p)
}
