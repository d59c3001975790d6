// Command pec-milter makes an ordinary MTA a provider of Italian certified mail
// (PEC, RFC 6109): it stands beside Postfix or Sendmail as milter, as LMTP
// server before the mailboxes, and as client of a port without filter.
//
// This package wires the others together and holds the commands; it has no
// rule of its own.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// The exit codes that are not 0 (good) or 1 (what was examined is bad), as in
// sysexits.h.
const (
	exitUsage       = 64
	exitNoInput     = 66
	exitUnavailable = 69
	exitConfig      = 78
)

// exit is an error with the exit code that it stands for.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

// errBad means that the thing examined is bad; what is wrong was said already.
var errBad = &exit{1, errors.New("bad")}

// commands is the command line.
type commands struct {
	Serve       serveCommand       `cmd:"" help:"Run the daemon."`
	CheckConfig checkCommand       `cmd:"" help:"Say everything that is wrong with a configuration."`
	Doctor      doctorCommand      `cmd:"" help:"Examine a live set-up."`
	Healthcheck healthcheckCommand `cmd:"" help:"Tell by the exit code whether the doors answer."`
	Verify      verifyCommand      `cmd:"" help:"Verify PEC messages."`
	Inspect     inspectCommand     `cmd:"" help:"Show what is inside a message."`
	Directory   directoryCommands  `cmd:"" help:"The PEC providers directory."`
	HSM         hsmCommands        `cmd:"" name:"hsm" help:"The signing key."`
	Log         logCommands        `cmd:"" help:"The legal log."`
	Receipt     receiptCommands    `cmd:"" help:"Receipts and other notices."`
	Explain     explainCommand     `cmd:"" help:"Tell in plain English what happened to a message."`
	Evidence    evidenceCommand    `cmd:"" help:"Write what the legal log has of a message into an archive that openssl can verify."`
	Database    databaseCommands   `cmd:"" help:"The PostgreSQL database."`
	Completion  completionCommand  `cmd:"" help:"Print the completion of this command line, for bash."`
	Version     versionCommand     `cmd:"" help:"Show the version."`
}

// out is where commands print.
type out struct{ io.Writer }

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run carries out a command line and gives the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	var c commands
	helped := false
	parser, err := kong.New(&c, kong.Name("pec-milter"), kong.Writers(stdout, stderr),
		kong.Description("The engine of Italian certified mail (PEC) for Postfix and Sendmail."),
		kong.Exit(func(int) { helped = true }), kong.Bind(out{stdout}))
	if err != nil {
		fmt.Fprintln(stderr, "pec-milter:", err)
		return exitUsage
	}
	command, err := parser.Parse(args)
	if helped {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "pec-milter: %v; see pec-milter --help\n", err)
		return exitUsage
	}
	return report(command.Run(), stderr)
}

// report says what went wrong, once, and gives the exit code.
func report(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	if !errors.Is(err, errBad) {
		fmt.Fprintln(stderr, "pec-milter:", err)
	}
	if e := (*exit)(nil); errors.As(err, &e) {
		return e.code
	}
	return exitUnavailable
}
