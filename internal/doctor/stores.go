package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Server is a server that keeps records for several nodes.
type Server interface {
	// Settings gives settings by their names, as Redis's CONFIG GET and
	// PostgreSQL's current_setting do; those that the server does not know are left
	// out. ErrNotAllowed: our user may not ask.
	Settings(ctx context.Context, names ...string) (map[string]string, error)
}

// ErrNotAllowed means that a server answers, but not this question to us.
var ErrNotAllowed = errors.New("not allowed to ask")

// kept is a setting on which it depends that a server keeps what it is told.
type kept struct {
	name string
	good []string // the first is what to set
	why  string   // what happens otherwise
	ask  string   // how an administrator asks
	set  string   // how he sets it
}

// Redis tells whether Redis answers and keeps the state: all of that can be
// rebuilt, but each rebuilding is work, and what it throws out is done again.
func Redis(ctx context.Context, server Server) []Finding {
	redis := func(name string, good []string, why string) kept {
		return kept{name, good, why, "redis-cli CONFIG GET " + name,
			"redis-cli CONFIG SET " + name + " " + good[0] + " && redis-cli CONFIG REWRITE"}
	}
	return judgeServer(ctx, server, "redis", "systemctl restart redis-server, or correct [redis] in the configuration: contrib/redis", []kept{
		redis("appendonly", []string{"yes"}, "everything is forgotten when it restarts"),
		redis("appendfsync", []string{"everysec", "always"}, "more than the last second is forgotten when its machine fails"),
		redis("maxmemory-policy", []string{"noeviction"}, "it throws out marks and leases when its memory is full"),
	})
}

// PostgreSQL tells whether PostgreSQL answers and loses nothing that it has
// committed: it has the legal log.
func PostgreSQL(ctx context.Context, server Server) []Finding {
	postgres := func(name string, good ...string) kept {
		return kept{name, good, "what is committed could be lost", "psql -c 'SHOW " + name + "'",
			"psql -c 'ALTER SYSTEM SET " + name + "=" + good[0] + "' -c 'SELECT pg_reload_conf()'"}
	}
	const check = "postgresql"
	found := judgeServer(ctx, server, check, "systemctl restart postgresql, or correct [postgresql] in the configuration: contrib/postgresql", []kept{
		postgres("fsync", "on"),
		postgres("full_page_writes", "on"),
		postgres("synchronous_commit", "on", "remote_apply"),
	})
	return append(found, standbys(ctx, server, check+".synchronous_standby_names")...)
}

// standbys tells whether commits wait for a replica. We cannot see whether there
// are any: without them it is right that they do not. A server that does not
// answer was told of already.
func standbys(ctx context.Context, server Server, check string) []Finding {
	const name = "synchronous_standby_names"
	settings, err := server.Settings(ctx, name)
	switch value, known := settings[name]; {
	case err != nil || !known:
		return nil
	case value == "":
		return []Finding{notChecked(check, "it is empty, which is right without replicas; with one, a fail-over loses what was committed last: "+
			"docs/operations.md, Several nodes")}
	default:
		return []Finding{good(check, "%q", value)}
	}
}

// judgeServer gives one finding if the server does not answer; repair is for
// that.
func judgeServer(ctx context.Context, server Server, check, repair string, wanted []kept) []Finding {
	found := []Finding{good(check, "it answers our user")}
	for _, k := range wanted {
		settings, err := server.Settings(ctx, k.name)
		if err != nil && !errors.Is(err, ErrNotAllowed) {
			return []Finding{bad(check, repair, "%v: mail gets 451", err)}
		}
		value, known := settings[k.name]
		found = append(found, k.judge(check+"."+k.name, value, known, err))
	}
	return found
}

// judge judges a value that the server told, or did not. err is nil or
// ErrNotAllowed.
func (k kept) judge(check, value string, known bool, err error) Finding {
	switch {
	case err != nil:
		return notChecked(check, "our user may not ask: ask as an administrator, with %s", k.ask)
	case !known:
		return notChecked(check, "the server does not know it")
	case !slices.Contains(k.good, value):
		return bad(check, k.set, "it is %q, not %s: %s", value, strings.Join(k.good, " or "), k.why)
	}
	return good(check, "%q", value)
}
