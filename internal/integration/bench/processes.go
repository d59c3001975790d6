package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on Linux,
// whatever the kernel's own is.
const tick = 10 * time.Millisecond

// process is a line of /proc/PID/stat. Its time has that of the children that
// ended and were waited for.
type process struct {
	pid, parent int
	time        time.Duration
}

// parseStat reads such a line. The name, in parentheses, may have any character.
func parseStat(line string) (process, error) {
	id, _, _ := strings.Cut(line, " ")
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 15 {
		return process{}, fmt.Errorf("stat of %q has %d fields after the name, want more", id, len(fields))
	}
	pid, err := strconv.Atoi(id)
	parent, failed := strconv.Atoi(fields[1])
	err = errors.Join(err, failed)
	var ticks int64
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, failed := strconv.ParseInt(field, 10, 64)
		ticks, err = ticks+n, errors.Join(err, failed)
	}
	return process{pid, parent, time.Duration(ticks) * tick}, err
}

// processes are all that run now.
func processes() ([]process, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		p, err := parseStat(string(line))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// treeTime is the CPU time of a process and all below it, those that have ended
// included.
func treeTime(all []process, root int) (total time.Duration) {
	for _, p := range all {
		if p.pid == root {
			total += p.time
		}
		if p.parent == root {
			total += treeTime(all, p.pid)
		}
	}
	return total
}

// usage is the CPU time of programs, by name, since they began.
type usage map[string]time.Duration

// measureUsage reads it for programs by their pids.
func measureUsage(pids map[string]int) (usage, error) {
	all, err := processes()
	used := usage{}
	for name, pid := range pids {
		used[name] = treeTime(all, pid)
	}
	return used, err
}

// since is what was used after an earlier reading, for each of some messages, in
// milliseconds.
func (u usage) since(before usage, messages int) map[string]float64 {
	each := map[string]float64{}
	for name, total := range u {
		each[name] = milliseconds(total-before[name]) / float64(messages)
	}
	return each
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// forgetPeak makes the most memory that a process ever had the memory that it has.
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200)
}

// load is the load average of the last minute.
func load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return -1 // told in the results
	}
	first, _, _ := strings.Cut(string(text), " ")
	value, _ := strconv.ParseFloat(first, 64)
	return value
}

// logEnd is how long a log is now.
func logEnd(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// queuePasses counts the queue files of which Postfix's log tells after an offset:
// each is one pass through the queue, however often its delivery is tried.
func queuePasses(path string, offset int64) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if _, err := file.Seek(offset, 0); err != nil {
		return 0, err
	}
	ids := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if id := activated(lines.Text()); id != "" {
			ids[id] = true
		}
	}
	return len(ids), lines.Err()
}

// activated is the queue file that a line of the log says was taken up for
// delivery; empty if it says something else.
func activated(line string) string {
	_, rest, isManager := strings.Cut(line, "/qmgr[")
	if !isManager || !strings.HasSuffix(line, "(queue active)") {
		return ""
	}
	_, rest, _ = strings.Cut(rest, "]: ")
	id, _, _ := strings.Cut(rest, ":")
	return id
}
