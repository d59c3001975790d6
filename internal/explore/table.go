package explore

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"iter"
	"maps"
)

// fingerprint tells states apart.
type fingerprint [sha256.Size]byte

func fingerprintOf(parts ...any) fingerprint {
	return sha256.Sum256(fmt.Appendf(nil, "%+v", parts))
}

// table is a map that is copied when one of its copies changes. Its zero value
// is empty.
type table[V any] struct {
	rows map[string]*row[V]
	own  bool // nobody else has this map
}

// row never changes, so that tables share it. Its fingerprint is made when it is
// wanted: most rows are gone, or in all worlds, before.
type row[V any] struct {
	value  V
	sum    fingerprint
	summed bool
}

// shared is a copy that leaves the rows of t alone.
func (t table[V]) shared() table[V] {
	t.own = false
	return t
}

func (t *table[V]) put(key string, v V) {
	t.owned()
	t.rows[key] = &row[V]{value: v}
}

func (t *table[V]) remove(key string) {
	if t.has(key) {
		t.owned()
		delete(t.rows, key)
	}
}

func (t *table[V]) owned() {
	if t.own {
		return
	}
	t.rows, t.own = maps.Clone(t.rows), true
	if t.rows == nil {
		t.rows = map[string]*row[V]{}
	}
}

// change changes all rows for which it gives true.
func (t *table[V]) change(how func(*V) bool) {
	for key, v := range t.all() {
		if how(&v) {
			t.put(key, v)
		}
	}
}

func (t *table[V]) has(key string) bool {
	_, there := t.rows[key]
	return there
}

func (t *table[V]) get(key string) (v V, there bool) {
	if r := t.rows[key]; r != nil {
		return r.value, true
	}
	return v, false
}

func (t *table[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for key, r := range t.rows {
			if !yield(key, r.value) {
				return
			}
		}
	}
}

// fingerprint does not depend on the order in which the table was filled.
func (t *table[V]) fingerprint() (sum fingerprint) {
	for key, r := range t.rows {
		if !r.summed {
			r.sum, r.summed = fingerprintOf(key, r.value), true
		}
		subtle.XORBytes(sum[:], sum[:], r.sum[:])
	}
	return sum
}
