package milter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/point"
)

func nastyMessages() map[string]message {
	messages := make(map[string]message)
	for name, header := range map[string]string{
		"folded":           "Subject: uno\r\n due\r\n\ttre\r\nTo: a@x,\r\n \r\n b@x\r\n",
		"duplicates":       "X-A: 1\r\nx-a: 2\r\nX-B: 3\r\nX-A: 4\r\n",
		"eight bit":        "Subject: citt\xe0 è bella\r\n",
		"empty value":      "Subject:\r\nX-Blank: \r\nX-Tab:\t\r\n",
		"spaces":           "A:b\r\nC:  d \r\nE:\tf\r\nG:\r\n h\r\n",
		"colons":           "A: b:c: d\r\nB::\r\n",
		"one field, 59 KB": "A: " + strings.Repeat("x", 59_000) + "\r\n",
		"1500 fields":      manyFields(1500),
	} {
		msg := simple()
		msg.header = header
		messages["header "+name] = msg
	}
	for name, body := range map[string]string{
		"empty":             "",
		"empty lines":       "\r\n\r\n\r\n",
		"no line end":       "corpo",
		"dots":              ".\r\n..\r\n.a\r\n",
		"NUL, bare CR, LF":  "a\x00b\rc\nd\r\n",
		"exactly one chunk": strings.Repeat("x", maxChunk),
		"3 MB":              strings.Repeat("0123456789abcde\n", 3<<16),
	} {
		msg := simple()
		msg.body = body
		messages["body "+name] = msg
	}
	return messages
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: value %d\r\n folded\r\n", i%7, i)
	}
	return b.String()
}

// What the door sees is, byte for byte, what the client sent; what the MTA has
// after a replacement is, byte for byte, what was signed.
func TestByteExact(t *testing.T) {
	for name, msg := range nastyMessages() {
		t.Run(name, func(t *testing.T) {
			var want bytes.Buffer
			door := &fakeDoor{handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
				if got := tr.Message.Header.String(); got != msg.header {
					t.Errorf("header is %q, want %q", got, msg.header)
				}
				if got := read(tr.Message.Body); got != msg.body {
					t.Errorf("body has %d bytes, want the %d sent", len(got), len(msg.body))
				}
				if want := sha256.Sum256([]byte(msg.body)); tr.BodyDigest != want {
					t.Errorf("digest is %x, want %x", tr.BodyDigest, want)
				}
				replacement, err := signed(tr.Message)
				if err == nil {
					_, err = replacement.WriteTo(&want)
				}
				return &point.Verdict{Replace: replacement}, err
			}}
			path, logged := serve(t, door)
			answer := connect(t, path).send(msg)
			if answer.reply != "accept" {
				t.Fatalf("answer is %q, want accept; log:\n%s", answer.reply, logged)
			}
			queued := answer.changed(t, msg)
			if got := queued.header + "\r\n" + queued.body; got != want.String() {
				t.Errorf("queued message has %d bytes:\n%.2000q\nwant %d:\n%.2000q", len(got), got, want.Len(), want.String())
			}
			for _, c := range answer.changes {
				if len(c.Body) > 65_535 {
					t.Errorf("packet of the body has %d bytes, want at most 65535", len(c.Body))
				}
			}
		})
	}
}

// Sendmail counts deleted fields, Postfix does not: each field must be meant
// by both.
func TestDeletionOrder(t *testing.T) {
	door := &fakeDoor{handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
		replacement, err := signed(tr.Message)
		return &point.Verdict{Replace: replacement}, err
	}}
	path, _ := serve(t, door)
	msg := simple()
	msg.header = "A: 1\r\nB: 2\r\na: 3\r\nA: 4\r\n"
	var got []string
	for _, c := range connect(t, path).send(msg).changes {
		if c.Type == gomilter.ActionChangeHeader {
			got = append(got, fmt.Sprintf("%s %d%s", c.HeaderName, c.HeaderIndex, c.HeaderValue))
		}
	}
	if want := []string{"A 3", "a 2", "B 1", "A 1"}; !slices.Equal(got, want) {
		t.Errorf("deletes %q, want %q", got, want)
	}
}

func TestTransaction(t *testing.T) {
	tests := []struct {
		name  string
		msg   message
		user  string
		idAt  gomilter.MacroStage
		macro gomilter.MacroName
	}{
		{"authenticated", simple(), "user@alfa.example", gomilter.StageData, "i"},
		{"not authenticated", simple(), "", gomilter.StageData, "i"},
		{"null reverse path", message{"", []string{"a@b"}, "A: b\r\n", ""}, "", gomilter.StageEOM, "i"},
		{"queue id at MAIL", simple(), "u", gomilter.StageMail, "i"},
		{"no queue id", simple(), "u", gomilter.StageMail, "j"},
		{"odd addresses", message{`"a b"@alfa.example`, []string{"Dest@BETA.example", `"<>"@x`, "@a,@b:c@d", "città@è.it"}, "A: b\r\n", ""},
			"u", gomilter.StageData, "i"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got point.Transaction
			door := &fakeDoor{
				recipient: func(tr *point.Transaction, r string) (point.Handling, error) {
					if want := tt.msg.recipients[len(tr.Recipients)]; r != want {
						t.Errorf("asked for recipient %q, want %q", r, want)
					}
					return point.Certify, nil
				},
				handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
					got = *tr
					return &point.Verdict{}, nil
				},
			}
			path, _ := serve(t, door)
			m := connect(t, path, gomilter.WithoutDefaultMacros(),
				gomilter.WithMacroRequest(gomilter.StageMail, []string{gomilter.MacroAuthAuthen}),
				gomilter.WithMacroRequest(tt.idAt, []string{tt.macro, gomilter.MacroAuthAuthen}))
			m.macros.Set(gomilter.MacroAuthAuthen, tt.user)
			if a := m.send(tt.msg); a.reply != "accept" || len(a.changes) != 0 {
				t.Errorf("answer is %+v, want accept and no change", a)
			}
			wantID := map[gomilter.MacroName]string{"i": "4bQ1z"}[tt.macro]
			if got.QueueID != wantID || got.User != tt.user || got.ReversePath != tt.msg.sender || !got.Time.Equal(testTime) {
				t.Errorf("transaction is %+v", got)
			}
			if !slices.Equal(got.Recipients, tt.msg.recipients) {
				t.Errorf("recipients are %q, want %q", got.Recipients, tt.msg.recipients)
			}
		})
	}
}

// TestTLS: SM-08, whether the client spoke in clear is known at each message of a
// connection.
func TestTLS(t *testing.T) {
	for stage, want := range map[gomilter.MacroStage]string{gomilter.StageHelo: "TLSv1.3", gomilter.StageEOM: ""} {
		var got []string
		path, _ := serve(t, &fakeDoor{handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
			got = append(got, tr.TLS)
			return &point.Verdict{}, nil
		}})
		m := connect(t, path, gomilter.WithoutDefaultMacros(), gomilter.WithMacroRequest(stage, []string{gomilter.MacroTlsVersion}))
		m.send(simple())
		m.send(simple())
		if !slices.Equal(got, []string{want, want}) {
			t.Errorf("TLS told at stage %d: got %q, want %q twice", stage, got, want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	const outbox = "accettazione.abc@outbox.pec-milter.invalid"
	recipients := []string{"Dest@BETA.example", "two@beta.example"}
	var sentAt time.Time
	tests := []struct {
		name           string
		verdict        *point.Verdict
		want           string
		wantRecipients []string
		wantLog        string
	}{
		{"zero passes unmodified", &point.Verdict{}, "accept", recipients, ""},
		{"discard", &point.Verdict{Discard: true}, "discard", recipients, ""},
		{"remove all recipients, add one", &point.Verdict{RemoveRecipients: true, AddRecipients: []string{outbox}}, "accept",
			[]string{"<" + outbox + "> NOTIFY=NEVER"}, ""},
		{"add recipients", &point.Verdict{AddRecipients: []string{"a@b", "c@d"}}, "accept",
			append(slices.Clone(recipients), "<a@b> NOTIFY=NEVER", "<c@d> NOTIFY=NEVER"), ""},
		{"sent", &point.Verdict{Sent: func(_ context.Context, at time.Time) error { sentAt = at; return nil }}, "accept", recipients, ""},
		{"sent fails", &point.Verdict{Sent: func(context.Context, time.Time) error { return errInside }}, temporary, recipients, errInside.Error()},
		{"sent panics", &point.Verdict{Sent: func(context.Context, time.Time) error { panic("bang") }}, temporary, recipients, "bang"},
		{"none", nil, temporary, recipients, "no verdict"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			door := &fakeDoor{handle: func(context.Context, *point.Transaction) (*point.Verdict, error) { return tt.verdict, nil }}
			path, logged := serve(t, door)
			msg := simple()
			msg.recipients = slices.Clone(recipients)
			answer := connect(t, path).send(msg)
			if answer.reply != tt.want {
				t.Errorf("answer is %q, want %q", answer.reply, tt.want)
			}
			queued := answer.changed(t, msg)
			if !slices.Equal(queued.recipients, tt.wantRecipients) {
				t.Errorf("recipients are %q, want %q", queued.recipients, tt.wantRecipients)
			}
			if queued.header != msg.header || queued.body != msg.body {
				t.Errorf("message became %q", queued.header+queued.body)
			}
			if !strings.Contains(logged.String(), tt.wantLog) {
				t.Errorf("log has no %q:\n%s", tt.wantLog, logged)
			}
		})
	}
	if !sentAt.Equal(testTime) {
		t.Errorf("Sent was called with %v, want %v", sentAt, testTime)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name    string
		err     error
		want    string
		wantLog string
	}{
		{"permanent", &point.Reply{Code: 553, Status: "5.7.1", Text: "not your address"}, "553 5.7.1 not your address", "refused"},
		{"temporary", &point.Reply{Code: 452, Status: "4.5.3", Text: "one class at a time"}, "452 4.5.3 one class at a time", "refused"},
		{"wrapped", fmt.Errorf("judging: %w", &point.Reply{Code: 550, Status: "5.7.1", Text: "no"}), "550 5.7.1 no", "judging"},
		{"other error", fmt.Errorf("asking: %w", errInside), temporary, errInside.Error()},
		{"reply that is no refusal", &point.Reply{Code: 250, Status: "2.0.0", Text: "ok"}, temporary, "250 2.0.0"},
	}
	for _, tt := range tests {
		doors := map[string]*fakeDoor{
			"MAIL":           {mail: func(*point.Transaction) (point.Handling, error) { return point.Certify, tt.err }},
			"RCPT":           {recipient: func(*point.Transaction, string) (point.Handling, error) { return point.Certify, tt.err }},
			"end of message": {handle: func(context.Context, *point.Transaction) (*point.Verdict, error) { return nil, tt.err }},
		}
		for event, door := range doors {
			t.Run(tt.name+" at "+event, func(t *testing.T) {
				path, logged := serve(t, door)
				m := connect(t, path)
				for range 2 { // the connection stays of use
					if got := m.send(simple()); got.reply != tt.want || len(got.changes) != 0 {
						t.Errorf("answer is %+v, want %q", got, tt.want)
					}
					m.Abort(nil)
				}
				if got := logged.String(); !strings.Contains(got, tt.wantLog) || !strings.Contains(got, event) {
					t.Errorf("log has no %q and %q:\n%s", tt.wantLog, event, got)
				}
			})
		}
	}
}

// One recipient's refusal leaves the others.
func TestRecipientRefused(t *testing.T) {
	var got []string
	door := &fakeDoor{
		recipient: func(_ *point.Transaction, r string) (point.Handling, error) {
			if r == "bad@x" {
				return point.Certify, &point.Reply{Code: 550, Status: "5.1.1", Text: "unknown"}
			}
			return point.Certify, nil
		},
		handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
			got = tr.Recipients
			return &point.Verdict{}, nil
		},
	}
	path, _ := serve(t, door)
	msg := simple()
	msg.recipients = []string{"a@x", "bad@x", "b@x"}
	if a := connect(t, path).send(msg); a.reply != "accept" {
		t.Errorf("answer is %q, want accept", a.reply)
	}
	if want := []string{"a@x", "b@x"}; !slices.Equal(got, want) {
		t.Errorf("recipients are %q, want %q", got, want)
	}
}

func TestReplaceFails(t *testing.T) {
	door := &fakeDoor{handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
		return replaceThen(tr, func() error { return errors.New("input/output error") })
	}}
	path, logged := serve(t, door)
	if a := connect(t, path).send(simple()); a.reply != temporary {
		t.Errorf("answer is %q, want %q", a.reply, temporary)
	}
	if !strings.Contains(logged.String(), "input/output error") {
		t.Errorf("log does not tell the cause:\n%s", logged)
	}
}
