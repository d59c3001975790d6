package metrics

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

var t0 = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

// What a message says. None of it may stand in a metric.
const (
	sender    = "anna.bianchi@alfa.example"
	recipient = "luca.verdi@beta.example"
	subject   = "Offerta riservata"
	msgid     = "opec1234.20261125@alfa.example"
	queueID   = "4fXyZ12abc"
)

// world is a provider that is watched; each reading of the clock is a tenth of a
// second later.
type world struct {
	metrics  *Metrics
	provider *point.Provider
	state    *State
	now      time.Time
	fails    error // of the mailbox store
}

func newWorld() *world {
	w := &world{now: t0}
	w.state = &State{
		Now:         func() time.Time { return t0 },
		Directory:   func() time.Time { return t0.Add(-time.Hour) },
		Revocations: func() ([]*x509.RevocationList, error) { return nil, errors.New("no directory") },
		Seal:        func() (Seal, bool) { return Seal{}, false },
		Pending:     func(context.Context, time.Time) (Pending, error) { return Pending{}, errors.New("no database") },
		Certificate: func() (*x509.Certificate, error) { return nil, errors.New("no token") },
		Clock:       func() (time.Duration, bool, error) { return 0, false, errors.New("no clock") },
		Tokens:      func() []Token { return nil },
	}
	w.metrics = New(func() time.Time { w.now = w.now.Add(100 * time.Millisecond); return w.now }, w.state)
	w.provider = &point.Provider{Log: logged{}, Records: recorded{}, Store: store{w}}
	w.metrics.Watch(w.provider)
	return w
}

type logged struct{ point.Log }

func (logged) Append(context.Context, ...point.Event) error { return nil }

type recorded struct{ point.Records }

func (recorded) AddIntent(_ context.Context, _, last *point.Intent, _ ...point.Event) error {
	if last != nil {
		return point.ErrConflict
	}
	return nil
}

func (recorded) PutOutcome(_ context.Context, _ point.Key, o point.Outcome, _ point.Settlement, _ ...point.Event) (point.Outcome, error) {
	return o, nil
}

type store struct{ w *world }

func (s store) Store(context.Context, string, string, io.WriterTo) (string, error) {
	return "250 stored for " + recipient, s.w.fails
}

// get asks for a page.
func (w *world) get(t *testing.T, path string) (int, string) {
	t.Helper()
	answer := httptest.NewRecorder()
	handler := w.metrics.Handler(func(*http.Request) error { return w.fails })
	handler.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
	return answer.Code, answer.Body.String()
}

func (w *world) want(t *testing.T, lines ...string) {
	t.Helper()
	code, got := w.get(t, "/metrics")
	if code != 200 {
		t.Fatalf("/metrics: %d: %s", code, got)
	}
	for _, line := range lines {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("/metrics has no line %q", line)
		}
	}
	if t.Failed() {
		for line := range strings.Lines(got) {
			if strings.HasPrefix(line, "pec_milter_") {
				t.Log(line)
			}
		}
	}
}

func event(kind point.EventKind, door point.Door, notice pec.Kind) point.Event {
	return point.Event{
		Time: t0, Kind: kind, Door: door, Notice: notice, QueueID: queueID, ID: msgid, Sender: sender, Subject: subject,
		Reference: "<" + msgid + ">", NoticeID: msgid, NoticeTo: sender, Delivered: recipient,
		Recipients: []pec.Recipient{{Address: recipient, Kind: pec.Certified}}, Detail: "said to " + sender,
	}
}

// TestCounts: what the legal log takes is counted, once it has it; and nothing of
// the messages is in the metrics (OP-05).
func TestCounts(t *testing.T) {
	w, ctx := newWorld(), context.Background()
	p := w.provider
	steps := []error{
		p.Log.Append(ctx, event(point.EventIssuing, point.DeliveryDoor, pec.Acceptance)),
		p.Log.Append(ctx, event(point.EventIssued, point.DeliveryDoor, pec.Acceptance)),
		p.Records.AddIntent(ctx, &point.Intent{}, nil, event(point.EventAccepted, point.AccessDoor, "")),
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	if err := p.Records.AddIntent(ctx, &point.Intent{}, &point.Intent{}, event(point.EventAccepted, point.AccessDoor, "")); !errors.Is(err, point.ErrConflict) {
		t.Fatalf("AddIntent = %v, want the conflict", err)
	}
	if _, err := p.Records.PutOutcome(ctx, point.Key{}, point.Outcome{}, point.Settlement{}, event(point.EventDelivered, point.DeliveryDoor, "")); err != nil {
		t.Fatal(err)
	}
	for _, w.fails = range []error{nil, &point.Reply{Code: 550, Text: "no mailbox " + recipient}, errors.New("no answer about " + recipient)} {
		if _, err := p.Store.Store(ctx, sender, recipient, nil); err != w.fails {
			t.Fatalf("Store = %v, want %v", err, w.fails)
		}
	}
	w.metrics.Replied(point.AccessDoor)("RCPT", 550, 0)
	w.metrics.Replied(point.AccessDoor)("end of message", 250, 2*time.Second)
	w.want(t,
		`pec_milter_messages_total{door="access",kind="message",outcome="accepted"} 1`,
		`pec_milter_messages_total{door="delivery",kind="accettazione",outcome="issued"} 1`,
		`pec_milter_messages_total{door="delivery",kind="message",outcome="delivered"} 1`,
		`pec_milter_effect_failures_total{effect="store"} 1`,
		`pec_milter_effect_failures_total{effect="add-intent"} 0`,
		`pec_milter_effect_duration_seconds_count{effect="store"} 3`,
		`pec_milter_effect_duration_seconds_bucket{effect="store",le="0.05"} 0`,
		`pec_milter_replies_total{at="RCPT",code="550",door="access"} 1`,
		`pec_milter_message_duration_seconds_sum{door="access"} 2`,
		`pec_milter_message_duration_seconds_count{door="access"} 1`,
	)
	_, got := w.get(t, "/metrics")
	for _, secret := range []string{sender, recipient, subject, msgid, queueID, "anna", "@"} {
		if strings.Contains(got, secret) {
			t.Errorf("the metrics have %q", secret)
		}
	}
	if strings.Contains(got, `outcome="issuing"`) {
		t.Error("an intent is counted as an outcome")
	}
}

// TestStateAtScrape: what is asked is told; what has no answer is left out.
func TestStateAtScrape(t *testing.T) {
	w := newWorld()
	w.want(t, "pec_milter_directory_age_seconds 3600")
	_, got := w.get(t, "/metrics")
	for _, unknown := range []string{"revocation_list", "antivirus", "seal", "pending", "certificate", "clock", "token"} {
		if strings.Contains(got, "\npec_milter_"+unknown) {
			t.Errorf("/metrics tells of %s, which nobody knows", unknown)
		}
	}
	list := func(name string, age, left time.Duration) *x509.RevocationList {
		return &x509.RevocationList{Issuer: pkix.Name{CommonName: name}, ThisUpdate: t0.Add(-age), NextUpdate: t0.Add(left)}
	}
	w.state.Revocations = func() ([]*x509.RevocationList, error) {
		return []*x509.RevocationList{list("CA 1", 2*time.Hour, time.Hour), list("CA 1", time.Hour, 3*time.Hour), list("CA 2", time.Minute, -time.Minute)}, nil
	}
	w.state.Antivirus = func(context.Context) (time.Time, error) { return t0.Add(-24 * time.Hour), nil }
	w.state.Seal = func() (Seal, bool) {
		return Seal{Unsealed: t0.Add(-time.Minute), Sealed: t0.Add(-time.Hour), Rows: 7}, true
	}
	w.state.Pending = func(context.Context, time.Time) (Pending, error) { return Pending{3, 2, 1}, nil }
	w.state.Certificate = func() (*x509.Certificate, error) { return &x509.Certificate{NotAfter: t0.Add(48 * time.Hour)}, nil }
	w.state.Clock = func() (time.Duration, bool, error) { return 30 * time.Millisecond, true, nil }
	w.state.Tokens = func() []Token {
		return []Token{{Name: "pec of a.so", Open: true, Signs: true, Sessions: 16, InUse: 3, Waiting: 2, Lost: 1}, {Name: "slot 3 of b.so", Sessions: 4}}
	}
	w.want(t,
		`pec_milter_revocation_list_age_seconds{issuer="CN=CA 1"} 3600`,
		`pec_milter_revocation_list_left_seconds{issuer="CN=CA 1"} 10800`,
		`pec_milter_revocation_list_left_seconds{issuer="CN=CA 2"} -60`,
		`pec_milter_antivirus_up 1`, `pec_milter_antivirus_base_age_seconds 86400`,
		`pec_milter_unsealed_age_seconds 60`, `pec_milter_unsealed_rows 7`, `pec_milter_seal_age_seconds 3600`, `pec_milter_unstamped_age_seconds 0`,
		`pec_milter_pending_recipients{deadline="12h"} 3`, `pec_milter_pending_recipients{deadline="24h"} 2`, `pec_milter_pending_recipients{deadline="passed"} 1`,
		`pec_milter_certificate_left_seconds 172800`, `pec_milter_clock_kept 1`, `pec_milter_clock_offset_seconds 0.03`,
		`pec_milter_token_open{token="pec of a.so"} 1`, `pec_milter_token_signs{token="pec of a.so"} 1`, `pec_milter_token_sessions{token="pec of a.so"} 16`,
		`pec_milter_token_sessions_in_use{token="pec of a.so"} 3`, `pec_milter_token_sessions_waited{token="pec of a.so"} 2`,
		"# TYPE pec_milter_token_losses_total counter", `pec_milter_token_losses_total{token="pec of a.so"} 1`,
		`pec_milter_token_open{token="slot 3 of b.so"} 0`, `pec_milter_token_signs{token="slot 3 of b.so"} 0`, `pec_milter_token_sessions{token="slot 3 of b.so"} 4`,
	)
	w.state.Antivirus = func(context.Context) (time.Time, error) { return time.Time{}, errors.New("down") }
	w.state.Clock = func() (time.Duration, bool, error) { return 16 * time.Second, false, nil }
	w.want(t, `pec_milter_antivirus_up 0`, `pec_milter_clock_kept 0`)
	if _, got := w.get(t, "/metrics"); strings.Contains(got, "\npec_milter_clock_offset") || strings.Contains(got, "\npec_milter_antivirus_base") {
		t.Error("/metrics tells what an unkept clock and a clamd that is down do not know")
	}
}

// TestPages: there are two, and no other (OP-04: none that shows the memory).
func TestPages(t *testing.T) {
	w := newWorld()
	if code, text := w.get(t, "/healthz"); code != 200 || text != "good\n" {
		t.Errorf("/healthz: %d %q, want 200 good", code, text)
	}
	w.fails = errors.New("access: connection refused")
	if code, text := w.get(t, "/healthz"); code != 503 || !strings.Contains(text, "access: connection refused") {
		t.Errorf("/healthz of a door that is shut: %d %q, want 503 and the door", code, text)
	}
	for _, path := range []string{"/", "/debug/pprof/", "/debug/vars"} {
		if code, _ := w.get(t, path); code != 404 {
			t.Errorf("%s: %d, want 404", path, code)
		}
	}
}
