package state

import (
	"slices"
	"sync"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// leftLeases are leases that this process has left behind because Redis did not
// answer: nobody works under them, and without this a message would wait for
// their time to run out, long after Redis is back. The zero value is ready.
type leftLeases struct {
	mu      sync.Mutex
	holders map[point.Key][]any
}

// of are the holders that are left of a key.
func (l *leftLeases) of(key point.Key) []any {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.holders[key])
}

// add adds a holder, for as long as Redis may have it.
func (l *leftLeases) add(key point.Key, holder string, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holders == nil {
		l.holders = map[point.Key][]any{}
	}
	l.holders[key] = append(l.holders[key], holder)
	time.AfterFunc(ttl+2*answerTime, func() { l.remove(key, holder) })
}

func (l *leftLeases) remove(key point.Key, holder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holders[key] = slices.DeleteFunc(l.holders[key], func(h any) bool { return h == holder })
	if len(l.holders[key]) == 0 {
		delete(l.holders, key)
	}
}
