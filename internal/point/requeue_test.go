package point_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// received is the field that an MTA puts on top of what it takes.
func (w *world) received(data []byte) []byte {
	field := "Received: from [127.0.0.1] (localhost [127.0.0.1])\r\n\tby mx.alfa.example (Postfix) with ESMTP id 4Q;\r\n\t" +
		w.now.Format(time.RFC1123Z) + " (CET)\r\n"
	return append([]byte(field), data...)
}

// stamping is an inject port that puts the field on what it takes.
type stamping struct{ *node }

func (s stamping) Inject(_ context.Context, from, to string, message io.WriterTo) error {
	s.queue = append(s.queue, &mail{from, []string{to}, s.world.received(written(s.world.t, message))})
	return nil
}

// noKey is a token that has gone.
type noKey struct{}

func (noKey) Earlier() []point.Credential { return nil }

func (noKey) Current() (crypto.Signer, []*x509.Certificate, error) {
	return nil, nil, errors.New("no token")
}

// TestOutboxQueuedAfresh: FP-24, an outbox recipient that cannot be served gets
// a fresh queue file after 12 hours, for the MTA gives this one up after 24; and
// another one 12 hours later. When all is up again there is one notice.
func TestOutboxQueuedAfresh(t *testing.T) {
	w := newWorld(t)
	n := w.alfa
	n.provider.Injector = stamping{n}
	check(t, n.submit(&mail{mario, []string{luca}, message(mario, luca)}))
	n.queue[0].data = w.received(n.queue[0].data)
	n.provider.Signer = noKey{}
	n.runQueue() // luca's copy leaves
	for _, step := range []struct {
		after time.Duration
		since time.Duration // how old the queue file of the outbox recipient is afterwards
	}{{0, 0}, {11 * time.Hour, 11 * time.Hour}, {time.Hour, 0}, {11 * time.Hour, 11 * time.Hour}, {2 * time.Hour, 0}} {
		w.now = w.now.Add(step.after)
		n.runQueue()
		if len(n.queue) != 1 || !strings.HasSuffix(n.queue[0].recipients[0], "@"+point.OutboxDomain) {
			t.Fatalf("after %v: queue has %d messages, want that of the outbox recipient", w.now.Sub(start), len(n.queue))
		}
		if want := w.now.Add(-step.since).Format(time.RFC1123Z); !strings.Contains(firstField(n.queue[0].data), want) {
			t.Errorf("after %v: queue file is of %q, want %s", w.now.Sub(start), firstField(n.queue[0].data), want)
		}
	}
	n.provider.Signer = n
	w.run()
	expect(t, "mailbox of mario", n.kinds(mario), "accettazione")
}

func firstField(data []byte) string {
	field, _, _ := strings.Cut(string(data), "CET")
	return field
}

// TestOutboxOfNoAge: without the MTA's own field nobody knows how old the queue
// file is: it stays where it is.
func TestOutboxOfNoAge(t *testing.T) {
	w := newWorld(t)
	n := w.alfa
	check(t, n.submit(&mail{mario, []string{luca}, message(mario, luca)}))
	n.provider.Signer = noKey{}
	before := slices.Clone(n.queue)
	for _, field := range []string{"", "Received: from x\r\n", "Received: from x; yesterday\r\n"} {
		w.now = w.now.Add(20 * time.Hour)
		n.queue = []*mail{{before[0].from, before[0].recipients, append([]byte(field), before[0].data...)}}
		n.runQueue()
		if len(n.queue) != 1 || !strings.HasPrefix(string(n.queue[0].data), field) {
			t.Errorf("with %q: queue has %d messages, want the one before", field, len(n.queue))
		}
	}
	n.provider.Signer = n
	w.run()
	if got := w.notice(n, mario, pec.Acceptance); got == nil {
		t.Error("no acceptance")
	}
}
