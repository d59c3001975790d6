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
	last string
}

func newProgress(f *os.File) *progress {
	if !isatty.IsTerminal(f.Fd()) {
		return &progress{}
	}
	return &progress{w: f}
}

// barWidth is the width of a full bar, in characters.
const barWidth = 40

// show draws how much has come, in bytes; total is -1 where it is not known. What
// has not changed is not drawn again.
func (p *progress) show(read, total int64) {
	if p.w == nil {
		return
	}
	line := fmt.Sprintf("%d kB", read/1000)
	if total > 0 {
		done := int(min(read, total) * barWidth / total)
		line = fmt.Sprintf("[%s%s] %d of %d kB", strings.Repeat("=", done), strings.Repeat(" ", barWidth-done), read/1000, total/1000)
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
