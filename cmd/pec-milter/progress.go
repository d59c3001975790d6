package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
)

// progress is a bar on a terminal; elsewhere it is nothing.
type progress struct {
	w    io.Writer // nil: no terminal
	unit string    // what it counts
	last string
}

func newProgress(f *os.File, unit string) *progress {
	if !isatty.IsTerminal(f.Fd()) {
		return &progress{}
	}
	return &progress{w: f, unit: unit}
}

// barWidth is the width of a full bar, in characters.
const barWidth = 40

// show draws how much is done, in units; total is not above 0 where it is not known.
// What has not changed is not drawn again.
func (p *progress) show(done, total int64) {
	if p.w == nil {
		return
	}
	line := fmt.Sprintf("%d %s", done, p.unit)
	if total > 0 {
		full := int(min(done, total) * barWidth / total)
		line = fmt.Sprintf("[%s%s] %d of %d %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), done, total, p.unit)
	}
	if line != p.last {
		p.last = line
		fmt.Fprintf(p.w, "\r%s", line)
	}
}

// end leaves the bar behind.
func (p *progress) end() {
	if p.w != nil && p.last != "" {
		fmt.Fprintln(p.w)
	}
}
