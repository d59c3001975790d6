package doctor

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// place is where a setting stands: "/etc/postfix/main.cf:12:20", line and column
// from 1. s is the service for which it was judged; nil: all. Where the setting
// is nowhere written, so that its default holds, it is the line of the service, or
// the file in which to write it.
func (c *postfixSettings) place(s *service, name string) string {
	if s != nil {
		if _, own := s.own[name]; own {
			return c.master(s.id, name)
		}
	}
	file := c.file("main.cf")
	if at := placeIn(file, mainLine, name); at != "" {
		return at
	}
	if s != nil {
		return c.master(s.id, "")
	}
	return file
}

// master is where a service stands in master.cf, or a setting of its own.
func (c *postfixSettings) master(id, name string) string {
	file := c.file("master.cf")
	return cmp.Or(placeIn(file, masterLine(id), name), file)
}

func (c *postfixSettings) file(name string) string {
	return filepath.Join(cmp.Or(c.Directory, c.main["config_directory"]), name)
}

// finder gives the column of a setting in a line, from 1; 0: it is not there. first
// is the line with which the entry began, which others continue: what begins with
// white space belongs to the line before.
type finder func(first, line, name string) (column int)

// placeIn is the last place at which find finds the name in a file; empty: none.
func placeIn(file string, find finder, name string) (place string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	first, number := "", 0
	for line := range strings.Lines(string(text)) {
		number++
		if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if !strings.ContainsRune(" \t", rune(line[0])) {
			first = line
		}
		if column := find(first, line, name); column > 0 {
			place = fmt.Sprintf("%s:%d:%d", file, number, column)
		}
	}
	return place
}

// mainLine finds the value of a line "name = value" of main.cf.
func mainLine(first, line, name string) int {
	given, value, found := strings.Cut(line, "=")
	if first != line || !found || strings.TrimSpace(given) != name {
		return 0
	}
	return len(line) - len(strings.TrimLeft(value, " \t")) + 1
}

// masterLine finds the name of a setting "-o name=value" of a service; without a name
// the service itself.
func masterLine(id string) finder {
	return func(first, line, name string) int {
		switch fields := strings.Fields(first); {
		case len(fields) < 2 || fields[0]+"/"+fields[1] != id:
			return 0
		case name == "" && first == line:
			return 1
		case name == "":
			return 0
		}
		at := regexp.MustCompile(`(?:^|[\s{])(` + regexp.QuoteMeta(name) + `)\s*=`).FindStringSubmatchIndex(line)
		if at == nil {
			return 0
		}
		return at[2] + 1
	}
}
