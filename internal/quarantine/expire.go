package quarantine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// leftover is the age at which a file that a crash left half-written goes.
const leftover = 24 * time.Hour

// Expire deletes the messages whose 30 months are over, day by day, and gives
// their number; nothing goes before. It also deletes what crashes have left
// half-written, when it is a day old. An error does not keep it from going on.
func (q *Quarantine) Expire(ctx context.Context, now time.Time) (removed int, err error) {
	days, err := q.days()
	faults := []error{err, q.removeLeftovers(now)}
	for _, day := range days {
		if !over(day, dayOf(now)) {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			faults = append(faults, err)
			break
		}
		n, err := q.removeDay(day)
		removed += n
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return removed, fmt.Errorf("quarantine: removing what is over: %w", err)
	}
	return removed, nil
}

// removeDay deletes a day, and the number of its messages: first all metadata,
// so that no message is left without its content.
func (q *Quarantine) removeDay(day time.Time) (removed int, err error) {
	q.changing.Lock()
	defer q.changing.Unlock()
	path := q.path(day, "")
	entries, err := os.ReadDir(path)
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), metadataSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(path, entry.Name())); err != nil {
			return removed, err
		}
		removed++
	}
	if err := errors.Join(syncDirectory(path), os.RemoveAll(path)); err != nil {
		return removed, err
	}
	// The month and the year, if nothing else is in them.
	for _, above := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		_ = os.Remove(above)
	}
	return removed, nil
}

// removeLeftovers deletes what was being written a day ago.
func (q *Quarantine) removeLeftovers(now time.Time) error {
	entries, err := os.ReadDir(q.directory)
	if err != nil {
		return err
	}
	var faults []error
	for _, entry := range entries {
		if ours, err := filepath.Match(temporary, entry.Name()); err != nil || !ours {
			continue
		}
		info, err := entry.Info()
		if err == nil && now.Sub(info.ModTime()) > leftover {
			err = os.Remove(filepath.Join(q.directory, entry.Name()))
		}
		faults = append(faults, unlessGone(err)) // it may have got its name meanwhile
	}
	return errors.Join(faults...)
}
