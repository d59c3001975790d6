package explore

import (
	"context"
	stdsql "database/sql"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
)

// TestModelIsTheDatabase walks at random through the scenarios, with faults, and
// asks the real legal log all that the model is asked: the answers are the same.
func TestModelIsTheDatabase(t *testing.T) {
	const walks, steps = 6, 40
	asked := map[string]int{}
	for _, s := range newScenarios(t) {
		for seed := range uint64(walks) {
			log := openLog(t)
			seedLog(t, log, &s.start.sql)
			walked := *s
			walked.database = func(h *host) authority { return &both{t, sql{h}, log, asked} }
			walked.walk(rand.New(rand.NewPCG(seed, 0)), steps)
		}
	}
	for _, what := range []string{
		"AddIntent", "MarkSent", "MarkCommitted", "LatestIntent", "Intent", "Verdict", "BeginDelivery", "PutOutcome", "Outcome", "Logged",
		"Waits", "DecideFirst", "DecideLast", "Over",
	} {
		if asked[what] == 0 {
			t.Errorf("%s was never asked for", what)
		}
	}
}

// walk carries out actions one after the other, chosen at random; every tenth
// effect goes wrong.
func (s *scenario) walk(random *rand.Rand, steps int) {
	w := s.start
	for range steps {
		actions := s.actions(w, Bounds{Attempts: 3, Order: anyOrder})
		if len(w.peers) > 0 || len(w.kv.leases.rows) > 0 {
			actions = append(actions, action{Kind: passes, After: patience})
		}
		if len(actions) == 0 {
			return
		}
		r := &run{scenario: s, w: w.copy(), node: w.freeNode(), action: actions[random.IntN(len(actions))]}
		for range 30 {
			r.plan = append(r.plan, fine)
			if random.IntN(10) == 0 {
				r.plan[len(r.plan)-1] = []fate{notDone, dies, hangs}[random.IntN(3)]
			}
		}
		newHost().perform(r) // a new one: a memory would answer in place of the code
		w = r.w
	}
}

func openLog(t *testing.T) *legallog.Log {
	t.Helper()
	db, err := stdsql.Open("sqlite", legallog.SQLiteDSN(filepath.Join(t.TempDir(), "pec.db")))
	if err != nil {
		t.Fatal(err)
	}
	log, err := legallog.Open(db, "one")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close(); db.Close() })
	return log
}

// seedLog writes what a scenario starts with.
func seedLog(t *testing.T, log *legallog.Log, d *database) {
	t.Helper()
	ctx := context.Background()
	var errs []error
	for _, i := range d.intents.all() {
		errs = append(errs, log.AddIntent(ctx, &i, nil))
		_, err := log.MarkCommitted(ctx, i.ID, i.Committed, nil, waitsOf(d, i.ID)...)
		errs = append(errs, err)
	}
	for _, e := range d.events.all() {
		e.Time = epoch // the model does not keep it
		errs = append(errs, log.Append(ctx, e))
	}
	for _, v := range d.verdicts.all() {
		errs = append(errs, log.PutVerdict(ctx, v))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func waitsOf(d *database, id point.TransactionID) []point.Wait {
	var waits []point.Wait
	for _, w := range d.waits.all() {
		if w.Transaction == id {
			waits = append(waits, w.Wait)
		}
	}
	return waits
}

// both asks the model and the real legal log, and compares.
type both struct {
	t     *testing.T
	model sql
	real  *legallog.Log
	asked map[string]int
}

// compare gives the model's answer if the other one is the same.
func compare[T any](b *both, what string, model T, modelErr error, real T, realErr error) (T, error) {
	b.t.Helper()
	b.asked[what]++
	for _, err := range []error{nil, point.ErrUnknown, point.ErrConflict} {
		if errors.Is(modelErr, err) != errors.Is(realErr, err) {
			b.t.Errorf("%s: the model gives error %v, the legal log %v", what, modelErr, realErr)
		}
	}
	if m, r := plain(b.t, model), plain(b.t, real); modelErr == nil && realErr == nil && m != r {
		b.t.Errorf("%s: the model gives\n%s, the legal log\n%s", what, m, r)
	}
	return model, modelErr
}

func (b *both) check(what string, modelErr, realErr error) error {
	b.t.Helper()
	_, err := compare(b, what, "", modelErr, "", realErr)
	return err
}

// plain is a value in text, its times in UTC: both write what they are handed,
// but one of them goes through a database.
func plain(t *testing.T, value any) string {
	t.Helper()
	switch v := value.(type) {
	case *point.Intent:
		if v != nil {
			i := *v
			utc(&i.Time, &i.SentAt, &i.Committed, &i.Facts.Data.Time)
			value = i
		}
	case *point.Outcome:
		if v != nil {
			o := *v
			utc(&o.Time)
			value = o
		}
	case *point.Judgement:
		if v != nil {
			j := *v
			utc(&j.Time)
			value = j
		}
	case point.Outcome:
		utc(&v.Time)
		value = v
	case point.Wait:
		value = plainWait(v)
	case []point.Wait:
		var waits []point.Wait
		for _, w := range v {
			waits = append(waits, plainWait(w))
		}
		value = waits
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func plainWait(w point.Wait) point.Wait {
	utc(&w.Since, &w.Taken, &w.First, &w.Last)
	return w
}

func utc(times ...*time.Time) {
	for _, t := range times {
		*t = t.UTC().Truncate(time.Microsecond)
	}
}
