package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// flush: the queue is run every second anyway.
func (sendmail) flush() error { return nil }

// waiting: a message is in the queue when its control file has its last name.
func (s sendmail) waiting() (names []string, err error) {
	entries, err := os.ReadDir(s.dir("queue"))
	for _, entry := range entries {
		if name, found := strings.CutPrefix(entry.Name(), "qf"); found {
			names = append(names, name)
		}
	}
	return names, err
}

// queued is a message in the queue, in the form of postqueue(1).
type queued struct {
	File       string            `json:"queue_id"`
	Sender     string            `json:"sender"`
	Recipients []queuedRecipient `json:"recipients"`
}

type queuedRecipient struct {
	Address string `json:"address"`
	Reason  string `json:"delay_reason,omitempty"`
}

func (s sendmail) queue() (string, error) {
	names, err := s.waiting()
	if err != nil {
		return "", err
	}
	var lines strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(s.dir("queue/qf" + name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // delivered meanwhile
		}
		if err != nil {
			return "", err
		}
		line, err := json.Marshal(readControlFile(name, string(text)))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&lines, "%s\n", line)
	}
	return lines.String(), nil
}

// readControlFile reads a qf file: a letter at the start of a line says what it has. M,
// what happened, is of the message before the first recipient; here it is of all.
func readControlFile(name, text string) queued {
	q := queued{File: name}
	reason := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "M"):
			reason = line[1:]
		case strings.HasPrefix(line, "S"):
			q.Sender = strings.Trim(line[1:], "<>")
		case strings.HasPrefix(line, "R"):
			_, address, _ := strings.Cut(line, ":")
			q.Recipients = append(q.Recipients, queuedRecipient{Address: strings.Trim(address, "<>")})
		}
	}
	for n := range q.Recipients {
		q.Recipients[n].Reason = reason
	}
	return q
}

func (s sendmail) stop() error {
	return errors.Join(s.mta.stop(), s.killRest(func(string) bool { return true }))
}

// kill ends the daemon and what receives mail. What delivers goes on: a Sendmail that dies
// while it removes a message which it has delivered sends the header again, without the
// body (docs/quirks.md).
func (s sendmail) kill() error {
	err := syscall.Kill(s.mta.pid(), syscall.SIGKILL)
	<-s.mta.done
	return errors.Join(err, s.killRest(func(title string) bool { return !delivering.MatchString(title) }))
}

// delivering is part of the title of a process that delivers.
var delivering = regexp.MustCompile(`from queue|user open|: client `)

// killRest ends what the daemon has started, chosen by their titles: deliveries are
// sessions of their own.
func (s sendmail) killRest(chosen func(title string) bool) (err error) {
	for _, pid := range s.processes() {
		if title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); !chosen(string(title)) {
			continue
		}
		if killed := syscall.Kill(pid, syscall.SIGKILL); killed != nil && !errors.Is(killed, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("killing a child of %s (pid %d): %w", s.mta.name, pid, killed))
		}
	}
	return err
}

// processes are all that work in the queue directory, as each Sendmail does: their
// command lines say what they are at, and no more whose they are.
func (s sendmail) processes() (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is well formed
	for _, link := range links {
		at, err := os.Readlink(link)
		if err != nil || at != s.dir("queue") {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		pids = append(pids, pid)
	}
	return pids
}

// local is the program with which users and jobs of the machine send mail.
func (s sendmail) local() []string {
	return []string{"nsenter", "--target", strconv.Itoa(s.mta.pid()), "--uts", "--mount",
		sendmailProgram, "-C", s.dir("submit.cf")}
}
