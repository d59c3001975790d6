package point_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

const (
	mario    = "mario@pec.alfa.example"
	carla    = "carla@pec.alfa.example"
	anna     = "anna@pec.beta.example"
	luca     = "luca@example.org"
	alfaDesk = "servizio@pec.alfa.example"
)

func mainJob() *mail {
	return &mail{mario, []string{anna, carla, luca}, message(mario, anna+", "+carla+", "+luca)}
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// expectMainJob: everything is there once, whatever happened on the way.
func (w *world) expectMainJob() {
	w.t.Helper()
	expect(w.t, "mailbox of anna", w.beta.kinds(anna), "posta-certificata")
	expect(w.t, "mailbox of carla", w.alfa.kinds(carla), "posta-certificata")
	got := strings.Fields(w.alfa.kinds(mario))
	if len(got) != 3 || strings.Count(strings.Join(got, " "), "avvenuta-consegna") != 2 || !strings.Contains(strings.Join(got, " "), "accettazione") {
		w.t.Errorf("mailbox of mario: got %v, want accettazione and two avvenuta-consegna", got)
	}
	expect(w.t, "service mailbox of alfa", w.alfa.kinds(alfaDesk), "presa-in-carico presa-in-carico")
	if len(w.ordinary) != 1 {
		w.t.Errorf("ordinary mail: got %d messages, want 1", len(w.ordinary))
	}
	if len(w.alfa.queue)+len(w.beta.queue) != 0 {
		w.t.Errorf("queues: alfa %d, beta %d, want none", len(w.alfa.queue), len(w.beta.queue))
	}
}

func TestMainJob(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(mainJob()))
	w.run()
	w.expectMainJob()
}

// TestAcceptanceFlagsRecipients: FM-40, a recipient outside PEC is "esterno" (RFC
// 6109 section 3.1.4).
func TestAcceptanceFlagsRecipients(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(mainJob()))
	w.run()
	var flags []string
	for _, r := range w.notice(w.alfa, mario, pec.Acceptance).Recipients {
		flags = append(flags, r.Address+" "+string(r.Kind))
	}
	expect(t, "flags", strings.Join(flags, ", "), anna+" certificato, "+carla+" certificato, "+luca+" esterno")
}

// notice is the certification data of the only message of a kind in a mailbox.
func (w *world) notice(n *node, mailbox string, kind pec.Kind) *pec.CertificationData {
	w.t.Helper()
	found := w.notices(n, mailbox, kind)
	if len(found) != 1 {
		w.t.Fatalf("%s in %s: got %d, want 1", kind, mailbox, len(found))
	}
	return found[0]
}

// notices are the certification data of all messages of a kind in a mailbox.
func (w *world) notices(n *node, mailbox string, kind pec.Kind) []*pec.CertificationData {
	w.t.Helper()
	var found []*pec.CertificationData
	for _, data := range n.mailboxes[mailbox] {
		m, err := pec.ReadMessage(bytes.NewReader(data), int64(len(data)))
		check(w.t, err)
		s, err := pec.VerifySignature(m, nil)
		check(w.t, err)
		d, _, err := pec.Parts(s)
		check(w.t, err)
		if d.Kind == kind {
			found = append(found, d)
		}
	}
	return found
}

// TestLostAnswers: every answer that can be lost is lost twice, then all is up
// again: nothing is lost, nothing is doubled at own mailboxes.
func TestLostAnswers(t *testing.T) {
	lost := errors.New("connection lost")
	twice := func() func(string) error {
		left := 2
		return func(string) error {
			if left--; left >= 0 {
				return lost
			}
			return nil
		}
	}
	for _, c := range []struct {
		name   string
		break_ func(n *node)
	}{
		{"FP-32 store down", func(n *node) { n.storeErr = twice() }},
		{"FP-34 reply of the store", func(n *node) { n.storedErr = twice() }},
		{"FP-20 reply of the injection", func(n *node) { f := twice(); n.injectErr = func() error { return f("") } }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.break_(w.alfa)
			c.break_(w.beta)
			check(t, w.alfa.submit(mainJob()))
			for range 8 {
				w.run()
			}
			w.expectMainJob()
		})
	}
}

func TestRepeatedSubmission(t *testing.T) {
	for _, c := range []struct {
		name   string
		commit bool          // the first attempt got into the queue
		run    bool          // and was seen by the delivery door
		later  time.Duration // then the client tries again
		want   string        // what the repeat gets
		sameID bool
		rows   int // that say that it came again
	}{
		{"in the queue and seen: dropped", true, true, time.Minute, "", true, 0},
		{"sent a moment ago: wait", true, false, 30 * time.Second, "451", true, 0},
		{"sent, not in the queue: same id", false, false, 5 * time.Minute, "", true, 1},
		{"sent long ago, never seen: new id", false, false, 16 * time.Minute, "", false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			access := &point.Access{Provider: w.alfa.provider}
			check(t, w.alfa.take(access, mainJob(), mario, c.commit))
			if c.run {
				w.run()
			}
			w.now = w.now.Add(c.later)
			err := w.alfa.submit(mainJob())
			if got := code(err); got != c.want {
				t.Fatalf("repeat: got %q, want %q", got, c.want)
			}
			w.run()
			w.expectMainJob()
			if got := len(w.ids()) == 1; got != c.sameID {
				t.Errorf("one PEC msgid for both: got %v, want %v", got, c.sameID)
			}
			if got := logged(t, w.alfa, point.EventRepeated); got != c.rows {
				t.Errorf("repeated: got %d rows, want %d", got, c.rows)
			}
		})
	}
}

func code(err error) string {
	if reply := (*point.Reply)(nil); errors.As(err, &reply) {
		return reply.Error()[:3]
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// ids are the PEC msgids that alfa's legal log accepted.
func (w *world) ids() map[string]bool {
	ids := map[string]bool{}
	for row, err := range w.alfa.log.Events(context.Background(), legallog.Filter{}) {
		check(w.t, err)
		if row.Kind == point.EventAccepted {
			ids[row.ID] = true
		}
	}
	return ids
}

// TestMTADiesBeforeCommit: the accept was given, the MTA lost the message: no
// notice, ever (FP-14).
func TestMTADiesBeforeCommit(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.take(&point.Access{Provider: w.alfa.provider}, mainJob(), mario, false))
	w.run()
	expect(t, "mailbox of mario", w.alfa.kinds(mario), "")
}

// TestReplay: a genuine envelope comes again (SG-30), and for a recipient that
// it does not name: an anomaly envelope, and no receipt for it (LP-04).
func TestReplay(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(mainJob()))
	var envelope *mail
	for _, m := range w.alfa.queue {
		envelope = &mail{m.from, []string{anna}, m.data}
	}
	w.run()
	check(t, w.beta.receive(envelope))
	w.run()
	w.expectMainJob()

	other := "aperta@pec.beta.example"
	check(t, w.beta.receive(&mail{mario, []string{other}, envelope.data}))
	w.run()
	expect(t, "mailbox of the other", w.beta.kinds(other), "errore")
	w.expectMainJob()
}

// TestTwoTransactions: an envelope in two transactions, one of which names a
// recipient again: each is taken charge of once (RFC 6109 section 3.2.1).
func TestTwoTransactions(t *testing.T) {
	w := newWorld(t)
	bruno := "bruno@pec.beta.example"
	check(t, w.alfa.submit(&mail{mario, []string{anna, bruno}, message(mario, anna+", "+bruno)}))
	data := w.alfa.queue[0].data
	check(t, w.beta.receive(&mail{mario, []string{anna}, data}))
	check(t, w.beta.receive(&mail{mario, []string{anna, bruno}, data}))
	w.alfa.queue = nil
	w.run()
	expect(t, "mailbox of anna", w.beta.kinds(anna), "posta-certificata")
	expect(t, "mailbox of bruno", w.beta.kinds(bruno), "posta-certificata")
	expect(t, "service mailbox of alfa", w.alfa.kinds(alfaDesk), "presa-in-carico presa-in-carico")
	expect(t, "receipts of mario", w.alfa.kinds(mario), "avvenuta-consegna avvenuta-consegna")
}

func TestNonDelivery(t *testing.T) {
	for _, c := range []struct {
		name   string
		reply  point.Reply
		detail string
		kind   pec.ErrorKind
	}{
		{"LP-09 no mailbox", point.Reply{Code: 550, Status: "5.1.1", Text: "unknown"}, "5.1.1 - beta PEC S.p.A. - indirizzo non valido", pec.WrongMailbox},
		{"LP-09 over quota", point.Reply{Code: 552, Status: "5.2.2", Text: "full"}, "5.2.2 - beta PEC S.p.A. - casella piena", pec.OtherError},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.beta.storeErr = func(string) error { return &c.reply }
			check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, anna)}))
			w.run()
			expect(t, "service mailbox of alfa", w.alfa.kinds(alfaDesk), "presa-in-carico")
			d := w.notice(w.alfa, mario, pec.NonDelivery)
			expect(t, "errore-esteso", d.Detail, c.detail)
			expect(t, "errore", string(d.Error), string(c.kind))
			expect(t, "consegna", d.Delivered, anna)
		})
	}
}

// TestDeterministicNotice: a notice that is issued again has the same bytes.
func TestDeterministicNotice(t *testing.T) {
	w := newWorld(t)
	lost := 1
	w.alfa.injectErr = func() error {
		if lost--; lost >= 0 {
			return errors.New("connection lost")
		}
		return nil
	}
	check(t, w.alfa.submit(&mail{mario, []string{luca}, message(mario, luca)}))
	w.alfa.runQueue() // the acceptance is injected, the answer lost
	w.now = w.now.Add(time.Hour)
	w.alfa.mailboxes = map[string][][]byte{}
	first := w.alfa.queue
	w.alfa.queue = nil
	for _, m := range first {
		if strings.HasSuffix(m.recipients[0], point.OutboxDomain) {
			check(t, w.alfa.send(m))
		}
	}
	var copies [][]byte
	for _, m := range append(first, w.alfa.queue...) {
		if m.recipients[0] == mario {
			copies = append(copies, m.data)
		}
	}
	if len(copies) != 2 || !bytes.Equal(copies[0], copies[1]) {
		t.Errorf("copies of the acceptance: got %d, want 2 with the same bytes", len(copies))
	}
}

// TestReplayToNobody: an envelope for a mailbox that it does not name, and that
// does not exist: the MTA's own refusal, never a notice.
func TestReplayToNobody(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(mainJob()))
	envelope := w.alfa.queue[0].data
	w.run()
	nobody := "nobody@pec.beta.example"
	w.beta.storeErr = func(string) error { return &point.Reply{Code: 550, Status: "5.1.1", Text: "unknown"} }
	door := &point.DeliveryPoint{Provider: w.beta.provider}
	got := door.Deliver(context.Background(), w.transaction(&mail{mario, []string{nobody}, envelope}, ""))
	if code(got[0]) != "550" {
		t.Errorf("reply: got %v, want 550", got[0])
	}
	w.run()
	w.expectMainJob()
}

// TestRefusalIsLogged: what is refused for good leaves a row in the legal log
// (RFC 6109 section 2.3).
func TestRefusalIsLogged(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(&mail{mario, []string{anna, luca}, message(mario, anna)}))
	if got := code(w.beta.receive(&mail{luca, []string{anna}, message(luca, anna)})); got != "554" {
		t.Fatalf("ordinary mail: got %q, want 554", got)
	}
	for _, n := range []*node{w.alfa, w.beta} {
		var kinds []point.EventKind
		for row, err := range n.log.Events(context.Background(), legallog.Filter{}) {
			check(t, err)
			kinds = append(kinds, row.Kind)
		}
		if len(kinds) != 1 || kinds[0] != point.EventRefused {
			t.Errorf("legal log: got %v, want one refusal", kinds)
		}
	}
}

// TestRepeatIsStamped: the store is told that a message may be there already, and
// only then.
func TestRepeatIsStamped(t *testing.T) {
	for failures, want := range []int{0, 1, 1} {
		w := newWorld(t)
		check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, anna)}))
		w.beta.storeErr = func(recipient string) error {
			if recipient != anna || failures == 0 {
				return nil
			}
			failures--
			return errors.New("the store was killed")
		}
		w.run()
		expect(t, "mailbox of anna", w.beta.kinds(anna), "posta-certificata")
		if got := w.beta.parsed(anna).Header.Count(pec.HeaderRepeat); got != want {
			t.Errorf("after %d failures: %d fields %s, want %d", failures, got, pec.HeaderRepeat, want)
		}
	}
}
