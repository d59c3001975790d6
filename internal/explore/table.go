package explore

import (
	"crypto/sha256"
	"fmt"
	"maps"
)

// fingerprint tells states apart. That of a table does not depend on the order
// in which it was filled.
type fingerprint [sha256.Size]byte

func fingerprintOf(parts ...any) fingerprint {
	return sha256.Sum256(fmt.Appendf(nil, "%+v", parts))
}

func (f *fingerprint) toggle(other fingerprint) {
	for n := range f {
		f[n] ^= other[n]
	}
}

// table is a map that is copied when one of its copies changes. Its zero value
// is empty.
type table[V any] struct {
	rows map[string]V
	sum  fingerprint
	own  bool // nobody else has these rows
}

// shared is a copy that leaves the rows of t alone.
func (t table[V]) shared() table[V] {
	t.own = false
	return t
}

func (t *table[V]) put(key string, v V) {
	if !t.own {
		t.rows, t.own = maps.Clone(t.rows), true
		if t.rows == nil {
			t.rows = map[string]V{}
		}
	}
	if old, there := t.rows[key]; there {
		t.sum.toggle(fingerprintOf(key, old))
	}
	t.rows[key] = v
	t.sum.toggle(fingerprintOf(key, v))
}

func (t *table[V]) remove(key string) {
	old, there := t.rows[key]
	if !there {
		return
	}
	t.put(key, old) // the rows are ours now
	t.sum.toggle(fingerprintOf(key, old))
	delete(t.rows, key)
}

func (t *table[V]) has(key string) bool {
	_, there := t.rows[key]
	return there
}
