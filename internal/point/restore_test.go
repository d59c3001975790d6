package point_test

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/state"
	"github.com/pec-milter/pec-milter/pec"
)

// loseRecords gives a provider an empty database and an empty state: the last
// backup is older than all that is in the queue.
func (n *node) loseRecords() {
	t := n.world.t
	t.Helper()
	db, err := sql.Open("sqlite", legallog.SQLiteDSN(filepath.Join(t.TempDir(), "restored.db")))
	check(t, err)
	log, err := legallog.Open(db)
	check(t, err)
	store, err := state.Open(db, "restored", n.world.clock, n.provider.Logger)
	check(t, err)
	t.Cleanup(func() { log.Close(); db.Close() })
	n.log, n.provider.Log, n.provider.Records, n.provider.State = log, log, log, store
}

// TestRecordsLostBeforeOutbox: FP-47, FP-48. What the queue has is newer than the
// database: all notices are issued as if nothing had been lost, and rows of the
// legal log are there for them.
func TestRecordsLostBeforeOutbox(t *testing.T) {
	for name, lose := range map[string]func(*world){
		"of the sender's provider": func(w *world) { w.alfa.loseRecords() },
		"of the other":             func(w *world) { w.alfa.runQueue(); w.beta.loseRecords() },
		"of both":                  func(w *world) { w.alfa.loseRecords(); w.alfa.runQueue(); w.beta.loseRecords() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			check(t, w.alfa.submit(mainJob()))
			lose(w)
			w.run()
			w.expectMainJob()
			check(t, w.alfa.submit(mainJob())) // the client never heard the 250
			w.run()
			w.expectMainJob()
			if rows := logged(t, w.alfa, point.EventAccepted); rows != 1 {
				t.Errorf("accepted: got %d rows, want 1", rows)
			}
		})
	}
}

func logged(t *testing.T, n *node, kind point.EventKind) (count int) {
	t.Helper()
	for row, err := range n.log.Events(t.Context(), legallog.Filter{}) {
		check(t, err)
		if row.Kind == kind {
			count++
		}
	}
	return count
}

// TestAcceptanceAfterLoss: the notice has the very bytes that it would have had.
func TestAcceptanceAfterLoss(t *testing.T) {
	acceptance := func(lose bool) []byte {
		w := newWorld(t)
		check(t, w.alfa.submit(mainJob()))
		if lose {
			w.alfa.loseRecords()
		}
		w.alfa.runQueue()
		for _, m := range w.alfa.queue {
			if m.recipients[0] == mario && bytes.Contains(m.data, []byte("X-Ricevuta: accettazione")) {
				return m.data
			}
		}
		t.Fatal("no acceptance in the queue")
		return nil
	}
	if want, got := acceptance(false), acceptance(true); !bytes.Equal(want, got) {
		t.Errorf("acceptance after the loss: got %s, want %s", got, want)
	}
}

// TestRefusalLost: what was refused has no envelope, and its reason is lost: the
// outbox recipient stays in the queue.
func TestRefusalLost(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, luca)}))
	w.alfa.loseRecords()
	w.run()
	expect(t, "mailbox of mario", w.alfa.kinds(mario), "")
	if len(w.alfa.queue) != 1 || !strings.HasPrefix(w.alfa.queue[0].recipients[0], string(pec.NonAcceptance)+".") {
		t.Errorf("queue: got %v, want the outbox recipient of non-accettazione", w.alfa.queue)
	}
}

// TestLostAndForged: an outbox address whose intent is lost, on a message that is
// no good envelope, sets off nothing.
func TestLostAndForged(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(mainJob()))
	outbox := w.alfa.queue[0].recipients[len(w.alfa.queue[0].recipients)-1]
	envelope := w.alfa.queue[0].data
	for name, m := range map[string]*mail{
		"unsigned":             {mario, []string{outbox}, message(mario, anna)},
		"changed":              {mario, []string{outbox}, bytes.Replace(envelope, []byte("Buongiorno"), []byte("Buonasera!"), 1)},
		"another reverse path": {"other@pec.alfa.example", []string{outbox}, envelope},
	} {
		w.alfa.queue = nil
		w.alfa.loseRecords()
		if err := w.alfa.send(m); err == nil {
			t.Errorf("%s: served, want a temporary error", name)
		}
		if len(w.alfa.queue) != 0 {
			t.Errorf("%s: %d notices in the queue, want none", name, len(w.alfa.queue))
		}
	}
}
