package point_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// with is a message with more fields before it.
func with(fields string, m []byte) []byte { return append([]byte(fields), m...) }

// parsed reads the only message of a mailbox.
func (n *node) parsed(mailbox string) pec.Message {
	n.world.t.Helper()
	if len(n.mailboxes[mailbox]) != 1 {
		n.world.t.Fatalf("mailbox of %s: got %q, want one message", mailbox, n.kinds(mailbox))
	}
	return readMessage(n.world.t, n.mailboxes[mailbox][0])
}

func readMessage(t *testing.T, data []byte) pec.Message {
	t.Helper()
	m, err := pec.ReadMessage(bytes.NewReader(data), int64(len(data)))
	check(t, err)
	return m
}

// rows counts the rows of a kind in the legal log.
func (n *node) rows(kind point.EventKind) (count int) {
	n.world.t.Helper()
	for row, err := range n.log.Events(context.Background(), legallog.Filter{}) {
		check(n.world.t, err)
		if row.Kind == kind {
			count++
		}
	}
	return count
}

// TestWhoMaySubmit: RFC 6109 sections 2.2.1 and 5.2: without proof of who sends
// there is a reply, and never a notice to an address that may be forged.
func TestWhoMaySubmit(t *testing.T) {
	for _, c := range []struct{ name, from, user, want string }{
		{"FM-14 null reverse path", "", mario, "553"},
		{"FM-15 somebody else's address", mario, carla, "553"},
		{"FH-04 the service address", "posta-certificata@pec.alfa.example", mario, "553"},
		{"FM-16 nobody is authenticated", mario, "", "530"},
		{"FM-16 null reverse path, nobody authenticated", "", "", "530"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			m := &mail{c.from, []string{anna}, message(mario, anna)}
			got := code(w.alfa.take(&point.Access{Provider: w.alfa.provider}, m, c.user, true))
			expect(t, "reply", got, c.want)
			w.run()
			if len(w.alfa.queue)+len(w.alfa.mailboxes)+len(w.beta.mailboxes) != 0 {
				t.Errorf("queue %d, mailboxes of alfa %d, of beta %d: want none",
					len(w.alfa.queue), len(w.alfa.mailboxes), len(w.beta.mailboxes))
			}
		})
	}
}

// TestFieldsOfTheUser: what a user writes into the header never decides what his
// message is (RFC 6109 sections 2.1 and 3.1.5).
func TestFieldsOfTheUser(t *testing.T) {
	const trace = pec.HeaderTrace + ": forged"
	for _, c := range []struct{ name, fields, kept string }{
		{"FM-06 an address as display name", "", `From: "ceo@pec.beta.example" <` + mario + ">"},
		{"FM-12 empty Bcc", "Bcc: \r\n", "Bcc: \r\n"},
		{"FH-01 X-Trasporto", "X-Trasporto: posta-certificata\r\n", "X-Trasporto: posta-certificata\r\n"},
		{"FH-02 X-Ricevuta", "X-Ricevuta: avvenuta-consegna\r\nX-Riferimento-Message-ID: <x@y.example>\r\n", "X-Ricevuta: avvenuta-consegna\r\n"},
		{"FH-12 our own trace field", trace + "\r\n", trace},
		{"IN-04 direction marks in a display name", "Reply-To: =?utf-8?q?<x@y>,_=E2=80=AE?= <" + luca + ">\r\n", "=?utf-8?q?<x@y>,_=E2=80=AE?="},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			m := message(mario, anna)
			if strings.HasPrefix(c.kept, "From: ") {
				m = bytes.Replace(m, []byte("From: <"+mario+">"), []byte(c.kept), 1)
			}
			check(t, w.alfa.submit(&mail{mario, []string{anna}, with(c.fields, m)}))
			w.run()
			expect(t, "mailbox of anna", w.beta.kinds(anna), "posta-certificata")
			h := w.beta.parsed(anna).Header
			expect(t, "From", h.Get("From"), `"Per conto di: `+mario+`" <posta-certificata@pec.alfa.example>`)
			for name, want := range map[string]int{pec.HeaderTransport: 1, pec.HeaderReceipt: 0, pec.HeaderReference: 1, pec.HeaderTrace: 1, "Bcc": 0} {
				if got := h.Count(name); got != want {
					t.Errorf("envelope has %s %d times, want %d", name, got, want)
				}
			}
			if strings.Contains(h.Get(pec.HeaderTrace), "forged") {
				t.Errorf("trace field is the user's: %q", h.Get(pec.HeaderTrace))
			}
			if enclosed := string(w.beta.mailboxes[anna][0]); !strings.Contains(enclosed, c.kept) {
				t.Errorf("the original lost %q", c.kept)
			}
			expect(t, "mailbox of mario", w.alfa.kinds(mario), "accettazione avvenuta-consegna")
		})
	}
}

// TestHiddenRecipients: FM-11, Bcc with a value: nobody gets the message (RFC
// 6109 sections 2.1 and 3.1.1).
func TestHiddenRecipients(t *testing.T) {
	w := newWorld(t)
	m := with("Bcc: "+carla+"\r\n", message(mario, anna))
	check(t, w.alfa.submit(&mail{mario, []string{anna, carla}, m}))
	w.run()
	expect(t, "mailbox of mario", w.alfa.kinds(mario), "non-accettazione")
	expect(t, "mailboxes of anna and carla", w.beta.kinds(anna)+w.alfa.kinds(carla), "")
}

// TestTwoFrom: FM-04, neither of them is picked (RFC 6109 section 3.1.1).
func TestTwoFrom(t *testing.T) {
	for _, fields := range []string{"From: " + mario + "\r\n", "From: " + carla + "\r\n"} {
		w := newWorld(t)
		check(t, w.alfa.submit(&mail{mario, []string{anna}, with(fields, message(mario, anna))}))
		w.run()
		expect(t, "mailbox of mario", w.alfa.kinds(mario), "non-accettazione")
		expect(t, "mailbox of anna", w.beta.kinds(anna), "")
	}
}

// TestQuotedLocalPart: FM-38, an address that needs quotes goes through header,
// XML, reverse path and receipts (RFC 6109 section 3.1.1).
func TestQuotedLocalPart(t *testing.T) {
	for _, local := range []string{`"a b"`, `"a>b"`, `"a\"b"`, `"a@b"`, `"<x>&"`} {
		t.Run("FM-38 "+local, func(t *testing.T) {
			w := newWorld(t)
			from, to := local+"@pec.alfa.example", local+"@pec.beta.example"
			check(t, w.alfa.submit(&mail{from, []string{to}, message(from, "<"+to+">")}))
			w.run()
			expect(t, "mailbox of the recipient", w.beta.kinds(to), "posta-certificata")
			expect(t, "mailbox of the sender", w.alfa.kinds(from), "accettazione avvenuta-consegna")
			expect(t, "mittente", w.notice(w.alfa, from, pec.Delivery).Sender, from)
			expect(t, "consegna", w.notice(w.alfa, from, pec.Delivery).Delivered, to)
		})
	}
}

// TestManyRecipients: what the law asks at least (DM 2-11-2005 art. 12), with
// the limits set to just that, and one byte more.
func TestManyRecipients(t *testing.T) {
	const size, count = 600_000, 50
	for _, c := range []struct {
		name string
		size int
		want string
	}{
		{"FM-19 50 recipients of 600 KB", size, "accettazione"},
		{"FM-17 one byte more", size + 1, "non-accettazione"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			recipients := numbered(count)
			m := message(mario, strings.Join(recipients, ",\r\n "))
			for len(m) < c.size {
				m = append(m, strings.Repeat("x", min(76, max(0, c.size-len(m)-2)))+"\r\n"...)
			}
			m = m[:c.size]
			access := &point.Access{Provider: w.alfa.provider}
			w.alfa.provider.Limits = pec.Limits{Total: size * count, Recipients: count}
			check(t, w.alfa.take(access, &mail{mario, recipients, m}, mario, true))
			w.run()
			expect(t, "mailbox of mario", w.alfa.kinds(mario), c.want)
			if want := map[string]int{"accettazione": count}[c.want]; len(w.ordinary) != want {
				t.Errorf("delivered: got %d, want %d", len(w.ordinary), want)
			}
		})
	}
}

func numbered(count int) (addresses []string) {
	for n := range count {
		addresses = append(addresses, fmt.Sprintf("n%d@example.org", n))
	}
	return addresses
}

// TestThousandRecipients: FM-20, the acceptance names them all (RFC 6109 section
// 3.1.4).
func TestThousandRecipients(t *testing.T) {
	w := newWorld(t)
	recipients := numbered(1000)
	check(t, w.alfa.submit(&mail{mario, recipients, message(mario, strings.Join(recipients, ",\r\n "))}))
	w.run()
	var named []string
	for _, r := range w.notice(w.alfa, mario, pec.Acceptance).Recipients {
		named = append(named, r.Address)
	}
	if !slices.Equal(named, recipients) {
		t.Errorf("the acceptance names %d recipients, want all 1000", len(named))
	}
}

// TestMemoryOfManyRecipients: FM-20, the access door allocates less than 64 MiB
// for a message to 10,000 recipients, even if nothing is given back meanwhile.
// It is refused whatever the limits are, for no field may be so long: To and Cc
// have room for about 3,000 (RFC 6109 section 3.1.1).
func TestMemoryOfManyRecipients(t *testing.T) {
	for _, c := range []struct {
		name   string
		count  int
		limits pec.Limits
		want   string // outbox recipient
	}{
		{"FM-20 10,000 recipients, no limit", 10_000, pec.Limits{}, "non-accettazione."},
		{"FM-20 10,000 recipients, over the limit", 10_000, pec.Limits{Recipients: 500}, "non-accettazione."},
		{"FM-20 3,000 recipients, over the limit", 3000, pec.Limits{Recipients: 500}, "non-accettazione."},
		{"FM-20 3,000 recipients, no limit", 3000, pec.Limits{StrictRecipients: true}, "accettazione."},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.alfa.provider.Limits = c.limits
			recipients := numbered(c.count)
			to, cc := recipients[:c.count/2], recipients[c.count/2:]
			data := with("Cc: "+strings.Join(cc, ",\r\n ")+"\r\n", message(mario, strings.Join(to, ",\r\n ")))
			transaction := w.transaction(&mail{mario, recipients, data}, mario)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			verdict, err := (&point.Access{Provider: w.alfa.provider}).Handle(context.Background(), transaction)
			runtime.ReadMemStats(&after)
			check(t, err)
			if len(verdict.AddRecipients) != 1 || !strings.HasPrefix(verdict.AddRecipients[0], c.want) {
				t.Errorf("outbox recipients: got %q, want one %s", verdict.AddRecipients, c.want)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<20 {
				t.Errorf("allocated %d bytes, want at most 64 MiB", allocated)
			}
		})
	}
}

// TestDomainInAnotherCase: FM-41, managedDomains are compared in any case (RFC
// 6109 section 2.2.1).
func TestDomainInAnotherCase(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(&mail{mario, []string{"anna@PEC.Beta.Example"}, message(mario, anna)}))
	w.alfa.deliverOwn()
	r := w.notice(w.alfa, mario, pec.Acceptance).Recipients
	if len(r) != 1 || r[0].Kind != pec.Certified {
		t.Errorf("recipients: got %+v, want one certificato", r)
	}
}

// TestToOneself: LP-07, sender and recipient of one provider, and the same user:
// all steps are done (RFC 6109 section 3.4).
func TestToOneself(t *testing.T) {
	for _, c := range []struct{ name, to, sender, recipient string }{
		{"LP-07 same domain", carla, "accettazione avvenuta-consegna", "posta-certificata"},
		{"LP-07 same user", mario, "posta-certificata accettazione avvenuta-consegna", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			check(t, w.alfa.submit(&mail{mario, []string{c.to}, message(mario, c.to)}))
			w.run()
			got := strings.Fields(w.alfa.kinds(mario))
			want := strings.Fields(c.sender)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("mailbox of mario: got %v, want %v", got, want)
			}
			if c.recipient != "" {
				expect(t, "mailbox of the recipient", w.alfa.kinds(c.to), c.recipient)
			}
			expect(t, "service mailbox", w.alfa.kinds(alfaDesk), "presa-in-carico")
		})
	}
}

// TestLegalLogVerbatim: IN-10, a subject is data, for the legal log too (RFC 6109
// section 2.3).
func TestLegalLogVerbatim(t *testing.T) {
	w := newWorld(t)
	const subject = `'); DROP TABLE events; -- "x" %s ?1 \`
	m := bytes.Replace(message(mario, anna), []byte("Prova"), []byte(subject), 1)
	check(t, w.alfa.submit(&mail{mario, []string{anna}, m}))
	w.run()
	rows := 0
	for row, err := range w.alfa.log.Events(context.Background(), legallog.Filter{}) {
		check(t, err)
		expect(t, "subject of "+string(row.Kind), row.Subject, subject)
		rows++
	}
	if rows < 5 {
		t.Errorf("legal log: got %d rows, want those of a whole cycle", rows)
	}
}

// TestLogLinesStayLines: IN-11, what a message says cannot write a line of the
// daemon's log (RFC 6109 section 2.3).
func TestLogLinesStayLines(t *testing.T) {
	var out bytes.Buffer
	w := newWorld(t)
	w.beta.provider.Logger = slog.New(slog.NewTextHandler(&out, nil))
	m := with("Message-ID: <a\x1b[31mb@c>\r\nX-Ricevuta: x\r\n", message(luca, anna))
	evil := "a\r\ntime=2026-01-01 level=ERROR msg=forged \x1b[31m@example.org"
	if got := code(w.beta.receive(&mail{evil, []string{anna}, m})); got != "554" {
		t.Fatalf("reply: got %q, want 554", got)
	}
	if out.Len() == 0 {
		t.Fatal("nothing was logged")
	}
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "time=") || strings.Contains(line, "\x1b") || strings.HasPrefix(line, "time=2026-01-01") {
			t.Errorf("line of the log: %q", line)
		}
	}
}
