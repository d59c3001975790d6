package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

func TestList(t *testing.T) {
	got := list("a, b\tc inline:{{x=y z}, {v=w}},,d ")
	if want := []string{"a", "b", "c", "inline:{{x=y z}, {v=w}}", "d"}; !slices.Equal(got, want) {
		t.Errorf("list() = %q, want %q", got, want)
	}
	if got := list(" "); got != nil {
		t.Errorf("list() of nothing = %q", got)
	}
}

func TestMilters(t *testing.T) {
	got := milters("unix:a { inet:b:1, default_action=accept, content_timeout=5s } {}")
	want := []milterClient{
		{"unix:a", map[string]string{}},
		{"inet:b:1", map[string]string{"default_action": "accept", "content_timeout": "5s"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("milters() = %v, want %v", got, want)
	}
}

// TestReaches: relative paths and those of a chroot are below the queue.
func TestReaches(t *testing.T) {
	queue := t.TempDir()
	c := &postfixSettings{main: map[string]string{"queue_directory": queue}}
	ours := Socket{"unix", filepath.Join(queue, "pec-milter/access.sock")}
	tcp := Socket{"tcp", "127.0.0.1:10025"}
	cases := []struct {
		name    string
		chroot  bool
		address string
		socket  Socket
		want    bool
	}{
		{"relative", false, "unix:pec-milter/access.sock", ours, true},
		{"relative, chroot", true, "unix:pec-milter/access.sock", ours, true},
		{"absolute", false, "unix:" + ours.Address, ours, true},
		{"absolute, chroot", true, "unix:" + ours.Address, ours, false},
		{"absolute in the chroot", true, "unix:/pec-milter/access.sock", ours, true},
		{"another", false, "unix:pec-milter/incoming.sock", ours, false},
		{"TCP for a path", false, "inet:127.0.0.1:10025", ours, false},
		{"TCP", false, "inet:127.0.0.1:10025", tcp, true},
		{"TCP by name", false, "inet:localhost:10025", tcp, true},
		{"next hop", false, "[127.0.0.1]:10025", tcp, true},
		{"another port", false, "inet:127.0.0.1:10026", tcp, false},
		{"another host", false, "inet:192.0.2.1:10025", tcp, false},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			if got := c.reaches(&service{chroot: test.chroot}, test.address, test.socket); got != test.want {
				t.Errorf("reaches(%q, %v) = %t, want %t", test.address, test.socket, got, test.want)
			}
		})
	}
}

func TestInjectIsFound(t *testing.T) {
	for id, want := range map[string]bool{
		"127.0.0.1:10027/inet": true, "localhost:10027/inet": true, "10027/inet": true,
		"127.0.0.1:10028/inet": false, "smtp/inet": false, "192.0.2.1:10027/inet": false,
	} {
		if got := isInject(&service{id: id}, "127.0.0.1:10027"); got != want {
			t.Errorf("isInject(%s) = %t, want %t", id, got, want)
		}
	}
	c := &postfixSettings{Postfix: &Postfix{}}
	for id, interfaces := range map[string]string{"10027/inet": "all", "0.0.0.0:10027/inet": "loopback-only"} {
		s := &service{id: id, main: map[string]string{"inet_interfaces": interfaces}}
		want(t, c.checkLoopback(s), Bad, "can forge")
	}
	want(t, c.checkLoopback(&service{id: "10027/inet", main: map[string]string{"inet_interfaces": "loopback-only"}}), Good, "loopback")
}

func TestNoPostfix(t *testing.T) {
	run := func(context.Context, string, string, ...string) ([]byte, error) {
		return nil, &exec.Error{Name: "postconf", Err: exec.ErrNotFound}
	}
	found := (&Postfix{Run: run}).Check(t.Context(), MTA{})
	want(t, found[0], NotChecked, "no postconf")
	run = func(context.Context, string, string, ...string) ([]byte, error) {
		return nil, errors.New("open main.cf: denied")
	}
	found = (&Postfix{Run: run, Directory: "/etc/other"}).Check(t.Context(), MTA{})
	want(t, found[0], Bad, "denied")
	if found[0].Repair != "postfix -c /etc/other check" {
		t.Errorf("repair = %q", found[0].Repair)
	}
}

// TestReach: the kernel's rules, for a user who has neither the uid nor root's
// powers.
func TestReach(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "socket")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	gid := uint32(os.Getgid())
	stranger, member := &account{"postfix", 4_000_000, nil}, &account{"postfix", 4_000_000, []uint32{gid}}
	cases := []struct {
		name             string
		who              *account
		socket, parent   fs.FileMode
		result           Result
		text, wantRepair string
	}{
		{"group", member, 0o660, 0o750, Good, "may connect", ""},
		{"everybody", stranger, 0o666, 0o755, Good, "may connect", ""},
		{"not in the group", stranger, 0o660, 0o755, Bad, path + " has mode 0660", "adduser postfix "},
		{"directory closed", member, 0o660, 0o700, Bad, dir + " has mode 0700", "chgrp postfix " + dir},
		{"group may not write", member, 0o606, 0o755, Bad, path + " has mode 0606", "chgrp postfix " + path},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := errors.Join(os.Chmod(path, c.socket), os.Chmod(dir, c.parent)); err != nil {
				t.Fatal(err)
			}
			at := c.who.judgePath("x", path)
			if c.result == Good && at.Result == Bad {
				t.Skipf("a directory above is closed: %s", at.What)
			}
			want(t, at, c.result, c.text)
			if len(at.Repair) < len(c.wantRepair) || at.Repair[:len(c.wantRepair)] != c.wantRepair {
				t.Errorf("repair = %q, want %q", at.Repair, c.wantRepair)
			}
		})
	}
	want(t, member.judgePath("x", filepath.Join(dir, "none")), NotChecked, "no such file")
}
