//go:build integration

package integration

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace of the test's own, for the pec-milter of one
// node: a host that reaches the others by a cable for each, which can be pulled
// out. It lasts as long as a process that does nothing, and the cables with it.
type namespace struct {
	holder *process
	prefix string // of the addresses: 198.18.N. (RFC 2544: for tests, never on the internet)
}

// The cables, and the addresses at our end that are reached by them.
const (
	hostCable     = "host" // is never pulled out
	redisCable    = "redis"
	postgresCable = "sql"

	redisHost    = 101
	postgresHost = 102
)

func startNamespace(p *Provider) (*namespace, error) {
	idle := filepath.Join(p.Dir, "namespace") // the guard knows the process by it
	if err := os.WriteFile(idle, nil, 0o600); err != nil {
		return nil, err
	}
	holder, err := program{
		name: "network of " + p.Name, command: []string{"unshare", "--net", "tail", "-f", idle},
		log: filepath.Join(p.Dir, "namespace.log"), guard: p.world.guard,
	}.start()
	if err != nil {
		return nil, err
	}
	n := &namespace{holder, fmt.Sprintf("198.18.%d.", 1+rand.IntN(250))}
	if err := waitFor("network namespace", patience, n.isOwn); err != nil {
		return nil, errors.Join(err, n.stop())
	}
	if err := n.wire(); err != nil {
		return nil, errors.Join(err, n.stop())
	}
	return n, nil
}

// isOwn: unshare has done its work.
func (n *namespace) isOwn() error {
	ours, err := os.Readlink("/proc/self/ns/net")
	its, err2 := os.Readlink(n.path())
	if err = errors.Join(err, err2); err == nil && ours == its {
		err = errors.New("it is still ours")
	}
	return err
}

// wire lays the cables. The addresses of Redis and PostgreSQL are at our end of
// the first, which is never pulled out, and are reached by their own.
func (n *namespace) wire() error {
	steps := [][]string{n.inside("ip", "link", "set", "lo", "up")}
	for i, cable := range []string{hostCable, redisCable, postgresCable} {
		here, there := n.prefix+strconv.Itoa(4*i+1), n.prefix+strconv.Itoa(4*i+2)
		steps = append(steps,
			[]string{"ip", "link", "add", n.device(cable), "type", "veth", "peer", "name", cable, "netns", strconv.Itoa(n.holder.pid())},
			[]string{"ip", "addr", "add", here + "/30", "dev", n.device(cable)},
			[]string{"ip", "link", "set", n.device(cable), "up"},
			n.inside("ip", "addr", "add", there+"/30", "dev", cable),
			n.inside("ip", "link", "set", cable, "up"))
	}
	for i, host := range []int{redisHost, postgresHost} {
		cable, via := []string{redisCable, postgresCable}[i], n.prefix+strconv.Itoa(4*(i+1)+1)
		steps = append(steps,
			[]string{"ip", "addr", "add", n.address(host) + "/32", "dev", n.device(hostCable)},
			n.inside("ip", "route", "add", n.address(host)+"/32", "via", via, "dev", cable))
	}
	for _, step := range steps {
		if _, err := run(nil, step...); err != nil {
			return err
		}
	}
	return nil
}

func (n *namespace) address(host int) string { return n.prefix + strconv.Itoa(host) }

// device is our end of a cable; a name has at most 15 bytes.
func (n *namespace) device(cable string) string {
	return fmt.Sprintf("pec%d%s", n.holder.pid(), cable[:1])
}

// path is the file of the namespace.
func (n *namespace) path() string { return fmt.Sprintf("/proc/%d/ns/net", n.holder.pid()) }

// inside is a command that runs in the namespace.
func (n *namespace) inside(command ...string) []string { return append(n.enter(), command...) }

func (n *namespace) enter() []string {
	return []string{"nsenter", "--net=" + n.path()}
}

// cut pulls a cable out: whatever is sent vanishes. mend puts it back.
func (n *namespace) cut(cable string) error {
	_, err := run(nil, "ip", "link", "set", n.device(cable), "down")
	return err
}

func (n *namespace) mend(cable string) error {
	_, err := run(nil, "ip", "link", "set", n.device(cable), "up")
	return err
}

// listen listens on the loopback of the namespace. The thread that has gone there
// ends with its goroutine.
func (n *namespace) listen() (listener net.Listener, err error) {
	its, err := os.Open(n.path())
	if err != nil {
		return nil, err
	}
	defer its.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and it ends with this function
		if err = unix.Setns(int(its.Fd()), unix.CLONE_NEWNET); err == nil {
			listener, err = net.Listen("tcp", "127.0.0.1:0")
		}
	}()
	<-done
	return listener, err
}

func (n *namespace) stop() error { return n.holder.stop() }
