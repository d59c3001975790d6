package milter

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/spool"
	"github.com/pec-milter/pec-milter/pec"
)

// fakeDoor decides as a test says; what it does not say is certified and passes.
type fakeDoor struct {
	mail      func(*point.Transaction) (point.Handling, error)
	recipient func(*point.Transaction, string) (point.Handling, error)
	handle    func(context.Context, *point.Transaction) (*point.Verdict, error)
}

func (d *fakeDoor) Mail(_ context.Context, t *point.Transaction) (point.Handling, error) {
	if d.mail == nil {
		return point.Certify, nil
	}
	return d.mail(t)
}

func (d *fakeDoor) Recipient(_ context.Context, t *point.Transaction, r string) (point.Handling, error) {
	if d.recipient == nil {
		return point.Certify, nil
	}
	return d.recipient(t, r)
}

func (d *fakeDoor) Handle(ctx context.Context, t *point.Transaction) (*point.Verdict, error) {
	if d.handle == nil {
		return &point.Verdict{}, nil
	}
	return d.handle(ctx, t)
}

// testTime is what the clock of the tests says.
var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// serve starts a server for the door on a unix socket and gives its path and
// its log.
func serve(t testing.TB, door Door, settings ...func(*Config)) (path string, logged *lockedBuffer) {
	t.Helper()
	path = socketPath(t)
	l, err := Listen("unix:"+path, "")
	if err != nil {
		t.Fatal(err)
	}
	logged = &lockedBuffer{}
	startServer(t, l, door, logged, settings...)
	return path, logged
}

// startServer serves on l until the test ends.
func startServer(t testing.TB, l net.Listener, door Door, logged io.Writer, settings ...func(*Config)) *Server {
	t.Helper()
	log.SetOutput(logged) // the library's warnings
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	config := Config{
		Door:  door,
		Clock: func() time.Time { return testTime },
		Log:   slog.New(slog.NewTextHandler(logged, nil)),
		Spool: &spool.Room{Directory: t.TempDir()},
	}
	for _, set := range settings {
		set(&config)
	}
	server := NewServer(config)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown() = %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	return server
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// mta is an MTA's connection to the milter.
type mta struct {
	*gomilter.ClientSession
	t      *testing.T
	macros *gomilter.MacroBag
}

func connect(t *testing.T, path string, options ...gomilter.Option) *mta {
	t.Helper()
	macros := gomilter.NewMacroBag()
	macros.Set(gomilter.MacroQueueId, "4bQ1z")
	macros.Set(gomilter.MacroTlsVersion, "TLSv1.3")
	session, err := gomilter.NewClient("unix", path, options...).Session(macros)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	if _, err := session.Conn("client.example", gomilter.FamilyInet, 4711, "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Helo("client.example"); err != nil {
		t.Fatal(err)
	}
	return &mta{session, t, macros}
}

// message is what a client sends.
type message struct {
	sender     string
	recipients []string
	header     string // with CRLF
	body       string
}

func simple() message {
	return message{"user@alfa.example", []string{"dest@beta.example"}, "From: user@alfa.example\r\nSubject: ciao\r\n", "corpo\r\n"}
}

// answer is what became of a message.
type answer struct {
	reply   string // of the first event that was not answered with "go on"
	changes []gomilter.ModifyAction
}

// send sends a message as Postfix does, until something else than "go on" is
// answered. A refused recipient does not end it if there is another one.
func (m *mta) send(msg message) answer {
	m.t.Helper()
	if a, over := m.told(m.Mail(msg.sender, "")); over {
		return a
	}
	accepted := 0
	var refused answer
	for _, r := range msg.recipients {
		a, over := m.told(m.Rcpt(r, ""))
		if over {
			refused = a
			continue
		}
		accepted++
	}
	if accepted == 0 && len(msg.recipients) > 0 {
		return refused
	}
	if a, over := m.told(m.DataStart()); over {
		return a
	}
	for _, f := range fields(msg.header) {
		value := strings.ReplaceAll(f.Value, "\r\n", "\n")
		if !m.ProtocolOption(gomilter.OptHeaderLeadingSpace) { // as MTAs do unless they are asked not to
			value = strings.TrimPrefix(value, " ")
		}
		if _, err := m.HeaderField(f.Name, value, nil); err != nil {
			m.t.Fatal(err)
		}
	}
	if _, err := m.HeaderEnd(); err != nil {
		m.t.Fatal(err)
	}
	if msg.body == "" { // the library wants a piece of the body
		if _, err := m.BodyChunk(nil); err != nil {
			m.t.Fatal(err)
		}
	}
	changes, act, err := m.BodyReadFrom(strings.NewReader(msg.body))
	a, _ := m.told(act, err)
	a.changes = changes
	return a
}

// told tells the answer, and whether the message is over with it.
func (m *mta) told(act *gomilter.Action, err error) (answer, bool) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
	switch act.Type {
	case gomilter.ActionContinue:
		return answer{reply: "continue"}, false
	case gomilter.ActionAccept:
		return answer{reply: "accept"}, true
	case gomilter.ActionDiscard:
		return answer{reply: "discard"}, true
	}
	return answer{reply: act.SMTPReply}, true
}

// fields cuts a header section without looking into it.
func fields(section string) pec.Header {
	var h pec.Header
	for line := range strings.SplitSeq(strings.TrimSuffix(section, "\r\n"), "\r\n") {
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			h[len(h)-1].Value += "\r\n" + line
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		h = append(h, pec.Field{Name: name, Value: value})
	}
	return h
}

// changed is a message after the MTA has carried out the changes, as Postfix
// does it.
func (a answer) changed(t *testing.T, msg message) message {
	t.Helper()
	queued := append(pec.Header{pec.NewField("Received", "by the MTA itself")}, fields(msg.header)...)
	body := msg.body
	replaced := false
	for _, c := range a.changes {
		switch c.Type {
		case gomilter.ActionChangeHeader:
			queued = remove(t, queued, c.HeaderName, int(c.HeaderIndex))
		case gomilter.ActionInsertHeader:
			value := strings.ReplaceAll(c.HeaderValue, "\n", "\r\n")
			queued = slices.Insert(queued, int(c.HeaderIndex), pec.Field{Name: c.HeaderName, Value: value})
		case gomilter.ActionReplaceBody:
			if !replaced {
				body, replaced = "", true
			}
			body += string(c.Body)
		case gomilter.ActionDelRcpt:
			before := len(msg.recipients)
			msg.recipients = slices.DeleteFunc(msg.recipients, func(r string) bool { return "<"+r+">" == c.Rcpt })
			if len(msg.recipients) == before {
				t.Errorf("deletes recipient %q, who is not there", c.Rcpt)
			}
		case gomilter.ActionAddRcpt:
			msg.recipients = append(msg.recipients, c.Rcpt+" "+c.RcptArgs)
		default:
			t.Errorf("unexpected change %v", c)
		}
	}
	msg.header, msg.body = queued[1:].String(), body
	return msg
}

// remove deletes the field of that name and place; the MTA's own is not counted.
func remove(t *testing.T, h pec.Header, name string, place int) pec.Header {
	t.Helper()
	for i, f := range h {
		if i > 0 && strings.EqualFold(f.Name, name) {
			if place--; place == 0 {
				return slices.Delete(h, i, i+1)
			}
		}
	}
	t.Errorf("deletes a field %s that is not there", name)
	return h
}

// signed encloses a message in a signed one.
func signed(m pec.Message) (*pec.Signed, error) {
	issuer, err := testIssuer()
	if err != nil {
		return nil, err
	}
	draft, err := pec.NewAnomaly(m, pec.CertificationData{
		Sender: "user@alfa.example", Recipients: []pec.Recipient{{Address: "dest@beta.example", Kind: pec.Certified}},
		Provider: issuer.Name, Time: testTime, Detail: "a test",
	}, issuer)
	if err != nil {
		return nil, err
	}
	return draft.Sign(issuer)
}

// touchy is a body that does something before it is read, once that is set.
type touchy struct {
	pec.Body
	first func() error
}

func (b *touchy) ReadAt(p []byte, at int64) (int, error) {
	if b.first != nil {
		if err := b.first(); err != nil {
			return 0, err
		}
	}
	return b.Body.ReadAt(p, at)
}

// replaceThen replaces a message by one that encloses it; first happens before
// each read of the body when the new message is written.
func replaceThen(t *point.Transaction, first func() error) (*point.Verdict, error) {
	body := &touchy{Body: t.Message.Body}
	replacement, err := signed(pec.Message{Header: t.Message.Header, Body: body})
	body.first = first
	return &point.Verdict{Replace: replacement}, err
}

var testIssuer = sync.OnceValues(func() (pec.Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pec.Issuer{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: testTime.AddDate(-1, 0, 0), NotAfter: testTime.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return pec.Issuer{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return pec.Issuer{Name: "Test", Address: "posta-certificata@test.example", Key: key,
		Chain: []*x509.Certificate{certificate}, Seed: []byte("0123456789abcdef")}, err
})

var errInside = errors.New("something inside that nobody may see")

const temporary = "451 4.3.0 temporary failure, try again later"

// read is all of a body.
func read(b pec.Body) string {
	all, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		return fmt.Sprintf("cannot be read: %v", err)
	}
	return string(all)
}
