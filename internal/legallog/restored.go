package legallog

import (
	"fmt"
	"sync"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// A database may be put back to an older state: from a backup, or by a replica that
// lagged. What the node wrote in between is known outside of it: to its seals, its
// anchors, and the daemon that runs. The first row that the node writes then is of
// the kind restored. It says where the database ended and what was known, and the
// chain goes on from the latter. Its number is far above all that were given, so
// that the rows that were lost can come back from the seals: see Import.

// epoch is what numbers are rounded up to after a database was restored.
const epoch = 1_000_000_000

// loss is what a row of the kind restored says.
type loss struct {
	ended int64 // the last row of all that the database still had
	after Head  // the end of the node's chain as it was known: the row follows that
}

// lossText is the detail of such a row.
const lossText = "the database ended at row %d; goes on after row %d, hash %s"

func (l *loss) row(node string, at time.Time) Row {
	return Row{Node: node, Event: point.RestoredEvent(at, fmt.Sprintf(lossText, l.ended, l.after.Seq, l.after.Hash))}
}

// lossOf is what a row says that is of that kind.
func lossOf(row *Row) (loss, bool) {
	if row.Kind != point.EventRestored {
		return loss{}, false
	}
	l := loss{after: Head{Node: row.Node}}
	var hash string
	_, err := fmt.Sscanf(row.Detail, lossText, &l.ended, &l.after.Seq, &hash)
	if err == nil {
		err = l.after.Hash.UnmarshalText([]byte(hash))
	}
	return l, err == nil && row.Detail == fmt.Sprintf(lossText, l.ended, l.after.Seq, l.after.Hash)
}

// memory is what is known of the end of the log outside of the database.
type memory struct {
	mutex sync.Mutex
	end   end
}

// see takes note of where the log has ended at some time.
func (m *memory) see(e end) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if e.Seq > m.end.Seq {
		m.end.Head = e.Head
	}
	m.end.last = max(m.end.last, e.last)
}

// known is the end of the node's chain as far as it is known.
func (m *memory) known() Head {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.end.Head
}

// goOn is where the log goes on, whose database ends here: at its end, or if more is
// known than it has, above all of that. Then it has lost rows.
func (m *memory) goOn(found end) (end, *loss) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	known := m.end
	if known.Seq <= found.Seq && known.last <= found.last {
		return found, nil
	}
	lost := &loss{ended: found.last, after: found.Head}
	if known.Seq > found.Seq {
		lost.after = known.Head
	}
	if known.last > found.last {
		found.last = (known.last/epoch + 1) * epoch
	}
	found.Head = lost.after
	return found, lost
}

// Remember tells the log of an end of the node's chain that is known outside of the
// database: see Known. Call it before anything else. If the database turns out to be
// older, the next row that is written is preceded by one of the kind restored, which
// alarm is then told; nil: nobody is.
func (l *Log) Remember(head Head, alarm func(Row)) {
	l.writer.memory.see(end{head, head.Seq})
	l.writer.alarm = alarm
}

// Known is the end of the node's chain as far as it is known outside of the database
// or was ever read from it; Seq 0: nothing is.
func (l *Log) Known() Head { return l.writer.memory.known() }
