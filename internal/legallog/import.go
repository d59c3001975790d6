package legallog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Import puts rows of sealed files back that a database has lost since it was restored
// to an older state. The files must have been verified: see Verification.
type Import struct {
	Log   *Log
	Seals []string // the directories of the sealed files
	Now   time.Time
	// Progress is told how many sealed rows were looked at; nil: nobody is.
	Progress func(rows int64)
}

// ErrConflict means that the database has another row of the number of a sealed one.
var ErrConflict = errors.New("the database has another row of that number")

// Missing counts the sealed rows that the database lacks and that are not over 30
// months old. ErrConflict names the first row of another content.
func (x *Import) Missing(ctx context.Context) (int64, error) {
	var count int64
	err := x.each(func(batch []sealedRow) error {
		ctx, cancel := x.Log.bound(ctx)
		defer cancel()
		missing, err := lacking(ctx, x.Log.db, batch)
		count += int64(len(missing))
		return err
	})
	if err != nil {
		return count, fmt.Errorf("comparing the legal log with its sealed files: %w", err)
	}
	return count, nil
}

// PutBack puts them back, as they were, and gives their number. Those that were put
// back before an error stay.
func (x *Import) PutBack(ctx context.Context) (int64, error) {
	var count int64
	months := map[time.Time]bool{} // that have their partitions
	err := x.each(func(batch []sealedRow) error {
		var missing []Row
		err := x.Log.writer.do(ctx, func(ctx context.Context, tx *transaction) (err error) {
			if missing, err = lacking(ctx, tx, batch); err != nil {
				return err
			}
			for rows := range slices.Chunk(missing, tx.dialect.rows) {
				if err := x.Log.partitionsOf(ctx, tx, rows, months); err != nil {
					return err
				}
				if err := tx.insert(ctx, rows); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			count += int64(len(missing))
		}
		return err
	})
	if err != nil {
		return count, fmt.Errorf("putting sealed rows of the legal log back: %w", err)
	}
	return count, nil
}

// importBatch is how many rows one statement looks for.
const importBatch = 200

// each gives all sealed rows that are not too old, some at a time.
func (x *Import) each(work func([]sealedRow) error) error {
	var looked int64
	for _, directory := range x.Seals {
		seals, err := readSeals(directory)
		if err != nil {
			return err
		}
		for _, node := range slices.Sorted(maps.Keys(seals)) {
			if err := x.eachOf(seals[node], &looked, work); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *Import) eachOf(seals []*seal, looked *int64, work func([]sealedRow) error) error {
	rows := &sealedRows{seals: seals}
	defer rows.close()
	for rows.peek() != nil {
		var batch []sealedRow
		for row := rows.peek(); row != nil && len(batch) < importBatch; row = rows.peek() {
			if row.bad != nil {
				return fmt.Errorf("%s: row %d: %w", row.file, row.Seq, row.bad)
			}
			if *looked++; !over(row.Time, x.Now) {
				batch = append(batch, *row)
			}
			rows.take()
		}
		if err := work(batch); err != nil {
			return err
		}
		if x.Progress != nil {
			x.Progress(*looked)
		}
	}
	return nil
}

// lacking are the rows that the database does not have.
func lacking(ctx context.Context, db rowQuerier, sealed []sealedRow) ([]Row, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	var numbers []any
	for _, s := range sealed {
		numbers = append(numbers, s.Seq)
	}
	rows, err := queryRows(ctx, db, "seq IN "+placeholders(0, len(numbers), false), numbers...)
	if err != nil {
		return nil, err
	}
	there := map[int64]*Row{}
	for n := range rows {
		there[rows[n].Seq] = &rows[n]
	}
	var missing []Row
	for _, s := range sealed {
		row := there[s.Seq]
		if row == nil {
			missing = append(missing, s.Row)
			continue
		}
		line, err := row.Line()
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(line, s.line) {
			return nil, fmt.Errorf("row %d of node %s, %s: %w", s.Seq, s.Node, s.file, ErrConflict)
		}
	}
	return missing, nil
}

// partitionsOf makes the partitions of the months of rows, where they are missing.
func (l *Log) partitionsOf(ctx context.Context, tx *transaction, rows []Row, made map[time.Time]bool) error {
	if !l.partitions {
		return nil
	}
	for _, row := range rows {
		month := time.Date(row.Time.Year(), row.Time.Month(), 1, 0, 0, 0, 0, time.UTC)
		if made[month] {
			continue
		}
		if _, err := tx.makePartition(ctx, month); err != nil {
			return err
		}
		made[month] = true
	}
	return nil
}
