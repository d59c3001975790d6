package fault

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// accepted is the daemon's end of a connection to a door, and the MTA's.
func accepted(t *testing.T, door, order string) (ours, mta net.Conn, killed *int) {
	t.Helper()
	killed = new(int)
	i, _ := ordered(t, &order, killed)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if mta, err = net.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if ours, err = i.Listener(door, l).Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); mta.Close() })
	return ours, mta, killed
}

// frame is a frame of the milter protocol.
func frame(letter byte, data string) string {
	return string([]byte{0, 0, 0, byte(len(data) + 1), letter}) + data
}

func TestMilterPoints(t *testing.T) {
	end := frame('L', "E\x00a\x00") + frame('B', "aEab") + frame('E', "")
	answer := []string{frame('b', "")[:3] + "\x0bb", "0123456789", frame('a', "")}
	for _, c := range []struct {
		name, order, comes string
		written            string // what the MTA sees
		killed             int
	}{
		{"nothing", "", end, strings.Join(answer, ""), 0},
		{"letters in the data are none", "access.end-of-message:1:kill", frame('B', "E") + frame('L', "E\x00E\x00"), strings.Join(answer, ""), 0},
		{"end of message", "access.end-of-message:1:kill", end, "", 1},
		{"half of the body", "access.new-body:1:kill", end, answer[0] + "01234", 1},
		{"before the accept", "access.accept.before:1:kill", end, answer[0] + answer[1], 1},
		{"after the accept", "access.accept.after:1:kill", end, strings.Join(answer, ""), 1},
		{"accept before the message", "access.accept.before:1:kill", frame('M', "x\x00"), strings.Join(answer, ""), 0},
		{"another door", "incoming.accept.before:1:kill", end, strings.Join(answer, ""), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ours, mta, killed := accepted(t, "access", c.order)
			io.WriteString(mta, c.comes)
			got := make([]byte, 4) // in pieces, as a reader that knows nothing of frames
			for n := 0; n < len(c.comes); {
				m, err := ours.Read(got)
				if err != nil {
					break
				}
				n += m
			}
			for _, part := range answer {
				if _, err := io.WriteString(ours, part); err != nil {
					break
				}
			}
			ours.Close()
			written, _ := io.ReadAll(mta)
			if string(written) != c.written || *killed != c.killed {
				t.Errorf("written %q, killed %d, want %q, %d", written, *killed, c.written, c.killed)
			}
		})
	}
}

func TestLMTPPoints(t *testing.T) {
	const all = "250 ok\r\n354 go\r\n250 one\r\n451 two\r\n221 bye\r\n"
	for _, c := range []struct {
		order, written string
		killed         int
	}{
		{"", all, 0},
		{"delivery.reply.before:1:kill", "250 ok\r\n354 go\r\n", 1},
		{"delivery.reply.after:1:kill", "250 ok\r\n354 go\r\n250 one\r\n", 1},
		{"delivery.reply.before:2:kill", "250 ok\r\n354 go\r\n250 one\r\n", 1},
		{"delivery.reply.before:3:kill", all, 0},
	} {
		t.Run(c.order, func(t *testing.T) {
			ours, mta, killed := accepted(t, "delivery", c.order)
			buffer := make([]byte, 100)
			for _, step := range strings.SplitAfter("MAIL\n=250 ok\r\n\nDATA\n=354 go\r\n\nmessage\n=250 one\r\n\n=451 two\r\n\nQUIT\n=221 bye\r\n\n", "\n") {
				if reply, is := strings.CutPrefix(step, "="); is {
					if _, err := io.WriteString(ours, reply); err != nil {
						break
					}
				} else if step != "\n" && step != "" {
					io.WriteString(mta, step)
					ours.Read(buffer)
				}
			}
			ours.Close()
			written, _ := io.ReadAll(mta)
			if string(written) != c.written || *killed != c.killed {
				t.Errorf("written %q, killed %d, want %q, %d", written, *killed, c.written, c.killed)
			}
		})
	}
}

// TestPointsAreAll: each effect that is wrapped has its points.
func TestPointsAreAll(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Points() {
		if seen[p] {
			t.Errorf("point %s twice", p)
		}
		seen[p] = true
	}
	if want := 2*28 + 2*4 + 2; len(seen) != want {
		t.Errorf("%d points, want %d", len(seen), want)
	}
}
