package quarantine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"time"
)

// List gives what came from since to before until, in the order of time. A
// message whose metadata cannot be read is an error in the place of its day,
// beside a zero Item, and the list goes on; after any other error it ends.
func (q *Quarantine) List(ctx context.Context, since, until time.Time) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		days, err := q.days()
		if err != nil {
			yield(Item{}, fmt.Errorf("quarantine: %w", err))
			return
		}
		for _, day := range days {
			if day.Before(dayOf(since)) || day.After(dayOf(until)) {
				continue
			}
			if err := context.Cause(ctx); err != nil {
				yield(Item{}, err)
				return
			}
			if !q.listDay(day, since, until, yield) {
				return
			}
		}
	}
}

// listDay gives one day; false: no more is wanted.
func (q *Quarantine) listDay(day, since, until time.Time, yield func(Item, error) bool) bool {
	items, err := q.readDay(day)
	if err != nil && !yield(Item{}, fmt.Errorf("quarantine: %w", err)) {
		return false
	}
	for _, item := range items {
		if item.Time.Before(since) || !item.Time.Before(until) {
			continue
		}
		if !yield(item, nil) {
			return false
		}
	}
	return true
}

// readDay gives all that can be read of a day, by time, and what went wrong.
func (q *Quarantine) readDay(day time.Time) (items []Item, err error) {
	entries, err := os.ReadDir(q.path(day, ""))
	if err != nil {
		return nil, unlessGone(err)
	}
	var faults []error
	for _, entry := range entries {
		id, ours := strings.CutSuffix(entry.Name(), metadataSuffix)
		if !ours {
			continue
		}
		item, err := q.read(day, id)
		if err != nil {
			faults = append(faults, unlessGone(err))
			continue
		}
		items = append(items, *item)
	}
	slices.SortStableFunc(items, func(a, b Item) int { return a.Time.Compare(b.Time) })
	return items, errors.Join(faults...)
}

// unlessGone passes over what Expire deletes at the same time.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
