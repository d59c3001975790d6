package point_test

import (
	"bytes"
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	log, err := legallog.Open(db, "one")
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

// TestNoticeLost: what was refused has no envelope, and its reason is lost; so is a
// virus that is not found again. The outbox recipient stays in the queue for 12
// hours, should the database come back; then it is given up, the operator is told
// once, the legal log has it, and nobody gets anything.
func TestNoticeLost(t *testing.T) {
	for kind, begin := range map[pec.Kind]func(*world){
		pec.NonAcceptance: func(w *world) {
			check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, luca)}))
		},
		pec.VirusDetection: func(w *world) {
			check(t, w.beta.submit(&mail{anna, []string{mario}, message(anna, mario)}))
			w.alfa.viruses = []string{"Buongiorno"}
			w.beta.runQueue()
			w.alfa.viruses = nil
		},
	} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			begin(w)
			n := w.alfa
			for _, m := range n.queue {
				m.data = w.received(m.data)
			}
			told := n.alarms("a notice is lost")
			n.loseRecords()
			for _, after := range []time.Duration{0, 11*time.Hour + 59*time.Minute} {
				w.now = w.now.Add(after)
				w.run()
				if len(n.queue) != 1 || !strings.HasPrefix(n.queue[0].recipients[0], string(kind)+".") || told() != "" {
					t.Fatalf("after %v: queue has %v, log %q, want the outbox recipient of %s, and nothing", after, n.queue, told(), kind)
				}
			}
			owed := n.queue[0].recipients[0]
			for range 3 {
				w.now = w.now.Add(12 * time.Hour)
				w.run()
			}
			if got := told(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "queue_id=4Q") || !strings.Contains(got, "recipient="+owed) {
				t.Errorf("log: got %q, want one alarm with queue id and %s", got, owed)
			}
			if rows := logged(t, n, point.EventUndelivered); rows != 1 || len(n.queue) != 0 {
				t.Errorf("got %d rows of what was given up and %d messages in the queue, want 1 and 0", rows, len(n.queue))
			}
			expect(t, "mailbox of mario", n.kinds(mario), "")
		})
	}
}

// TestOutboxOnAnotherMessage: the notice of one message cannot be made from
// another one; that comes to an end as well, and the right one goes out.
func TestOutboxOnAnotherMessage(t *testing.T) {
	w := newWorld(t)
	n := w.alfa
	check(t, n.submit(&mail{mario, []string{luca}, message(mario, luca)}))
	check(t, n.submit(&mail{mario, []string{anna}, message(mario, anna)}))
	outbox := n.queue[0].recipients[1]
	wrong := &mail{mario, []string{outbox}, w.received(n.queue[1].data)}
	n.queue = []*mail{n.queue[0], wrong}
	w.run()
	if len(n.queue) != 1 || n.queue[0].recipients[0] != outbox {
		t.Fatalf("queue: got %v, want the outbox recipient on the wrong message", n.queue)
	}
	told := n.alarms("a notice is lost")
	w.now = w.now.Add(12 * time.Hour)
	w.run()
	if len(n.queue) != 0 || strings.Count(told(), "\n") != 1 {
		t.Errorf("queue has %d messages, log %q, want 0 and one alarm", len(n.queue), told())
	}
	expect(t, "mailbox of mario", n.kinds(mario), "accettazione")
}

// TestLeftoverOfSendmail: a Sendmail that dies while it removes a message leaves its
// header and recipients without the body, and sends them again. The notice is out, and the
// outbox recipient is served; one whose notice is owed stays.
func TestLeftoverOfSendmail(t *testing.T) {
	w := newWorld(t)
	n := w.alfa
	check(t, n.submit(&mail{mario, []string{luca}, message(mario, luca)}))
	check(t, n.submit(&mail{mario, []string{luca}, []byte("Message-ID: <refused@client>\r\n\r\nx\r\n")})) // no From: non-accettazione
	left := func(m *mail) *mail {
		header, _, _ := strings.Cut(string(m.data), "\r\n\r\n")
		outbox := m.recipients[len(m.recipients)-1]
		return &mail{m.from, []string{outbox}, []byte(header + "\r\n\r\n")}
	}
	leftovers := []*mail{left(n.queue[0]), left(n.queue[1])}
	whole := n.queue
	n.queue = leftovers
	n.runQueue()
	if len(n.queue) != 2 || n.kinds(mario) != "" {
		t.Fatalf("%d messages are left, and mario has %q: want both, and nothing", len(n.queue), n.kinds(mario))
	}
	n.queue = whole
	w.run()
	expect(t, "mailbox of mario", n.kinds(mario), "accettazione non-accettazione")
	n.queue = leftovers
	n.runQueue()
	if len(n.queue) != 0 {
		t.Errorf("%d messages are left, want none", len(n.queue))
	}
	expect(t, "mailbox of mario", n.kinds(mario), "accettazione non-accettazione")
}

// TestLeftoverInMailbox: the rest of a message that a Sendmail has delivered ends where
// the log has that it was; one without a body that it does not have is delivered, in an
// anomaly envelope, as all that is no PEC message.
func TestLeftoverInMailbox(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, anna)}))
	w.alfa.runQueue()
	header, _, _ := strings.Cut(string(w.beta.queue[0].data), "\r\n\r\n")
	leftover := func(to string) *mail { return &mail{mario, []string{to}, []byte(header + "\r\n\r\n")} }
	w.run()
	before := w.beta.kinds(anna)
	w.beta.queue = append(w.beta.queue, leftover(anna))
	w.run()
	expect(t, "mailbox of anna", w.beta.kinds(anna), before)
	other := "other@" + w.beta.provider.Identity.Domain
	w.beta.queue = append(w.beta.queue, leftover(other))
	w.run()
	expect(t, "mailbox of another", w.beta.kinds(other), "errore") // X-Trasporto of an anomaly envelope
}

// alarms gives the errors with these words that are logged from now on, a line
// each.
func (n *node) alarms(words string) func() string {
	var lines bytes.Buffer
	n.provider.Logger = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelError}))
	return func() string {
		var found []string
		for line := range strings.Lines(lines.String()) {
			if strings.Contains(line, words) {
				found = append(found, line)
			}
		}
		return strings.Join(found, "")
	}
}

// TestVirusDetectionAfterLoss: what the antivirus finds again is told to the
// sender's provider as if nothing had been lost, whichever of the two outbox
// recipients comes first.
func TestVirusDetectionAfterLoss(t *testing.T) {
	for first, want := range []string{"presa-in-carico rilevazione-virus", "rilevazione-virus presa-in-carico"} {
		w := newWorld(t)
		check(t, w.beta.submit(&mail{anna, []string{mario}, message(anna, mario)}))
		w.alfa.viruses = []string{"Buongiorno"}
		w.beta.runQueue()
		w.alfa.loseRecords()
		m := w.alfa.queue[0]
		if len(m.recipients) != 2 {
			t.Fatalf("envelope in the queue for %v, want two outbox recipients", m.recipients)
		}
		m.recipients[0], m.recipients[1] = m.recipients[first], m.recipients[1-first]
		w.run()
		expect(t, "service mailbox of beta", w.beta.kinds(w.beta.provider.Identity.MailReceipt), want)
		expect(t, "mailbox of mario", w.alfa.kinds(mario), "")
		if len(w.alfa.queue) != 0 {
			t.Errorf("queue has %d messages, want 0", len(w.alfa.queue))
		}
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
