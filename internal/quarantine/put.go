package quarantine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

var _ point.Quarantine = (*Quarantine)(nil)

// temporary names what is being written.
const temporary = ".put-*"

// Put keeps an infected message, as keep does; it fills point.Quarantine.
func (q *Quarantine) Put(ctx context.Context, m point.Infected, message io.WriterTo) error {
	return q.keep(ctx, Item{
		ID: m.ID, Time: m.Time, Door: string(m.Door), QueueID: m.QueueID, PECID: m.MessageID, MessageID: m.Reference,
		Sender: m.Sender, Recipients: m.Recipients, Virus: m.Virus, Reason: "virus",
	}, message)
}

// keep keeps a message. When it returns nil, message and metadata are on the
// disk; after an error neither is there, or both. A message that is there already
// under its id stays as it is, with the metadata of the first time: a retry may
// bring other trace fields.
func (q *Quarantine) keep(ctx context.Context, item Item, message io.WriterTo) error {
	if err := checkID(item.ID); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	if item.Time.IsZero() {
		return fmt.Errorf("quarantine: message %s has no time", item.ID)
	}
	if err := q.put(ctx, item, message); err != nil {
		return fmt.Errorf("quarantine: keeping message %s: %w", item.ID, err)
	}
	return nil
}

func (q *Quarantine) put(ctx context.Context, item Item, message io.WriterTo) error {
	// Step 1: both files, on the disk, under names that nobody reads.
	digest := sha256.New()
	content, size, err := q.writeTemporary(ctx, hashed{message, digest})
	if err != nil {
		return err
	}
	defer os.Remove(content) // gone by then if all went well
	item.SHA256, item.Size = hex.EncodeToString(digest.Sum(nil)), size
	text, err := json.MarshalIndent(item, "", "\t")
	if err != nil {
		return fmt.Errorf("writing the metadata: %w", err)
	}
	metadata, _, err := q.writeTemporary(ctx, bytes.NewReader(append(text, '\n')))
	if err != nil {
		return err
	}
	defer os.Remove(metadata)

	// Step 2: there already?
	q.changing.Lock()
	defer q.changing.Unlock()
	oldDay, old, err := q.find(item.ID)
	if err != nil {
		return err
	}
	if old != nil {
		// An attempt before may have failed in its last act, the sync.
		return syncDirectory(q.path(oldDay, ""))
	}

	// Step 3: their names, the message before the metadata.
	day := dayOf(item.Time)
	if err := q.makeDay(day); err != nil {
		return err
	}
	if err := rename(content, q.path(day, item.ID+messageSuffix)); err != nil {
		return err
	}
	return rename(metadata, q.path(day, item.ID+metadataSuffix))
}

// hashed is a message that is hashed while it is written.
type hashed struct {
	io.WriterTo
	digest io.Writer
}

func (h hashed) WriteTo(w io.Writer) (int64, error) {
	return h.WriterTo.WriteTo(io.MultiWriter(w, h.digest))
}

// writeTemporary writes a file to the disk, or leaves none.
func (q *Quarantine) writeTemporary(ctx context.Context, content io.WriterTo) (path string, size int64, err error) {
	file, err := os.CreateTemp(q.directory, temporary) // mode 0600
	if err != nil {
		return "", 0, err
	}
	_, err = content.WriteTo(ctxWriter{ctx, file})
	if err == nil {
		err = file.Sync()
	}
	info, statErr := file.Stat()
	if err = errors.Join(err, statErr, file.Close()); err != nil {
		return "", 0, errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), info.Size(), nil
}

// makeDay makes the directory of a day, and those above, to stay.
func (q *Quarantine) makeDay(day time.Time) error {
	path := q.path(day, "")
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	for path != q.directory {
		path = filepath.Dir(path)
		if err := syncDirectory(path); err != nil {
			return err
		}
	}
	return nil
}

// rename gives a file its name, which stays.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(to))
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
