package inject

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/pec-milter/pec-milter/internal/point"
)

// mta is the MTA at the injection port. What it is asked at each stage it
// answers with the error of that name.
type mta struct {
	mu       sync.Mutex
	failures map[string]error
	took     []string // "sender recipient message"
	envelope string
}

func (m *mta) NewSession(*smtp.Conn) (smtp.Session, error) { return m, m.failures["EHLO"] }
func (m *mta) Reset()                                      {}
func (m *mta) Logout() error                               { return nil }

func (m *mta) Mail(from string, _ *smtp.MailOptions) error {
	m.envelope = from
	return m.failures["MAIL"]
}

func (m *mta) Rcpt(to string, _ *smtp.RcptOptions) error {
	m.envelope += " " + to
	return m.failures["RCPT"]
}

func (m *mta) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.took = append(m.took, m.envelope+" "+string(text))
	return m.failures["message"]
}

// listen runs an MTA until the test ends.
func listen(t *testing.T, failures map[string]error) (*mta, *Injector) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mta{failures: failures}
	server := smtp.NewServer(m)
	server.ErrorLog = log.New(io.Discard, "", 0)
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return m, New(listener.Addr().String(), "pec.alfa.example", 20*time.Second)
}

const notice = "Subject: ACCETTAZIONE: x\r\n\r\n.hello\r\n"

func TestInject(t *testing.T) {
	mta, injector := listen(t, nil)
	for range 2 {
		if err := injector.Inject(context.Background(), "posta-certificata@alfa.example", "u@beta.example", strings.NewReader(notice)); err != nil {
			t.Fatalf("Inject() = %v, want nil", err)
		}
	}
	if err := injector.Inject(context.Background(), "", "u@beta.example", strings.NewReader(notice)); err != nil {
		t.Fatalf("Inject() from <> = %v, want nil", err)
	}
	want := "posta-certificata@alfa.example u@beta.example " + notice
	if len(mta.took) != 3 || mta.took[0] != want || mta.took[2] != " u@beta.example "+notice {
		t.Errorf("the MTA took %q, want %q twice, and once from <>", mta.took, want)
	}
}

// TestEveryFailureIsTemporary: an error names port, stage and reply, and no
// caller can take it for a refusal of the recipient.
func TestEveryFailureIsTemporary(t *testing.T) {
	for _, c := range []struct {
		stage, failing string
		code           int
		took           int
	}{
		{"greeting", "EHLO", 421, 0}, {"MAIL", "MAIL", 452, 0}, {"MAIL", "MAIL", 550, 0}, {"RCPT", "RCPT", 450, 0},
		{"RCPT", "RCPT", 550, 0}, {"reply to the message", "message", 451, 1}, {"reply to the message", "message", 554, 1},
	} {
		failure := &smtp.SMTPError{Code: c.code, EnhancedCode: smtp.EnhancedCode{c.code / 100, 7, 1}, Message: "said no"}
		mta, injector := listen(t, map[string]error{c.failing: failure})
		err := injector.Inject(context.Background(), "s@a", "u@b", strings.NewReader(notice))
		if err == nil || errors.As(err, new(*point.Reply)) {
			t.Fatalf("%d at %s: Inject() = %v, want an error that is no *point.Reply", c.code, c.failing, err)
		}
		for _, want := range []string{injector.mta.Address, c.stage, "7.1 said no", `"u@b"`} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%d at %s: error %q, want %q in it", c.code, c.failing, err, want)
			}
		}
		if len(mta.took) != c.took {
			t.Errorf("%d at %s: the MTA saw %d messages, want %d", c.code, c.failing, len(mta.took), c.took)
		}
	}
}

// TestReplyLost: a message whose reply is lost is not sent again.
func TestReplyLost(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	connections := make(chan int, 10)
	go func() {
		for n := 1; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections <- n
			takeAndHangUp(conn)
		}
	}()
	injector := New(listener.Addr().String(), "x", 20*time.Second)
	err = injector.Inject(context.Background(), "s@a", "u@b", strings.NewReader(notice))
	if err == nil || !strings.Contains(err.Error(), "reply to the message") {
		t.Errorf("Inject() = %v, want a lost reply", err)
	}
	time.Sleep(100 * time.Millisecond)
	if n := len(connections); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// takeAndHangUp takes one message and gives no reply to it.
func takeAndHangUp(conn net.Conn) {
	defer conn.Close()
	io.WriteString(conn, "220 x\r\n")
	var seen string
	for buffer := make([]byte, 4096); !strings.HasSuffix(seen, "\r\n.\r\n"); {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		seen += string(buffer[:n])
		if strings.HasSuffix(seen, "DATA\r\n") {
			io.WriteString(conn, "354 go\r\n")
		} else if !strings.Contains(seen, "DATA\r\n") {
			io.WriteString(conn, "250 ok\r\n")
		}
	}
}

// TestInjectRefusesInjection is case IN-13: not even a connection is opened.
func TestInjectRefusesInjection(t *testing.T) {
	mta, injector := listen(t, nil)
	for _, address := range []string{"u@b\r\nRCPT TO:<v@b>", "u@b\nx", "u@b\r", "u<@b", "u@b>", "u@b> SIZE=1", "<u@b>"} {
		for _, paths := range [][2]string{{address, "u@b"}, {"s@a", address}} {
			err := injector.Inject(context.Background(), paths[0], paths[1], strings.NewReader(notice))
			if err == nil || !strings.Contains(err.Error(), "address") {
				t.Errorf("Inject(%q) = %v, want a complaint about the address", paths, err)
			}
		}
	}
	if mta.envelope != "" {
		t.Errorf("the MTA saw %q, want nothing", mta.envelope)
	}
}

func TestMTAIsDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	injector := New(listener.Addr().String(), "", time.Minute)
	err = injector.Inject(context.Background(), "s@a", "u@b", strings.NewReader(notice))
	if err == nil || !strings.Contains(err.Error(), "connecting") || !strings.Contains(err.Error(), injector.mta.Address) {
		t.Errorf("Inject() = %v, want the port and that nobody listens", err)
	}
}
