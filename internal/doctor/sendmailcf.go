package doctor

import (
	"cmp"
	"fmt"
	"os"
	"strings"
)

// sendmailCF is a sendmail.cf as Sendmail reads it. A name that is given twice has the
// last value.
type sendmailCF struct {
	file     string
	options  map[string]cfValue   // by their names in lower case
	daemons  []cfFields           // O DaemonPortOptions
	filters  map[string]cfFields  // X
	mailers  map[string]cfFields  // M
	classes  map[string][]cfValue // C, by their names: words
	maps     map[string]cfValue   // K, by their names: what follows
	rulesets map[string][]cfValue // S and R: the rules, with single white space
	groups   []cfValue            // Q
}

// cfValue is a text with its place: "/etc/mail/sendmail.cf:12:20".
type cfValue struct{ text, place string }

// cfFields is a definition "name, K=value, K=value" with its place.
type cfFields struct {
	name, place string
	fields      map[byte]cfValue // by the first letter of their keys, in upper case
}

// field is the text of a field; empty where there is none.
func (f cfFields) field(key byte) string { return f.fields[key].text }

// at is where a field stands, or else the definition.
func (f cfFields) at(key byte) string { return cmp.Or(f.fields[key].place, f.place) }

func readSendmailCF(file string) (*sendmailCF, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := &sendmailCF{
		file: file, options: map[string]cfValue{}, filters: map[string]cfFields{}, mailers: map[string]cfFields{},
		classes: map[string][]cfValue{}, maps: map[string]cfValue{}, rulesets: map[string][]cfValue{},
	}
	ruleset := ""
	for _, line := range c.logicalLines(string(text)) {
		ruleset = c.read(line, ruleset)
	}
	return c, nil
}

// cfLine is a line with those that continue it, each from its first column.
type cfLine struct {
	text  string
	lines []int // the offset in text at which each physical line begins
	first int   // number of the first, from 1
	file  string
}

// place is where an offset of the text stands.
func (l cfLine) place(offset int) string {
	n := len(l.lines) - 1
	for n > 0 && l.lines[n] > offset {
		n--
	}
	return fmt.Sprintf("%s:%d:%d", l.file, l.first+n, offset-l.lines[n]+1)
}

// logicalLines leaves out comments; what begins with white space continues the line
// before.
func (c *sendmailCF) logicalLines(text string) (all []cfLine) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" || line[0] == '#':
		case (line[0] == ' ' || line[0] == '\t') && len(all) > 0:
			last := &all[len(all)-1]
			for last.first+len(last.lines) < number { // comments in between
				last.lines = append(last.lines, len(last.text)+1)
			}
			last.lines = append(last.lines, len(last.text)+1)
			last.text += "\n" + line
		default:
			all = append(all, cfLine{line, []int{0}, number, c.file})
		}
	}
	return all
}

// read takes one definition, and gives the ruleset that rules now belong to.
func (c *sendmailCF) read(l cfLine, ruleset string) string {
	rest := l.text[1:]
	if rest == "" {
		return ruleset
	}
	switch l.text[0] {
	case 'O':
		c.readOption(l)
	case 'X':
		f := l.fields(1)
		c.filters[f.name] = f
	case 'M':
		f := l.fields(1)
		c.mailers[f.name] = f
	case 'C':
		c.readClass(l)
	case 'K':
		name, _, _ := strings.Cut(rest, " ")
		c.maps[name] = cfValue{strings.TrimSpace(strings.TrimPrefix(rest, name)), l.place(0)}
	case 'Q':
		c.groups = append(c.groups, cfValue{rest, l.place(0)})
	case 'S':
		name, _, _ := strings.Cut(strings.TrimSpace(rest), "=")
		return name
	case 'R':
		c.rulesets[ruleset] = append(c.rulesets[ruleset], cfValue{sides(rest), l.place(0)})
	}
	return ruleset
}

// sides are those of a rule; what follows a further tab is for people.
func sides(rule string) string {
	left, rest, _ := strings.Cut(rule, "\t")
	right, _, _ := strings.Cut(strings.TrimLeft(rest, "\t"), "\t")
	return strings.Join(strings.Fields(left), " ") + " => " + strings.Join(strings.Fields(right), " ")
}

// readOption reads "O Name=value"; the old form with one letter is not made by m4.
func (c *sendmailCF) readOption(l cfLine) {
	name, value, _ := strings.Cut(l.text[1:], "=")
	name = strings.ToLower(strings.TrimSpace(name))
	start := strings.IndexByte(l.text, '=') + 1
	if name == "daemonportoptions" {
		d := l.fields(start)
		d.name = d.field('N')
		c.daemons = append(c.daemons, d)
		return
	}
	c.options[name] = cfValue{strings.TrimSpace(value), l.place(start)}
}

// readClass reads "C{Name}word word" and "Cwword".
func (c *sendmailCF) readClass(l cfLine) {
	name, words := l.text[1:2], l.text[2:]
	if name == "{" {
		name, words, _ = strings.Cut(l.text[2:], "}")
	}
	for _, word := range strings.Fields(words) {
		c.classes[name] = append(c.classes[name], cfValue{strings.ToLower(word), l.place(strings.LastIndex(l.text, word))})
	}
}

// fields reads what begins at an offset: "name, K=value, Key=value". A= of a mailer goes
// to the end.
func (l cfLine) fields(start int) cfFields {
	f := cfFields{place: l.place(0), fields: map[byte]cfValue{}}
	for at := start; at <= len(l.text); {
		end := at + len(l.text[at:])
		if comma := strings.IndexByte(l.text[at:], ','); comma >= 0 && !strings.HasPrefix(strings.TrimSpace(l.text[at:]), "A=FILE") {
			end = at + comma
		}
		l.field(&f, at, end)
		at = end + 1
	}
	return f
}

func (l cfLine) field(f *cfFields, at, end int) {
	piece := l.text[at:end]
	key, value, found := strings.Cut(piece, "=")
	key = strings.TrimSpace(key)
	switch {
	case !found && f.name == "":
		f.name = key
	case found && key != "":
		begin := at + strings.IndexByte(piece, '=') + 1
		f.fields[upper(key[0])] = cfValue{strings.TrimSpace(value), l.place(begin)}
	}
}

func upper(c byte) byte { return strings.ToUpper(string(rune(c)))[0] }
