package point_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/state"
	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// world is two providers, alfa and beta, with an MTA each that is a list in
// memory: the doors are real, and so are signatures, legal log and state.
type world struct {
	t           *testing.T
	now         time.Time
	tls         string // by which mail comes
	alfa, beta  *node
	ordinary    [][]byte // what left for addresses outside PEC
	revocations []*x509.RevocationList
	providers   []*pec.Provider
	roots       *x509.CertPool
}

// node is one provider.
type node struct {
	world     *world
	provider  *point.Provider
	log       *legallog.Log
	queue     []*mail
	mailboxes map[string][][]byte
	key       crypto.Signer
	earlier   []point.Credential
	chain     []*x509.Certificate
	storeErr  func(recipient string) error // before storing
	storedErr func(recipient string) error // after storing: the reply is lost
	injectErr func() error                 // after the injection: the reply is lost
	scanErr   error
	viruses   []string         // bodies with these words are infected
	kept      []point.Infected // in quarantine
}

// mail is a message in an MTA's queue.
type mail struct {
	from       string
	recipients []string
	data       []byte
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: start, tls: "TLSv1.3", roots: x509.NewCertPool()}
	keys, err := makeKeys()
	check(t, err)
	w.roots.AddCert(keys.ca.Certificate())
	der, err := keys.ca.Revoke(start.Add(48 * time.Hour))
	check(t, err)
	list, err := x509.ParseRevocationList(der)
	check(t, err)
	w.revocations = []*x509.RevocationList{list}
	w.alfa, w.beta = w.newNode("alfa", keys.alfa), w.newNode("beta", keys.beta)
	return w
}

// start is when every test begins.
var start = time.Date(2026, 3, 14, 9, 26, 53, 123456789, time.UTC)

// keys are made once: that is what costs time.
type keys struct {
	ca         *testpki.Authority
	alfa, beta *testpki.Credential
}

var makeKeys = sync.OnceValues(func() (k keys, err error) {
	if k.ca, err = testpki.NewRoot(testpki.Source{Now: start, Rand: rand.Reader}, "Test CA"); err != nil {
		return k, err
	}
	if k.alfa, err = k.ca.NewProvider("alfa PEC S.p.A.", "posta-certificata@pec.alfa.example"); err != nil {
		return k, err
	}
	k.beta, err = k.ca.NewProvider("beta PEC S.p.A.", "posta-certificata@pec.beta.example")
	return k, err
})

func (w *world) newNode(name string, credential *testpki.Credential) *node {
	domain := "pec." + name + ".example"
	identity := point.Identity{
		Name: name + " PEC S.p.A.", Domain: domain, Domains: []string{domain},
		Address: "posta-certificata@" + domain, MailReceipt: "servizio@" + domain,
	}
	w.providers = append(w.providers, &pec.Provider{
		Name: identity.Name, Certificates: credential.Chain[:1], MailReceipt: identity.MailReceipt, Domains: identity.Domains,
	})
	n := &node{world: w, mailboxes: map[string][][]byte{}, key: credential.Key, chain: credential.Chain}
	path := filepath.Join(w.t.TempDir(), name+".db")
	db, err := sql.Open("sqlite", legallog.SQLiteDSN(path))
	check(w.t, err)
	n.log, err = legallog.Open(db, "one")
	check(w.t, err)
	quiet := slog.New(slog.DiscardHandler)
	store, err := state.Open(db, name, w.clock, quiet)
	check(w.t, err)
	w.t.Cleanup(func() { n.log.Close(); db.Close() })
	n.provider = &point.Provider{
		Identity: identity, Secret: point.Secret("secret of " + name + " with 32 bytes or more"), Clock: w.clock, Logger: quiet,
		Trust: w, Accounts: accounts{}, Signer: n, Injector: n, Store: n, State: store, Log: n.log, Records: n.log,
		Scanner: n, Quarantine: n,
	}
	return n
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) clock() time.Time { return w.now }

// Current, ByDomain and ByCertificateHash: the world is the directory.
func (w *world) Current() (*pec.Trust, error) {
	return &pec.Trust{Directory: w, Roots: w.roots, Revocations: w.revocations}, nil
}

func (w *world) ByDomain(domain string) *pec.Provider {
	for _, p := range w.providers {
		if p.Manages("x@" + domain) {
			return p
		}
	}
	return nil
}

func (w *world) ByCertificateHash(hash string) []*pec.Provider {
	for _, p := range w.providers {
		for _, c := range p.Certificates {
			if sum := sha1.Sum(c.Raw); strings.EqualFold(hex.EncodeToString(sum[:]), hash) {
				return []*pec.Provider{p}
			}
		}
	}
	return nil
}

// accounts: the user is the address; aperta@ takes ordinary mail.
type accounts struct{}

func (accounts) Owns(user, address string) bool { return user == address }

func (accounts) Policy(address string) point.OrdinaryPolicy {
	switch {
	case strings.HasPrefix(address, "aperta@"):
		return point.OrdinaryPolicy{Accept: true}
	case strings.HasPrefix(address, "inoltro@"):
		return point.OrdinaryPolicy{Forward: "elsewhere@example.org"}
	}
	return point.OrdinaryPolicy{}
}

// Earlier are the certificates that were replaced.
func (n *node) Earlier() []point.Credential { return n.earlier }

func (n *node) Current() (crypto.Signer, []*x509.Certificate, error) { return n.key, n.chain, nil }

// Scan finds the words in viruses.
func (n *node) Scan(_ context.Context, message io.WriterTo) (point.Finding, error) {
	data := written(n.world.t, message)
	for _, v := range n.viruses {
		if bytes.Contains(data, []byte(v)) {
			return point.Finding{Virus: v}, nil
		}
	}
	return point.Finding{}, n.scanErr
}

func (n *node) Put(_ context.Context, item point.Infected, _ io.WriterTo) error {
	n.kept = append(n.kept, item)
	return nil
}

// Inject puts a notice into the queue.
func (n *node) Inject(_ context.Context, from, to string, message io.WriterTo) error {
	n.queue = append(n.queue, &mail{from, []string{to}, written(n.world.t, message)})
	if n.injectErr != nil {
		return n.injectErr()
	}
	return nil
}

// Store is the mailbox store: like Dovecot with sieve duplicate, it drops what
// has a trace header that it has seen.
func (n *node) Store(_ context.Context, _, recipient string, message io.WriterTo) (string, error) {
	if n.storeErr != nil {
		if err := n.storeErr(recipient); err != nil {
			return "", err
		}
	}
	data := written(n.world.t, message)
	trace, _, _ := strings.Cut(string(data), "\r\n")
	if !strings.HasPrefix(trace, pec.HeaderTrace+": ") {
		n.world.t.Errorf("stored without trace header: %q", trace)
	}
	for _, m := range n.mailboxes[recipient] {
		if bytes.HasPrefix(m, []byte(trace+"\r\n")) {
			return "duplicate", nil
		}
	}
	n.mailboxes[recipient] = append(n.mailboxes[recipient], data)
	if n.storedErr != nil {
		return "", n.storedErr(recipient)
	}
	return "saved", nil
}

func written(t *testing.T, message io.WriterTo) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := message.WriteTo(&b)
	check(t, err)
	return b.Bytes()
}

func (w *world) transaction(m *mail, user string) *point.Transaction {
	w.t.Helper()
	message, err := pec.ReadMessage(bytes.NewReader(m.data), int64(len(m.data)))
	check(w.t, err)
	body, err := io.ReadAll(io.NewSectionReader(message.Body, 0, message.Body.Size()))
	check(w.t, err)
	return &point.Transaction{
		QueueID: "4Q", Time: w.now, User: user, TLS: w.tls, ReversePath: m.from, Recipients: m.recipients,
		Message: message, BodyDigest: sha256.Sum256(body),
	}
}

// front is what access and incoming point have in common.
type front interface {
	Mail(context.Context, *point.Transaction) (point.Handling, error)
	Recipient(context.Context, *point.Transaction, string) (point.Handling, error)
	Handle(context.Context, *point.Transaction) (*point.Verdict, error)
}

// take is an MTA's SMTP service with a milter: what the door lets through goes
// into the queue. commit false: the MTA dies before it has the message.
func (n *node) take(door front, m *mail, user string, commit bool) error {
	t := n.world.transaction(m, user)
	all := t.Recipients
	t.Recipients = nil
	if _, err := door.Mail(context.Background(), t); err != nil {
		return err
	}
	for _, r := range all {
		if _, err := door.Recipient(context.Background(), t, r); err != nil {
			return err
		}
		t.Recipients = append(t.Recipients, r)
	}
	verdict, err := door.Handle(context.Background(), t)
	if err != nil || verdict.Discard {
		return err
	}
	data := m.data
	if verdict.Replace != nil {
		data = written(n.world.t, verdict.Replace)
	}
	if verdict.Sent != nil {
		if err := verdict.Sent(context.Background(), n.world.now); err != nil {
			return err
		}
	}
	if verdict.RemoveRecipients {
		t.Recipients = nil
	}
	if commit {
		n.queue = append(n.queue, &mail{m.from, append(t.Recipients, verdict.AddRecipients...), data})
	}
	return nil
}

func (n *node) submit(m *mail) error {
	return n.take(&point.Access{Provider: n.provider}, m, m.from, true)
}

func (n *node) receive(m *mail) error {
	return n.take(&point.Incoming{Provider: n.provider}, m, "", true)
}

// run runs both queues until nothing moves any more.
func (w *world) run() {
	for moved := true; moved; {
		moved = w.alfa.runQueue() || w.beta.runQueue()
	}
}

// runQueue tries each message once; what a recipient's server does not take
// stays.
func (n *node) runQueue() bool {
	moved := false
	queue := n.queue
	n.queue = nil
	for _, m := range queue {
		var left []string
		for _, r := range m.recipients {
			one := &mail{m.from, []string{r}, m.data}
			if err := n.send(one); err != nil {
				left = append(left, r)
			}
		}
		moved = moved || len(left) < len(m.recipients)
		if len(left) > 0 {
			n.queue = append(n.queue, &mail{m.from, left, m.data})
		}
	}
	return moved
}

// send hands a message with one recipient to whom it belongs. A permanent
// refusal ends it.
func (n *node) send(m *mail) error {
	recipient := m.recipients[0]
	var err error
	switch domain := pec.Domain(recipient); {
	case domain == point.OutboxDomain || domain == n.provider.Identity.Domain:
		door := &point.DeliveryPoint{Provider: n.provider}
		if err = door.Recipient(context.Background(), &point.Transaction{}, recipient); err == nil {
			err = door.Deliver(context.Background(), n.world.transaction(m, ""))[0]
		}
	case domain == n.world.alfa.provider.Identity.Domain:
		err = n.world.alfa.receive(m)
	case domain == n.world.beta.provider.Identity.Domain:
		err = n.world.beta.receive(m)
	default:
		n.world.ordinary = append(n.world.ordinary, m.data)
	}
	if reply := (*point.Reply)(nil); errors.As(err, &reply) && reply.Permanent() {
		return nil
	}
	return err
}

// kinds are the PEC kinds of what is in a mailbox, in order.
func (n *node) kinds(mailbox string) string {
	var kinds []string
	for _, data := range n.mailboxes[mailbox] {
		m, err := pec.ReadMessage(bytes.NewReader(data), int64(len(data)))
		check(n.world.t, err)
		kinds = append(kinds, m.Header.Get(pec.HeaderTransport)+m.Header.Get(pec.HeaderReceipt))
	}
	return strings.Join(kinds, " ")
}

func message(from, to string) []byte {
	return []byte("From: <" + from + ">\r\nTo: " + to + "\r\nSubject: Prova\r\nDate: Sat, 14 Mar 2026 10:26:49 +0100\r\n" +
		"Message-ID: <m1@client.example>\r\n\r\nBuongiorno.\r\n")
}
