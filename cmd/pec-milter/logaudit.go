package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/pec-milter/pec-milter/internal/legallog"
)

type auditCommand struct {
	Config string   `type:"path" placeholder:"FILE" help:"The configuration: the database is checked."`
	Files  []string `arg:"" optional:"" placeholder:"FILE" help:"Files with rows, one JSON object a line: sealed files, what log export prints; - is standard input."`
	JSON   bool     `name:"json" help:"One JSON object a line."`
	datesOption
}

// Run says which rules are broken.
func (x *auditCommand) Run(o out) error {
	if (x.Config == "") == (len(x.Files) == 0) {
		return &exit{exitUsage, errors.New("give --config or files, not both")}
	}
	bar := newProgress(os.Stderr, "rows")
	var rows int64
	progress := func(n int64) { rows = n; bar.show(n, 0) }
	a := &legallog.Audit{From: x.From.Time, To: x.To.end()}
	breaches := a.Breaches(legallog.Counted(readFiles(x.Files), progress))
	if x.Config != "" {
		_, log, closeLog, err := openExisting(x.Config)
		if err != nil {
			return err
		}
		defer closeLog()
		breaches = log.Breaches(context.Background(), a.From, a.To, progress)
	}
	found, err := x.print(o, bar, breaches)
	if err != nil {
		return err
	}
	if !x.JSON {
		_, err = fmt.Fprintf(o, "%s: %d rows, %d breaches\n", verdictOf(found == 0), rows, found)
	}
	if err == nil && found > 0 {
		err = errBad
	}
	return err
}

func verdictOf(good bool) string {
	if good {
		return "good"
	}
	return "bad"
}

// print prints the breaches, and counts them.
func (x *auditCommand) print(o out, bar *progress, breaches iter.Seq2[legallog.Breach, error]) (found int, err error) {
	encoder := json.NewEncoder(o)
	encoder.SetEscapeHTML(false)
	defer bar.end()
	for b, err := range breaches {
		if err != nil {
			return found, err
		}
		if found == 0 {
			bar.end()
		}
		if found++; x.JSON {
			err = encoder.Encode(b)
		} else {
			_, err = fmt.Fprintf(o, "BAD: %v\n", b)
		}
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// readFiles reads files one after the other; - is standard input.
func readFiles(names []string) iter.Seq2[legallog.Row, error] {
	return func(yield func(legallog.Row, error) bool) {
		for _, name := range names {
			var r io.ReadCloser = os.Stdin
			if name != "-" {
				f, err := os.Open(name)
				if err != nil {
					yield(legallog.Row{}, &exit{exitNoInput, err})
					return
				}
				r = f
			}
			for row, err := range legallog.ReadLines(r, name) {
				if !yield(row, err) || err != nil {
					r.Close()
					return
				}
			}
			r.Close()
		}
	}
}
