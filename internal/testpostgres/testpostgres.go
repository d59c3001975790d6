// Package testpostgres runs a private PostgreSQL server for tests: with its own
// directory, on a port of its own, set up with contrib/postgresql. It never
// touches the machine's own server.
package testpostgres

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// programs is where Debian has the programs of the server.
const programs = "/usr/lib/postgresql/15/bin"

// Role is the name of the daemon's role, and of its database; Owner is the role
// that owns the tables. Password is that of both over TCP.
const (
	Role     = "pec-milter"
	Owner    = "pec-milter-owner"
	Password = "a secret of the tests"
)

// Installed tells whether the server can be started here.
func Installed() bool {
	_, err := os.Stat(filepath.Join(programs, "postgres"))
	return err == nil
}

// Server is a running server. It takes anybody without a password on its unix
// socket, which only the tests' user reaches, and asks for one over TCP.
type Server struct {
	Directory string // of the unix socket too
	Port      int    // on 127.0.0.1, and of the unix socket

	settings   []string // name=value
	credential *syscall.Credential
	process    *exec.Cmd
}

// Start makes a server in a new directory, with settings of the form name=value
// beside its own, and waits until it answers. Stop removes the directory.
func Start(settings ...string) (_ *Server, err error) {
	s := &Server{settings: settings}
	if s.credential, err = unprivileged(); err != nil {
		return nil, err
	}
	if s.Directory, err = os.MkdirTemp("", "pg"); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Directory))
	}
	if err := s.setUp(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// unprivileged is the user to run as: the server refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(account.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err, err2)
}

// prepare makes the data directory and chooses a port.
func (s *Server) prepare() error {
	if s.credential != nil {
		if err := os.Chown(s.Directory, int(s.credential.Uid), int(s.credential.Gid)); err != nil {
			return err
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.Port = free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		return err
	}
	return s.run("initdb", "-D", s.data(), "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync",
		"--auth-local=trust", "--auth-host=scram-sha-256")
}

func (s *Server) data() string { return filepath.Join(s.Directory, "data") }

// setUp starts the server for the first time and does what an administrator does.
func (s *Server) setUp() error {
	if err := s.Restart(); err != nil {
		return err
	}
	script, err := repositoryFile("contrib/postgresql/pec-milter.sql")
	if err != nil {
		return err
	}
	statements, err := os.ReadFile(script)
	if err != nil {
		return err
	}
	return s.SQL(string(statements) + fmt.Sprintf("\nALTER ROLE %q PASSWORD '%[2]s';\nALTER ROLE %[3]q PASSWORD '%[2]s';", Role, Password, Owner))
}

// repositoryFile finds a file of this repository from the directory of a test.
func repositoryFile(name string) (string, error) {
	directory, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; directory != "/"; directory = filepath.Dir(directory) {
		if _, err := os.Stat(filepath.Join(directory, "go.mod")); err == nil {
			return filepath.Join(directory, name), nil
		}
	}
	return "", fmt.Errorf("%s: no go.mod above this directory", name)
}

// SQL runs statements as the server's administrator, in pec-milter's database
// if that is there.
func (s *Server) SQL(statements string) error {
	psql := s.command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", s.Directory, "-p", strconv.Itoa(s.Port), "-U", "postgres", "-f", "-")
	psql.Stdin = strings.NewReader(statements)
	return output(psql)
}

// PID is that of the running server, whose children do its work.
func (s *Server) PID() int { return s.process.Process.Pid }

// Dump writes pec-milter's database into a file, as it is now.
func (s *Server) Dump(file string) error { return s.client("pg_dump", "-Fc", "-f", file, Role) }

// Restore puts the database back to what Dump wrote. Nobody else may use it. (With its
// own --clean pg_restore fails at partitions, whose constraints are inherited.)
func (s *Server) Restore(file string) error {
	return errors.Join(
		s.SQL(fmt.Sprintf("\\connect %q\nDROP SCHEMA %[1]q CASCADE;", Role)),
		s.client("pg_restore", "--single-transaction", "-d", Role, file))
}

// client runs a client program as the server's administrator.
func (s *Server) client(program string, arguments ...string) error {
	return s.run(program, append([]string{"-h", s.Directory, "-p", strconv.Itoa(s.Port), "-U", "postgres"}, arguments...)...)
}

func (s *Server) run(program string, arguments ...string) error {
	return output(s.command(program, arguments...))
}

func output(command *exec.Cmd) error {
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command.Path, err, out)
	}
	return nil
}

// command is a program of PostgreSQL's, run by the server's user.
func (s *Server) command(program string, arguments ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(programs, program), arguments...)
	command.Dir = s.Directory
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Setpgid: true}
	return command
}

// Restart starts the server after Kill, and waits until it answers.
func (s *Server) Restart() error {
	log, err := os.OpenFile(filepath.Join(s.Directory, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own copy
	arguments := []string{"-D", s.data(), "-p", strconv.Itoa(s.Port), "-k", s.Directory, "-h", "127.0.0.1"}
	for _, setting := range append([]string{"fsync=on", "shared_buffers=32MB", "max_connections=60"}, s.settings...) {
		arguments = append(arguments, "-c", setting)
	}
	s.process = s.command("postgres", arguments...)
	s.process.Stdout, s.process.Stderr = log, log
	s.process.SysProcAttr.Pdeathsig = syscall.SIGQUIT // a test that dies leaves no server
	if err := s.process.Start(); err != nil {
		return err
	}
	return s.await()
}

const patience = 60 * time.Second

func (s *Server) await() error {
	var err error
	for range int(patience / (50 * time.Millisecond)) {
		if err = s.run("pg_isready", "-q", "-h", s.Directory, "-p", strconv.Itoa(s.Port)); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	log, _ := os.ReadFile(filepath.Join(s.Directory, "log")) // beside the error
	return fmt.Errorf("the server does not answer: %w\n…%s", err, log[max(0, len(log)-2000):])
}

// Kill ends all processes of the server at once, with SIGKILL.
func (s *Server) Kill() error {
	processes, err := s.freeze()
	if err != nil {
		return err
	}
	for _, pid := range processes {
		err = errors.Join(err, signal(pid, syscall.SIGKILL))
	}
	_ = s.process.Wait() // how it ended is in its log
	s.process = nil
	for _, pid := range processes {
		for alive(pid) { // it holds the shared memory
			time.Sleep(time.Millisecond)
		}
	}
	return err
}

// Stop ends the server and removes its directory.
func (s *Server) Stop() error {
	var err error
	if s.process != nil {
		err = signal(s.process.Process.Pid, syscall.SIGINT)
		_ = s.process.Wait() // how it ended is in its log
		s.process = nil
	}
	return errors.Join(err, os.RemoveAll(s.Directory))
}

// Hang stops all processes of the server; the function that it returns lets them
// go on.
func (s *Server) Hang() (goOn func() error, err error) {
	processes, err := s.freeze()
	return func() (err error) {
		for _, pid := range processes {
			err = errors.Join(err, signal(pid, syscall.SIGCONT))
		}
		return err
	}, err
}

// freeze stops the server, the first process before the others, so that it makes
// no more, and gives all of them.
func (s *Server) freeze() ([]int, error) {
	first := s.process.Process.Pid
	if err := signal(first, syscall.SIGSTOP); err != nil {
		return nil, err
	}
	children, err := childrenOf(first)
	for _, pid := range children {
		err = errors.Join(err, signal(pid, syscall.SIGSTOP))
	}
	return append([]int{first}, children...), err
}

// signal sends a signal to a process, which may have ended by itself.
func signal(pid int, s syscall.Signal) error {
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %v to process %d: %w", s, pid, err)
	}
	return nil
}

// alive tells whether a process is there and no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, found := bytes.Cut(stat, []byte(") "))
	return err == nil && found && state[0] != 'Z'
}

func childrenOf(pid int) ([]int, error) {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, err
	}
	var children []int
	for _, field := range bytes.Fields(list) {
		child, err := strconv.Atoi(string(field))
		if err != nil {
			return nil, err
		}
		children = append(children, child)
	}
	return children, nil
}
