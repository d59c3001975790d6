// Package doctor examines a live set-up: the MTA's settings, the servers beside
// us, our own doors, key and certificate, the files that signatures are judged
// by, the disks and the clock. Each check is one function, in the file of its
// subject, and gives one Finding for each thing it looked at.
//
// It repairs nothing and leaves nothing behind: no message, no row, no file.
// What a check needs is handed to it: it reads no configuration and no clock of its
// own but the kernel's record of how good the clock is.
package doctor

import "fmt"

// Result is how a check ended.
type Result string

// The results. NotChecked says nothing about the thing itself.
const (
	Good       Result = "good"
	Bad        Result = "bad"
	NotChecked Result = "not checked"
)

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"` // what was looked at: "clamd.signatures", "postfix.soft_bounce"
	Result Result `json:"result"`
	What   string `json:"what"` // what is so, or why it was not checked
	// Where is the file with what is bad, with line and column if it stands there:
	// "/etc/postfix/main.cf:12:20"; empty where no file has it.
	Where string `json:"where,omitempty"`
	// Repair is the command that repairs what is bad, or where there is none,
	// what to do; empty unless it is bad.
	Repair string `json:"repair,omitempty"`
}

// String is the finding on one line.
func (f Finding) String() string {
	line := fmt.Sprintf("%-11s  %s: %s", f.Result, f.Check, f.What)
	if f.Where != "" {
		line += " (" + f.Where + ")"
	}
	if f.Repair != "" {
		line += "; repair: " + f.Repair
	}
	return line
}

func good(check, format string, values ...any) Finding {
	return Finding{Check: check, Result: Good, What: fmt.Sprintf(format, values...)}
}

func bad(check, repair, format string, values ...any) Finding {
	return Finding{Check: check, Result: Bad, What: fmt.Sprintf(format, values...), Repair: repair}
}

// at adds where it stands.
func (f Finding) at(where string) Finding {
	f.Where = where
	return f
}

func notChecked(check, format string, values ...any) Finding {
	return Finding{Check: check, Result: NotChecked, What: fmt.Sprintf(format, values...)}
}
