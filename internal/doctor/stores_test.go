package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
)

// server has these settings, or an error.
type server struct {
	settings map[string]string
	err      error
}

func (s server) Settings(_ context.Context, names ...string) (map[string]string, error) {
	found := map[string]string{}
	for _, name := range names {
		if value, known := s.settings[name]; known {
			found[name] = value
		}
	}
	return found, s.err
}

// TestServersKeepWhatTheyAreTold: each setting alone is found when it is wrong.
func TestServersKeepWhatTheyAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		examine   func(context.Context, Server) []Finding
		good, bad map[string]string
	}{
		"redis": {Redis,
			map[string]string{"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"},
			map[string]string{"appendonly": "no", "appendfsync": "no", "maxmemory-policy": "allkeys-lru"}},
		"postgresql": {PostgreSQL,
			map[string]string{"fsync": "on", "full_page_writes": "on", "synchronous_commit": "remote_apply"},
			map[string]string{"fsync": "off", "full_page_writes": "off", "synchronous_commit": "local"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, f := range c.examine(t.Context(), server{settings: c.good}) {
				want(t, f, Good, "")
			}
			for broken, value := range c.bad {
				settings := maps.Clone(c.good)
				settings[broken] = value
				for _, f := range c.examine(t.Context(), server{settings: settings}) {
					if f.Check == name+"."+broken {
						want(t, f, Bad, value)
					} else {
						want(t, f, Good, "")
					}
				}
			}
		})
	}
}

func TestServersThatDoNotTell(t *testing.T) {
	found := Redis(t.Context(), server{err: fmt.Errorf("%w: NOPERM", ErrNotAllowed)})
	if len(found) != 4 {
		t.Fatalf("got %v, want four findings", found)
	}
	want(t, found[0], Good, "answers")
	for _, f := range found[1:] {
		want(t, f, NotChecked, "redis-cli CONFIG GET")
	}
	want(t, PostgreSQL(t.Context(), server{})[1], NotChecked, "does not know")
	down := PostgreSQL(t.Context(), server{err: errors.New("connection refused")})
	if len(down) != 1 {
		t.Fatalf("got %v, want one finding", down)
	}
	want(t, down[0], Bad, "connection refused")
}

// TestReplicas is about FP-47.
func TestReplicas(t *testing.T) {
	for value, c := range map[string]struct {
		result Result
		what   string
	}{
		"":            {NotChecked, "a fail-over loses what was committed last"},
		"ANY 1 (db2)": {Good, "ANY 1 (db2)"},
	} {
		found := PostgreSQL(t.Context(), server{settings: map[string]string{"synchronous_standby_names": value}})
		want(t, found[len(found)-1], c.result, c.what)
	}
}
