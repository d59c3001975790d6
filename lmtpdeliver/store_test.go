package lmtpdeliver

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// dovecot answers as Dovecot does: the reply to each command is that of its
// first word; "end" answers the message, and "cut" closes the connection.
func dovecot(t *testing.T, replies map[string]string) *MailStore {
	t.Helper()
	listener, err := net.Listen("unix", t.TempDir()+"/lmtp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "220 beta.example Dovecot ready.\r\n")
		in := bufio.NewReader(conn)
		for data := false; ; {
			line, err := in.ReadString('\n')
			command := strings.ToUpper(strings.TrimSpace(strings.SplitN(line, " ", 2)[0]))
			switch {
			case err != nil:
				return
			case data && line != ".\r\n":
				continue
			case data:
				command = "end"
			}
			reply := replies[command]
			if reply == "cut" {
				return
			}
			data = strings.HasPrefix(reply, "354")
			io.WriteString(conn, reply+"\r\n")
		}
	}()
	return NewMailStore("unix", listener.Addr().String(), "beta.example", 20*time.Second)
}

func TestStore(t *testing.T) {
	const saved = "250 2.0.0 <u@beta.example> ABmdVq/A Saved"
	for _, c := range []struct {
		name, command, reply string
		receipt              string
		want                 *point.Reply
		temporary            string // of another error
	}{
		{name: "stored", receipt: "2.0.0 <u@beta.example> ABmdVq/A Saved"},
		{name: "no such user", command: "RCPT", reply: "550 5.1.1 <u@beta.example> User doesn't exist: u@beta.example",
			want: &point.Reply{Code: 550, Status: "5.1.1", Text: "<u@beta.example> User doesn't exist: u@beta.example"}},
		{name: "over quota", command: "end", reply: "552 5.2.2 <u@beta.example> Quota exceeded (mailbox for user is full)",
			want: &point.Reply{Code: 552, Status: "5.2.2", Text: "<u@beta.example> Quota exceeded (mailbox for user is full)"}},
		{name: "user database down", command: "RCPT", reply: "451 4.3.0 <u@beta.example> Temporary internal error",
			want: &point.Reply{Code: 451, Status: "4.3.0", Text: "<u@beta.example> Temporary internal error"}},
		{name: "sender refused", command: "MAIL", reply: "501 5.5.4 Invalid FROM", want: &point.Reply{Code: 501, Status: "5.5.4", Text: "Invalid FROM"}},
		{name: "not now", command: "DATA", reply: "452 4.3.1 full", want: &point.Reply{Code: 452, Status: "4.3.1", Text: "full"}},
		{name: "refused before it knew of the message", command: "LHLO", reply: "550 5.7.1 go away", temporary: "greeting: 550 5.7.1 go away"},
		{name: "cut before the message", command: "DATA", reply: "cut", temporary: "DATA"},
		{name: "cut after the message", command: "end", reply: "cut", temporary: "reply to the message"},
	} {
		t.Run(c.name, func(t *testing.T) {
			replies := map[string]string{"LHLO": "250 beta.example", "MAIL": "250 2.1.0 OK", "RCPT": "250 2.1.5 OK",
				"DATA": "354 OK", "end": saved, "QUIT": "221 2.0.0 Bye"}
			if c.command != "" {
				replies[c.command] = c.reply
			}
			receipt, err := dovecot(t, replies).Store(context.Background(), "s@a", "u@beta.example", pec.Message{Header: pec.Header{pec.NewField("A", "b")}})
			checkStored(t, receipt, err, c.receipt, c.want, c.temporary)
		})
	}
}

func checkStored(t *testing.T, receipt string, err error, wantReceipt string, want *point.Reply, temporary string) {
	t.Helper()
	reply, isReply := err.(*point.Reply)
	switch {
	case receipt != wantReceipt:
		t.Errorf("receipt = %q, want %q", receipt, wantReceipt)
	case want != nil && (!isReply || *reply != *want):
		t.Errorf("error = %v, want %v", err, want)
	case temporary != "" && (err == nil || isReply || !strings.Contains(err.Error(), temporary) || !strings.Contains(err.Error(), "unix:")):
		t.Errorf("error = %v, want one with %q in it that is no reply", err, temporary)
	case want == nil && temporary == "" && err != nil:
		t.Errorf("error = %v, want none", err)
	}
}

// TestStoreKeepsConnection: the next message goes over the connection of the last one;
// this store takes no other.
func TestStoreKeepsConnection(t *testing.T) {
	store := dovecot(t, map[string]string{"LHLO": "250 x", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go", "end": "250 2.0.0 saved", "QUIT": "221 bye"})
	for range 3 {
		if _, err := store.Store(context.Background(), "s@a", "u@b", pec.Message{Body: strings.NewReader("x\r\n")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStoreIsDown(t *testing.T) {
	store := NewMailStore("unix", t.TempDir()+"/none", "", time.Minute)
	_, err := store.Store(context.Background(), "s@a", "u@b", pec.Message{})
	if errors.As(err, new(*point.Reply)) || err == nil {
		t.Errorf("Store() = %v, want an error that is no reply", err)
	}
}

// TestStoreRefusesInjection is case IN-13: no command is made of an address.
func TestStoreRefusesInjection(t *testing.T) {
	store := dovecot(t, nil)
	_, err := store.Store(context.Background(), "s@a", "u@b>\r\nRCPT TO:<v@b", pec.Message{})
	if errors.As(err, new(*point.Reply)) || err == nil || !strings.Contains(err.Error(), "address") {
		t.Errorf("Store() = %v, want a complaint of ours about the address", err)
	}
}

// TestStoreToServer: client and server of this package agree about every byte,
// and about addresses.
func TestStoreToServer(t *testing.T) {
	d, seen := keep(t)
	server := start(t, d)
	store := NewMailStore("unix", server.socket, "x", 20*time.Second)
	body := ".\r\n..\r\n\x00\xff\r\n" + strings.Repeat("long ", 100_000) + "\r\n\r\n.\r\n"
	m := pec.Message{Header: pec.Header{pec.NewField("A", "b\r\n c")}, Body: strings.NewReader(body)}
	for n, recipient := range []string{"U.V@b", `"a b>\"c"@d`, `"a..b"@c`, "è@b"} {
		receipt, err := store.Store(context.Background(), "", recipient, m)
		if err != nil || !strings.HasPrefix(receipt, "2.1.5 <") {
			t.Fatalf("Store(%q) = %q, %v, want the server's reply", recipient, receipt, err)
		}
		got := seen()[n]
		if got.Recipients[0] != recipient || got.ReversePath != "" || got.body != body || got.header != m.Header.String() {
			t.Errorf("arrived for %q from %q: %.100q, want it for %q as it was", got.Recipients, got.ReversePath, got.body, recipient)
		}
	}
}
