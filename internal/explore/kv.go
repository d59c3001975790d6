package explore

import (
	"context"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// keyvalue is the state that may be forgotten: what Redis keeps.
type keyvalue struct {
	leases table[lease]
}

// lease is held by the process of one node, for some work.
type lease struct {
	Node    int
	Expires time.Time
	By      action
}

func (k keyvalue) shared() keyvalue { return keyvalue{k.leases.shared()} }

func (k *keyvalue) empty() bool { return len(k.leases.rows) == 0 }

// restart frees the leases of a node.
func (k *keyvalue) restart(node int) {
	for key, l := range k.leases.all() {
		if l.Node == node {
			k.leases.remove(key)
		}
	}
}

// states is point.State on the key-value store of a run's world.
type states struct{ *host }

func (s states) Lease(_ context.Context, key point.Key, ttl time.Duration) (func(), bool, error) {
	name := string(key[:])
	if s.repeating { // granted already, to the same process
		return func() { s.release(name) }, true, nil
	}
	if held, there := s.w.kv.leases.get(name); there && held.Expires.After(s.w.now) {
		return nil, false, nil
	}
	s.w.kv.leases.put(name, lease{s.node, s.w.now.Add(ttl), s.action.work()})
	return func() { s.release(name) }, true, nil
}

// release frees what this process still holds.
func (s states) release(name string) {
	if held, there := s.w.kv.leases.get(name); there && held.Node == s.node {
		s.w.kv.leases.remove(name)
	}
}
