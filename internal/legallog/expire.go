package legallog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Expiry is what may go: rows whose 30 months are over and that are sealed. The
// last row of each node stays, for its chain goes on from there.
type Expiry struct {
	DB *sql.DB // as the owner of the tables
	// Seals are the directories of the sealed files, of all nodes.
	Seals []string
	Now   time.Time
}

// SQLite deletes the rows, and gives their number. The trigger that refuses that is
// lifted inside the transaction.
func (x *Expiry) SQLite(ctx context.Context) (int64, error) {
	const trigger = "events_no_delete"
	return x.transact(ctx, func(tx *sql.Tx) (int64, error) {
		var statement string
		err := tx.QueryRowContext(ctx, "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = $1", trigger).Scan(&statement)
		if err != nil {
			return 0, fmt.Errorf("looking for trigger %s: %w", trigger, err)
		}
		if _, err := tx.ExecContext(ctx, "DROP TRIGGER "+trigger); err != nil {
			return 0, err
		}
		deleted, err := x.deleteFrom(ctx, tx, "events", "search")
		if err == nil {
			_, err = tx.ExecContext(ctx, statement)
		}
		return deleted, err
	})
}

// PostgreSQL drops the partitions of whole months, and deletes rows of the
// partition for all others. It gives the number of rows.
func (x *Expiry) PostgreSQL(ctx context.Context) (int64, error) {
	return x.transact(ctx, func(tx *sql.Tx) (int64, error) {
		if _, err := tx.ExecContext(ctx, "LOCK TABLE turn IN EXCLUSIVE MODE; ALTER TABLE events_other DISABLE TRIGGER events_append_only"); err != nil {
			return 0, err
		}
		gone, err := x.deleteFrom(ctx, tx, "events_other", "search_other")
		if err == nil {
			_, err = tx.ExecContext(ctx, "ALTER TABLE events_other ENABLE TRIGGER events_append_only")
		}
		if err != nil {
			return 0, err
		}
		partitions, err := x.partitions(ctx, tx)
		for _, name := range partitions {
			if err == nil {
				var dropped int64
				dropped, err = x.drop(ctx, tx, name)
				gone += dropped
			}
		}
		return gone, err
	})
}

func (x *Expiry) transact(ctx context.Context, work func(*sql.Tx) (int64, error)) (int64, error) {
	tx, err := x.DB.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("removing rows of the legal log: %w", err)
	}
	defer tx.Rollback() // after Commit it does nothing
	gone, err := work(tx)
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return 0, fmt.Errorf("removing rows of the legal log: %w", err)
	}
	return gone, nil
}

// deleteFrom deletes the rows of a table that may go, and what finds them.
func (x *Expiry) deleteFrom(ctx context.Context, tx *sql.Tx, table, index string) (int64, error) {
	sealed, err := x.sealed()
	if err != nil {
		return 0, err
	}
	var gone int64
	for node, last := range sealed {
		result, err := tx.ExecContext(ctx, "DELETE FROM "+table+` WHERE node = $1 AND seq <= $2 AND time < $3
			AND seq < (SELECT max(seq) FROM events WHERE node = $1)`, node, last, cutoff(x.Now).UnixMicro())
		if err != nil {
			return 0, err
		}
		deleted, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		gone += deleted
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM "+index+" WHERE time < $1 AND NOT EXISTS (SELECT 1 FROM "+table+
		" e WHERE e.seq = "+index+".seq AND e.time = "+index+".time)", cutoff(x.Now).UnixMicro())
	return gone, err
}

// sealed is the last row of each node that is in a signed seal.
func (x *Expiry) sealed() (map[string]int64, error) {
	last := map[string]int64{}
	for _, directory := range x.Seals {
		seals, err := readSeals(directory)
		if err != nil {
			return nil, err
		}
		for node, of := range seals {
			for _, m := range of {
				_, err := os.Stat(m.path(signatureEnding))
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					return nil, err
				}
				if err == nil {
					last[node] = max(last[node], m.Last)
				}
			}
		}
	}
	return last, nil
}

// partitions are the names of those whose month is over.
func (x *Expiry) partitions(ctx context.Context, tx *sql.Tx) ([]string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'events'::regclass AND c.relname ~ '^events_[0-9]{6}$' ORDER BY c.relname`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		month, err := time.Parse("events_200601", name)
		if err != nil {
			return nil, err
		}
		if !month.AddDate(0, 1, 0).After(cutoff(x.Now)) {
			names = append(names, name)
		}
	}
	return names, rows.Err()
}

// drop drops a partition if all its rows are sealed and none is the last of its
// node, and gives their number.
func (x *Expiry) drop(ctx context.Context, tx *sql.Tx, partition string) (int64, error) {
	sealed, err := x.sealed()
	if err != nil {
		return 0, err
	}
	rows, err := tx.QueryContext(ctx, "SELECT node, count(*), max(seq), (SELECT max(seq) FROM events e WHERE e.node = p.node) FROM "+
		partition+" p GROUP BY node")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var all int64
	for rows.Next() {
		var node string
		var count, last, head int64
		if err := rows.Scan(&node, &count, &last, &head); err != nil {
			return 0, err
		}
		if last > sealed[node] || last == head {
			return 0, nil
		}
		all += count
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, "DROP TABLE "+partition+", search"+strings.TrimPrefix(partition, "events"))
	return all, err
}
