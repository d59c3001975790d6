package account

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// parse reads all lines and tells every fault at once. A file without any
// address is a fault too: it is what is seen of one that is being written.
func parse(path, content string, reserved map[string]bool) (map[string]mailbox, error) {
	mailboxes := make(map[string]mailbox)
	lines := make(map[string]int) // where an address stands
	var faults []error
	number := 0
	for line := range strings.Lines(content) {
		number++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		read, err := parseLine(fields, reserved)
		address := key(fields[0])
		if first, again := lines[address]; again && err == nil {
			err = fmt.Errorf("%s stands in line %d already: join the two lines", fields[0], first)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", path, number, err))
			continue
		}
		mailboxes[address], lines[address] = read, number
	}
	if len(mailboxes) == 0 && len(faults) == 0 {
		return nil, fmt.Errorf("%s: no address in it: write at least one line: address users status ordinary", path)
	}
	return mailboxes, errors.Join(faults...)
}

func parseLine(fields []string, reserved map[string]bool) (mailbox, error) {
	if len(fields) != 4 {
		return mailbox{}, fmt.Errorf("%d columns: write four: address users status ordinary", len(fields))
	}
	address := fields[0]
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address || strings.HasSuffix(pec.Domain(address), "]") {
		return mailbox{}, fmt.Errorf("%q is no address: write it as name@domain, without angle brackets", address)
	}
	if reserved[strings.ToLower(address)] {
		return mailbox{}, fmt.Errorf("%s is an address of the provider itself, and no user's: remove the line", address)
	}
	users, err := parseUsers(fields[1])
	if err != nil {
		return mailbox{}, err
	}
	disabled, err := oneOf("status", fields[2], "active", "disabled")
	if err != nil {
		return mailbox{}, err
	}
	policy, err := parsePolicy(fields[3])
	if err != nil {
		return mailbox{}, err
	}
	return mailbox{users, disabled, policy}, nil
}

// parsePolicy reads what becomes of ordinary mail.
func parsePolicy(word string) (point.OrdinaryPolicy, error) {
	if target, forwards := strings.CutPrefix(word, "forward:"); forwards {
		if parsed, err := mail.ParseAddress(target); err != nil || parsed.Address != target {
			return point.OrdinaryPolicy{}, fmt.Errorf("%q is no address to forward to: write forward:name@domain", target)
		}
		return point.OrdinaryPolicy{Forward: target}, nil
	}
	accept, err := oneOf("ordinary", word, "refuse", "accept")
	return point.OrdinaryPolicy{Accept: accept}, err
}

func parseUsers(column string) ([]string, error) {
	if column == "-" {
		return nil, nil
	}
	users := strings.Split(column, ",")
	for _, user := range users {
		if user == "" {
			return nil, fmt.Errorf("an empty name among the users %q: separate names by one comma, without spaces; \"-\" is nobody", column)
		}
	}
	return users, nil
}

// oneOf tells whether a column has the second of its two words.
func oneOf(column, word, no, yes string) (bool, error) {
	if word != no && word != yes {
		return false, fmt.Errorf("%s is %q: write %q or %q", column, word, no, yes)
	}
	return word == yes, nil
}
