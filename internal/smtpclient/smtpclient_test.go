package smtpclient

import (
	"context"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

func TestSend(t *testing.T) {
	for _, c := range []struct {
		name       string
		lmtp       bool
		hello      string
		reply      string
		want       string
		wantHello  string
		beforeDATA string
	}{
		{"SMTP", false, "EHLO", "250 2.0.0 Ok: queued as 4abc", "2.0.0 Ok: queued as 4abc", "EHLO client.example", ""},
		{"LMTP", true, "LHLO", "250 2.0.0 <you@beta.example> xyz Saved", "2.0.0 <you@beta.example> xyz Saved", "LHLO client.example", ""},
		{"reply of several lines", true, "LHLO", "250-2.0.0 one\r\n250 2.0.0 two\tand", "2.0.0 one 2.0.0 two and", "LHLO client.example", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, seen := play(t, c.lmtp, accepting(c.hello, c.reply)...)
			got, err := send(server, text("Subject: x\r\n\r\nhello\r\n"))
			if err != nil || got != c.want {
				t.Errorf("Send() = %q, %v, want %q", got, err, c.want)
			}
			s := seen()
			want := []string{c.wantHello, "MAIL FROM:<me@alfa.example> BODY=8BITMIME", "RCPT TO:<you@beta.example>", "DATA", "QUIT"}
			if !reflect.DeepEqual(s.commands, want) {
				t.Errorf("commands = %q, want %q", s.commands, want)
			}
		})
	}
}

func TestSendNullReversePath(t *testing.T) {
	server, seen := play(t, false, "220 hi", "<EHLO", "250 me", "<MAIL", "451 later")
	if _, err := server.Send(context.Background(), "", "you@beta.example", text("")); err == nil {
		t.Error("Send() = nil, want the 451")
	}
	if got, want := seen().commands[1], "MAIL FROM:<>"; got != want {
		t.Errorf("command = %q, want %q: 8BITMIME was not announced", got, want)
	}
}

// TestRefusals: which replies say something about the message.
func TestRefusals(t *testing.T) {
	upTo := func(n int, reply string) []string { return append(accepting("LHLO", "")[:n:n], reply) }
	for _, c := range []struct {
		name  string
		steps []string
		stage Stage
		want  *point.Reply
		text  string
	}{
		{"greeting 421", []string{"421 4.3.2 too busy"}, StageHello, nil, "421 4.3.2 too busy"},
		{"greeting 554", []string{"554 5.7.1 not you"}, StageHello, nil, "554 5.7.1 not you"},
		{"LHLO 550", []string{"220 hi", "<LHLO", "550 5.7.1 bad name"}, StageHello, nil, "550 5.7.1 bad name"},
		{"MAIL 452", upTo(6, "452 4.3.1 full"), StageMail, &point.Reply{Code: 452, Status: "4.3.1", Text: "full"}, "452 4.3.1 full"},
		{"MAIL 552", upTo(6, "552 5.3.4 too big"), StageMail, &point.Reply{Code: 552, Status: "5.3.4", Text: "too big"}, ""},
		{"RCPT 550", upTo(8, "550 5.1.1 <you@beta.example> User doesn't exist"), StageRecipient,
			&point.Reply{Code: 550, Status: "5.1.1", Text: "<you@beta.example> User doesn't exist"}, ""},
		{"RCPT 450 without enhanced status", upTo(8, "450 later"), StageRecipient, &point.Reply{Code: 450, Status: "4.0.0", Text: "later"}, ""},
		{"RCPT 550 with a status of another class", upTo(8, "550 2.1.5 what"), StageRecipient, &point.Reply{Code: 550, Status: "5.0.0", Text: "what"}, ""},
		{"RCPT 550 with a negative status", upTo(8, "550 5.-1.1 what"), StageRecipient, &point.Reply{Code: 550, Status: "5.0.0", Text: "what"}, ""},
		{"RCPT 550 in two lines", upTo(8, "550-5.1.1 no such\r\n550 5.1.1 user\x00 here\xff"), StageRecipient,
			&point.Reply{Code: 550, Status: "5.1.1", Text: "no such user  here\uFFFD"}, ""},
		{"RCPT 354 is no refusal", upTo(8, "354 go"), StageRecipient, nil, "354 3.0.0 go"},
		{"DATA 554", upTo(10, "554 5.5.1 no"), StageData, &point.Reply{Code: 554, Status: "5.5.1", Text: "no"}, ""},
		{"over quota after DATA", upTo(12, "552 5.2.2 <you@beta.example> Quota exceeded"), StageReply,
			&point.Reply{Code: 552, Status: "5.2.2", Text: "<you@beta.example> Quota exceeded"}, ""},
		{"451 after DATA", upTo(12, "451 4.2.0 later"), StageReply, &point.Reply{Code: 451, Status: "4.2.0", Text: "later"}, ""},
		{"no reply at all", upTo(6, "hello?"), StageMail, nil, "hello?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, _ := play(t, true, c.steps...)
			_, err := send(server, text("\r\n"))
			checkError(t, err, c.stage, c.want, c.text)
		})
	}
}

// checkError also makes sure that no caller takes a refusal for permanent by
// accident.
func checkError(t *testing.T, err error, stage Stage, reply *point.Reply, wantText string) {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("error = %#v, want an *Error", err)
	}
	if failed.Stage != stage || !reflect.DeepEqual(failed.Reply, reply) {
		t.Errorf("error at %q with reply %v, want %q with %v", failed.Stage, failed.Reply, stage, reply)
	}
	if got := err.Error(); !strings.Contains(got, wantText) || !strings.Contains(got, "unix:") || !strings.Contains(got, string(stage)) {
		t.Errorf("error text %q, want server, stage and %q in it", got, wantText)
	}
	if errors.As(err, new(*point.Reply)) {
		t.Errorf("error %v unwraps to a *point.Reply", err)
	}
}

func TestConnectionCut(t *testing.T) {
	all := accepting("LHLO", "250 ok")
	for _, c := range []struct {
		stage Stage
		steps int
	}{
		{StageHello, 0}, {StageHello, 1}, {StageHello, 3}, {StageMail, 5}, {StageMail, 6},
		{StageRecipient, 7}, {StageRecipient, 8}, {StageData, 9}, {StageData, 10}, {StageReply, 12},
	} {
		server, _ := play(t, true, all[:c.steps]...)
		_, err := send(server, text("Subject: x\r\n\r\n"))
		checkError(t, err, c.stage, nil, "")
	}
}

// TestQuitDoesNotMatter: the message is delivered once its reply is read.
func TestQuitDoesNotMatter(t *testing.T) {
	all := accepting("LHLO", "250 2.0.0 stored")
	server, _ := play(t, true, all[:len(all)-2]...)
	if got, err := send(server, text("\r\n")); err != nil || got != "2.0.0 stored" {
		t.Errorf("Send() = %q, %v, want the reply although the server is gone at QUIT", got, err)
	}
}

func TestNobodyListens(t *testing.T) {
	server := &Server{Network: "unix", Address: t.TempDir() + "/none", Timeout: time.Minute}
	_, err := send(server, text(""))
	checkError(t, err, StageConnect, nil, "none")
}

func TestHang(t *testing.T) {
	all := accepting("LHLO", "250 ok")
	for _, c := range []struct {
		stage Stage
		steps int
	}{
		{StageHello, 0}, {StageHello, 2}, {StageMail, 6}, {StageRecipient, 8}, {StageData, 10}, {StageReply, 12},
	} {
		t.Run(string(c.stage), func(t *testing.T) {
			t.Parallel()
			server, seen := play(t, true, append(all[:c.steps:c.steps], "hang")...)
			server.Timeout = 200 * time.Millisecond
			_, err := send(server, text("Subject: x\r\n\r\n"))
			checkError(t, err, c.stage, nil, "not done within 200ms")
			seen() // the connection was closed, or this waits for ever
		})
	}
}

// TestHangWhileWriting: the server takes DATA and then reads nothing.
func TestHangWhileWriting(t *testing.T) {
	server, _ := play(t, true, append(accepting("LHLO", "")[:11:11], "deaf")...)
	server.Timeout = 300 * time.Millisecond
	_, err := send(server, &stream{size: 1 << 30, line: strings.Repeat("x", 4000)})
	checkError(t, err, StageMessage, nil, "not done within 300ms")
}

func TestCancelledByCaller(t *testing.T) {
	server, _ := play(t, false, "220 hi", "<EHLO", "hang")
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := server.Send(ctx, "", "you@beta.example", text(""))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Send() = %v, want context.Canceled", err)
	}
}

// half fails after its first line.
type half struct{}

func (half) WriteTo(w io.Writer) (int64, error) {
	io.WriteString(w, "Subject: x\r\n\r\nfirst line\r\n")
	return 0, errors.New("disk gone")
}

// TestMessageFails: the server must never see the end of a message that could
// not be read to its end.
func TestMessageFails(t *testing.T) {
	for _, lmtp := range []bool{true, false} {
		hello := "EHLO"
		if lmtp {
			hello = "LHLO"
		}
		server, seen := play(t, lmtp, accepting(hello, "250 ok")...)
		_, err := send(server, half{})
		checkError(t, err, StageMessage, nil, "disk gone")
		if s := seen(); strings.Contains("\r\n"+s.message, untilDot) {
			t.Errorf("server read %q: with a final dot", s.message)
		}
	}
}

// stream is a long message that is in memory nowhere.
type stream struct {
	size int
	line string
	peak uint64 // of the heap, in bytes
}

func (s *stream) WriteTo(w io.Writer) (int64, error) {
	line := []byte(s.line + "\r\n")
	var sent int64
	for i := 0; sent < int64(s.size); i++ {
		n, err := w.Write(line)
		sent += int64(n)
		if err != nil {
			return sent, err
		}
		if i%5000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			s.peak = max(s.peak, m.HeapAlloc)
		}
	}
	return sent, nil
}

func TestConstantMemory(t *testing.T) {
	steps := append(accepting("LHLO", "")[:11:11], "hang")
	server, _ := play(t, true, steps...)
	server.Timeout = 2 * time.Minute
	message := &stream{size: 50 << 20, line: strings.Repeat("x", 76)}
	ctx, cancel := context.WithCancel(context.Background())
	_, err := server.Send(ctx, "", "you@beta.example", cancelAfter{message, cancel})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Send() = %v, want context.Canceled after the whole message", err)
	}
	if peak := message.peak; peak == 0 || peak > 16<<20 {
		t.Errorf("heap was up to %d bytes for a message of 50 MiB, want under 16 MiB", peak)
	}
}

// cancelAfter ends a transaction whose server does not answer.
type cancelAfter struct {
	io.WriterTo
	cancel context.CancelFunc
}

func (c cancelAfter) WriteTo(w io.Writer) (int64, error) {
	defer c.cancel()
	return c.WriterTo.WriteTo(w)
}
